//! How many instances of a model a GPU gets by the rules of the worker whose settings are read
//! here, to say beside our own plan what it would have done.
//!
//! That worker holds a copy of the weights for each instance and guesses its size from a setting;
//! it never asks the model. Our own plan counts the weights once and everything else as it is:
//! [`WritingPlan`](crate::WritingPlan).

/// The size of a model unless GPU_ESTIMATED_MODEL_SIZE_GB says another, in GiB.
pub const ESTIMATED_MODEL_GIB: f64 = 1.5;

/// Memory to leave alone unless GPU_MODEL_MEMORY_BUFFER_GB says otherwise, in GiB.
pub const MEMORY_BUFFER_GIB: f64 = 2.0;

/// What the worker knows of a device, in GiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InstanceFormula {
    /// Memory of the device.
    pub total: f64,
    /// Memory that is taken already.
    pub allocated: f64,
    /// Memory to leave alone.
    pub buffer: f64,
    /// What it takes a model to need.
    pub model: f64,
    /// Most instances; `None`: no limit.
    pub cap: Option<u64>,
}

impl InstanceFormula {
    /// Instances that fit without the limit, at least one. One even where nothing fits: the worker
    /// finds out when it loads.
    pub fn fitting(&self) -> u64 {
        // A cast cuts off, as the worker's does, and makes 0 of what is below it.
        (((self.total - self.allocated - self.buffer) / self.model) as u64).max(1)
    }

    /// The worker's number of instances.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_runtime::instances::InstanceFormula;
    ///
    /// let device = InstanceFormula {
    ///     total: 24.0,
    ///     allocated: 0.0,
    ///     buffer: 2.0,
    ///     model: 1.5,
    ///     cap: None,
    /// };
    /// assert_eq!(device.instances(), 14);
    /// assert_eq!(InstanceFormula { cap: Some(8), ..device }.instances(), 8);
    /// ```
    pub fn instances(&self) -> u64 {
        let fitting = self.fitting();
        self.cap.map_or(fitting, |cap| fitting.min(cap))
    }
}
