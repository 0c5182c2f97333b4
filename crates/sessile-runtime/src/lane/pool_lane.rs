//! A lane before it begins: its name, what it runs, and what it falls back on.

use sessile_device::{DeviceError, DeviceId, Execution};

/// How a lane is called and what it may take.
#[derive(Clone, Debug)]
pub struct LaneInfo {
    /// Its device.
    pub device: DeviceId,
    /// Its number on the device.
    pub index: usize,
    /// Tokens of a batch.
    pub token_budget: usize,
}

/// What the last lane of a model goes on with when it fails for good: something that answers one
/// request at a time is better than nothing.
pub type Fallback = Box<dyn FnOnce() -> Result<Box<dyn Execution>, DeviceError> + Send>;

/// A lane before it begins.
pub struct PoolLane {
    /// How it is called and what it may take.
    pub info: LaneInfo,
    /// What it runs.
    pub execution: Box<dyn Execution>,
    /// What it goes on with if it is the last one.
    pub fallback: Option<Fallback>,
}

impl From<(LaneInfo, Box<dyn Execution>)> for PoolLane {
    fn from((info, execution): (LaneInfo, Box<dyn Execution>)) -> Self {
        PoolLane {
            info,
            execution,
            fallback: None,
        }
    }
}
