//! The runtime: models that stay loaded, lanes that pull, batches without padding.
//!
//! A [`Pool`] plans its memory first ([`plan`]), loads each model once per device and starts
//! *lanes*: threads with a workspace of their own that share the weights. Requests of all callers
//! flow into one bounded queue; an idle lane takes the next batch from it, filled by tokens and
//! never by count. So a slow device never holds back a fast one, nothing is padded and nothing is
//! loaded twice. What a sequence's answer is does not depend on any of this: not on the batch, the
//! budget, the lane or the number of threads.
//!
//! Faults stay where they are. A sequence that can not be computed fails alone; a lane that fails
//! gives its work back; when the last lane is lost every request is told so.

pub mod backend;
pub mod classifier;
pub mod discovery;
pub mod error;
pub mod instances;
mod lane;
mod loading;
pub mod machine;
pub mod metrics;
pub mod options;
pub mod plan;
pub mod pool;
mod queue;
mod rates;
pub mod resident;

pub use backend::{FoundDevice, Survey, UnusedDevice};
pub use classifier::{Classifier, ClassifierLane};
pub use error::{RuntimeError, RuntimeErrorKind};
pub use metrics::{LaneMetrics, Metrics, TakenBatch};
pub use options::{
    DTypeChoice, DeviceChoice, Dispatch, Instances, PoolOptions, Usual, WritingOptions,
};
pub use plan::{
    InstanceReason, MemoryPlan, ModelPlan, WritingPlan, plan as plan_pool, plan_device,
};
pub use pool::{
    Fallback, InOrder, LaneInfo, Pending, Pool, PoolLane, PoolRequest, Texts, WritingReport,
    WrittenText,
};
pub use queue::Timing;
pub use resident::Resident;
