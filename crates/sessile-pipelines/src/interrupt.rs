//! Being told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// A flag that a signal handler sets and a job looks at between records.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicI32>);

impl Interrupt {
    /// Asks the job to stop, because of this signal.
    pub fn set(&self, signal: i32) {
        self.0.store(signal, Ordering::Relaxed);
    }

    /// The signal, if one came.
    pub fn signal(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal),
        }
    }
}
