//! Being told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// A flag that a signal handler sets and a job looks at between records.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    signal: Arc<AtomicI32>,
    is_set: Arc<AtomicBool>,
}

impl Interrupt {
    /// Asks the job to stop, because of this signal.
    pub fn set(&self, signal: i32) {
        self.signal.store(signal, Ordering::Relaxed);
        self.is_set.store(true, Ordering::Relaxed);
    }

    /// The signal, if one came.
    pub fn signal(&self) -> Option<i32> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// Whether a signal came, as requests to a pool carry it.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_set)
    }
}
