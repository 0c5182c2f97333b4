//! The kinds of devices: how each is found, planned for and opened.
//!
//! A kind is a file below this one and a line in [`BACKENDS`]. Nothing else in the runtime, and
//! nothing above it, asks of which kind a device is.

mod cpu;
mod cuda;
mod found;

use std::time::Duration;

use sessile_device::{DType, DeviceError};

use crate::error::RuntimeError;
pub use crate::loading::OpenDevice;

pub use cpu::Cpu;
pub use cuda::Cuda;
pub use found::{FoundDevice, Survey, UnusedDevice};

/// Every kind that is built in, the preferred one last. The first one is there on every machine.
pub static BACKENDS: [&dyn Backend; 2] = [&Cpu, &Cuda];

/// A kind of devices.
pub trait Backend: Sync {
    /// What the names of its devices begin with: `cpu`, `cuda`.
    fn name(&self) -> &'static str;

    /// The variables of the environment that say something about it and are no flag.
    fn variables(&self) -> &'static [&'static str];

    /// Looks for its devices. None is woken.
    ///
    /// # Errors
    ///
    /// `Option` when a variable has a value that means nothing.
    fn discover(&self) -> Result<Survey, RuntimeError>;

    /// Lanes and batches where nothing else is asked for.
    fn budgets(&self) -> Budgets;
}

/// Lanes and batches of a kind of devices where nothing else is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Budgets {
    /// Lanes that read on one device, the preferred number first; none: one for each thread.
    pub lanes: &'static [usize],
    /// Tokens of a batch, the preferred number first.
    pub tokens: &'static [usize],
    /// Texts that one device writes at the same time.
    pub texts: usize,
}

/// A device that is there and not opened yet.
pub trait Hardware: Send + Sync {
    /// Bytes of memory it has left. A GPU is woken by that and stays awake for the life of the
    /// process.
    ///
    /// # Errors
    ///
    /// `Device` when it does not answer.
    fn free_bytes(&self) -> Result<Option<u64>, RuntimeError>;

    /// Opens it. `threads` pack weights.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being opened.
    fn open(&self, threads: usize) -> Result<Box<dyn OpenDevice>, DeviceError>;

    /// Floating-point operations per second of products in `dtype` on `threads` threads, measured
    /// with random data for about `duration`. `None` where the device has no such instructions.
    fn peak_flops(&self, dtype: DType, threads: usize, duration: Duration) -> Option<f64>;

    /// Bytes per second that `threads` threads together read from memory, measured with random
    /// data that no cache holds. `None` where it is not measured.
    fn peak_bytes(&self, threads: usize, duration: Duration) -> Option<f64>;
}
