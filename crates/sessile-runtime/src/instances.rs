//! How many instances of a model a GPU gets by the rules of the worker whose settings are read
//! here, to say beside our own plan what it would have done.
//!
//! That worker holds a copy of the weights for each instance and guesses its size from a setting;
//! it never asks the model. Our own plan counts the weights once and everything else as it is:
//! [`WritingPlan`](crate::WritingPlan).

use std::ops::Range;

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

/// How the worker cuts a batch over its instances: equal parts in order, the rest to the last; an
/// instance with nothing to do is left out. Here lanes pull instead, so none waits for another.
///
/// # Examples
///
/// ```
/// use sessile_runtime::instances::contiguous_shares;
///
/// let shares: Vec<_> = contiguous_shares(10, 4).collect();
/// assert_eq!(shares, [(0, 0..2), (1, 2..4), (2, 4..6), (3, 6..10)]);
/// ```
pub fn contiguous_shares(
    items: usize,
    instances: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let share = (items / instances.max(1)).max(1);
    (0..instances).filter_map(move |instance| {
        let start = (instance * share).min(items);
        let end = if instance + 1 == instances {
            items
        } else {
            (start + share).min(items)
        };
        (start < end).then_some((instance, start..end))
    })
}
