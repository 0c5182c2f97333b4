//! Devices: they own the packed weights and hand out lanes.

use crate::buffer::Format;
use crate::decoding::DecodingLane;
use crate::dtype::DType;
use crate::error::DeviceError;
use crate::id::DeviceId;
use crate::lane::Epilogue;
use crate::weight::{RowSource, WeightLayout};

/// The sizes of things on a device, in bytes. Pure arithmetic: a plan for a device that is not
/// there uses the same numbers.
pub trait Geometry: Send + Sync {
    /// Bytes of an activation.
    fn buffer_bytes(&self, rows: usize, cols: usize, format: Format) -> usize;

    /// Bytes of a packed weight of `rows` × `cols`.
    fn weight_bytes(&self, rows: usize, cols: usize, layout: WeightLayout, dtype: DType) -> usize;

    /// Bytes of arena that [`Lane::attention`](crate::Lane::attention) takes beside its operands while it runs.
    fn attention_scratch_bytes(&self, shape: &AttentionShape) -> usize;

    /// Bytes of arena that [`Lane::linear`](crate::Lane::linear) takes beside its operands while it runs, for a weight
    /// of `n` × `k` (both halves of a gated one).
    fn linear_scratch_bytes(
        &self,
        rows: usize,
        n: usize,
        k: usize,
        epilogue: Epilogue,
        dtype: DType,
    ) -> usize;
}

/// What decides how much scratch memory an attention takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Tokens of the batch.
    pub tokens: usize,
    /// Tokens of the longest sequence.
    pub longest: usize,
    /// Number of heads.
    pub heads: usize,
    /// Columns of one head.
    pub head_dim: usize,
    /// Whether queries and keys are rotated.
    pub rotated: bool,
    /// The number format of the heads.
    pub dtype: DType,
}

/// What a lane is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneSpec {
    /// Size of the arena, from a plan.
    pub arena_bytes: usize,
    /// Threads that work on one operation together (CPU); 1 for throughput.
    pub threads: usize,
}

/// One NUMA node or one GPU. Owns the weights; shared by all its lanes.
pub trait Device: Send + Sync + 'static {
    /// A weight in this device's memory and layout. Immutable, shared by all lanes.
    type Weight: Send + Sync + 'static;

    /// What runs operations here.
    type Lane: DecodingLane<Weight = Self::Weight> + 'static;

    /// Which device this is.
    fn id(&self) -> DeviceId;

    /// The family of kernels that this device chose, part of every fingerprint: answers are equal
    /// to the byte only within one family. For example `cpu-amx-bf16`.
    fn kernel_family(&self, dtype: DType) -> String;

    /// Sizes of things on this device.
    fn geometry(&self) -> &dyn Geometry;

    /// Packs `parts`, stacked along their rows, into one weight. Called once per weight, at load.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`, `Source` when a part can not be read, `Unsupported` for a number format
    /// that this device does not have.
    fn pack(
        &self,
        parts: &[&dyn RowSource],
        layout: WeightLayout,
        dtype: DType,
    ) -> Result<Self::Weight, DeviceError>;

    /// Makes a lane with its own arena.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the arena can not be had.
    fn lane(&self, spec: &LaneSpec) -> Result<Self::Lane, DeviceError>;
}
