//! Names of devices, as users write them.

use std::fmt;
use std::str::FromStr;

/// Which device: `cpu`, `cuda:0`, `cuda:1`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceId {
    /// The processor, all its cores together.
    Cpu,
    /// A CUDA device by its ordinal among the visible ones.
    Cuda(u32),
    /// No hardware: counts what a run would need ([`PlanDevice`](crate::PlanDevice)).
    Plan,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceId::Cpu => f.write_str("cpu"),
            DeviceId::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            DeviceId::Plan => f.write_str("plan"),
        }
    }
}

/// The text does not name a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDeviceIdError(String);

impl fmt::Display for ParseDeviceIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown device `{}` (cpu, cuda:0, cuda:1, …)", self.0)
    }
}

impl std::error::Error for ParseDeviceIdError {}

impl FromStr for DeviceId {
    type Err = ParseDeviceIdError;

    /// # Examples
    ///
    /// ```
    /// use sessile_device::DeviceId;
    /// assert_eq!("cuda:1".parse(), Ok(DeviceId::Cuda(1)));
    /// assert!("gpu".parse::<DeviceId>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ParseDeviceIdError(text.to_owned());
        match text.split_once(':') {
            None if text == "cpu" => Ok(DeviceId::Cpu),
            None if text == "cuda" => Ok(DeviceId::Cuda(0)),
            Some(("cuda", ordinal)) => ordinal.parse().map(DeviceId::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}
