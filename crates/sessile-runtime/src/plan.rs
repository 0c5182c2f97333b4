//! The memory plan: what will be needed, before anything is loaded.
//!
//! Weights are counted from the checkpoint's header, the workspace of a lane by running the model
//! on a [`PlanDevice`](sessile_device::PlanDevice). What does not fit is refused with these numbers.

mod device;
pub(crate) mod memory;
mod reading;
mod writing;

pub(crate) use device::plan_on;
pub use device::{plan, plan_device};
pub use memory::{InstanceReason, MemoryPlan, ModelPlan, WritingPlan};
pub use reading::{count_flops, plan_model};
pub use writing::{WritingWork, count_writing};
