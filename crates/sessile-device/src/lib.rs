//! The seam between models and devices.
//!
//! A transformer is written once, in `sessile-models`, as a sequence of operations on a [`Lane`]:
//! gather the embeddings, normalise, multiply by a weight, attend, pool. A [`Device`] owns packed
//! weights and hands out lanes; each lane owns one planned block of memory (its *arena*) and runs
//! what is enqueued on it, in order. The CPU device does the work inside the call; a CUDA device
//! only enqueues it on a stream. Both are right because of three rules:
//!
//! 1. **Operations return no host value.** The only way out is [`Lane::read`], and the only place
//!    that waits is [`Lane::wait`]. What went wrong on the way surfaces there.
//! 2. **Lengths live on the device.** A batch is a [`PackedBatch`]: sequences laid end to end with
//!    their offsets, uploaded once. There is no padding and no attention mask.
//! 3. **A row's bytes depend on its own sequence only.** The order in which a product is summed
//!    depends on the shape of the weight, never on the number of rows, and an attention row sees
//!    nothing but its own sequence. Batching, lanes and budgets therefore never change an answer.
//!
//! [`PlanDevice`] implements the same traits and only counts: running a model on it once gives the
//! memory and the floating-point operations of a real run ([`plan`]).
//!
//! What the runtime drives is neither a device nor a lane but an [`Execution`]: something that
//! admits requests and advances them step by step.

pub mod arena;
pub mod attention;
pub mod batch;
pub mod buffer;
pub mod decoding;
pub mod device;
pub mod dtype;
pub mod error;
pub mod execution;
pub mod generation;
pub mod id;
pub mod lane;
pub mod plan;
pub mod tensor;
pub mod timed;
pub mod weight;

pub use arena::Arena;
pub use attention::{AttentionInput, AttentionSpec, Bias, Rotary};
pub use batch::{BatchBuf, PackedBatch};
pub use buffer::{Buf, Format, Mark};
pub use decoding::{CellCache, CellLists, CellTable, DecodingLane};
pub use device::{AttentionShape, Device, Geometry, LaneSpec};
pub use dtype::DType;
pub use error::{DeviceError, DeviceErrorKind};
pub use execution::{
    Admission, Event, Execution, Generated, ModelIndex, Output, OutputKind, OutputSet, Request,
    RequestError, RequestErrorKind, RequestId,
};
pub use generation::{EarlyStopping, GenerationSettings};
pub use id::DeviceId;
pub use lane::{Activation, Epilogue, GivenUp, Lane, Norm, Pooling, Ticket};
pub use plan::{PlanDevice, PlanLane, PlanReport, PlanWeight};
pub use tensor::HostTensor;
pub use timed::{OperationClass, OperationTime, TimedDevice, TimedLane};
pub use weight::{RowSource, WeightLayout};
