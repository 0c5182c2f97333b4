//! What was found: devices that can be used, and those that can not.

use std::sync::Arc;
use std::time::Duration;

use sessile_cpu::Rates;
use sessile_device::{DType, DeviceId, Geometry};

use super::{Backend, Hardware};
use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::options::DTypeChoice;

/// A device as it was found, before anything is loaded onto it.
#[derive(Clone)]
pub struct FoundDevice {
    /// Its name.
    pub id: DeviceId,
    /// What it is, for people.
    pub description: String,
    /// Number formats it computes in, the preferred one first.
    pub dtypes: Vec<DType>,
    /// Bytes of memory it has left, where that is known.
    pub available_bytes: Option<u64>,
    /// Cores, for a CPU.
    pub cores: usize,
    /// Measured operations per second of one thread in each number format, for a CPU.
    pub rates: Option<Rates>,
    /// Anything a user should know about how it will be used.
    pub notes: Vec<String>,
    /// Its sizes.
    pub geometry: Arc<dyn Geometry>,
    /// Its kind.
    pub backend: &'static dyn Backend,
    /// The device itself; none: it is only planned for.
    pub hardware: Option<Arc<dyn Hardware>>,
}

/// A device that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedDevice {
    /// `cuda:1`, or `cuda` for all of a kind.
    pub name: String,
    /// What it is, where that is known.
    pub description: String,
    /// Why it is not used.
    pub reason: String,
    /// What to do about it, if there is something.
    pub hint: Option<String>,
}

/// Everything that was found.
#[derive(Clone, Default)]
pub struct Survey {
    /// Devices that can be used: the CPU first, then the GPUs.
    pub devices: Vec<FoundDevice>,
    /// Those that can not, and why.
    pub unused: Vec<UnusedDevice>,
}

impl FoundDevice {
    /// The number format that `choice` means here.
    ///
    /// # Errors
    ///
    /// `Device` when the device does not have it.
    pub fn dtype(&self, choice: DTypeChoice) -> Result<DType, RuntimeError> {
        match choice {
            DTypeChoice::Auto => Ok(self.dtypes[0]),
            DTypeChoice::Only(dtype) if self.dtypes.contains(&dtype) => Ok(dtype),
            DTypeChoice::Only(dtype) => Err(RuntimeError::new(
                RuntimeErrorKind::Device,
                format!("{} does not compute in {dtype}", self.id),
            )
            .with_hint(format!(
                "it has {}",
                self.dtypes
                    .iter()
                    .map(|dtype| dtype.name())
                    .collect::<Vec<_>>()
                    .join(", ")
            ))),
        }
    }

    /// Asks the device what memory it has left, without what the program takes unplanned. A GPU is
    /// woken by that and stays awake for the life of the process.
    ///
    /// # Errors
    ///
    /// `Device` when it does not answer.
    pub fn measure(&mut self) -> Result<(), RuntimeError> {
        if let Some(hardware) = &self.hardware {
            self.available_bytes = hardware.free_bytes()?;
        }
        Ok(())
    }

    /// Floating-point operations per second of products in `dtype` on `threads` threads, measured
    /// with random data for about `duration`. `None` where that is not measured.
    pub fn peak_flops(&self, dtype: DType, threads: usize, duration: Duration) -> Option<f64> {
        let hardware = self.hardware.as_ref()?;
        hardware.peak_flops(dtype, threads, duration)
    }

    /// Bytes per second that `threads` threads together read from memory, measured with random
    /// data that no cache holds, for about `duration`. `None` where that is not measured.
    pub fn peak_bytes(&self, threads: usize, duration: Duration) -> Option<f64> {
        self.hardware.as_ref()?.peak_bytes(threads, duration)
    }
}
