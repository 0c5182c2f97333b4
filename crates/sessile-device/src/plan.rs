//! A device that computes nothing and counts everything.
//!
//! Running a model on [`PlanDevice`] walks through the very operations of a real run, so that the
//! bytes of workspace, the bytes of weights and the floating-point operations come from the code
//! that will run and not from a second formula beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::arena::Arena;
use crate::attention::{AttentionInput, AttentionSpec};
use crate::batch::{BatchBuf, PackedBatch};
use crate::buffer::{Buf, Format, Mark};
use crate::decoding::{CellCache, CellLists, DecodingLane};
use crate::device::{AttentionShape, Device, Geometry, LaneSpec};
use crate::dtype::DType;
use crate::error::DeviceError;
use crate::id::DeviceId;
use crate::lane::{Activation, Epilogue, Lane, Norm, Pooling, Ticket};
use crate::weight::{RowSource, WeightLayout};

/// A device without hardware that has the sizes of a real one.
#[derive(Clone)]
pub struct PlanDevice {
    geometry: Arc<dyn Geometry>,
    weight_bytes: Arc<AtomicU64>,
}

impl PlanDevice {
    /// A plan for a device with this geometry.
    pub fn new(geometry: Arc<dyn Geometry>) -> Self {
        PlanDevice {
            geometry,
            weight_bytes: Arc::default(),
        }
    }

    /// Bytes of all weights packed so far.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes.load(Ordering::Relaxed)
    }
}

/// The shape of a weight.
#[derive(Clone, Copy, Debug)]
pub struct PlanWeight {
    rows: usize,
    cols: usize,
    dtype: DType,
}

impl Device for PlanDevice {
    type Weight = PlanWeight;
    type Lane = PlanLane;

    fn id(&self) -> DeviceId {
        DeviceId::Plan
    }

    fn kernel_family(&self, dtype: DType) -> String {
        format!("plan-{dtype}")
    }

    fn geometry(&self) -> &dyn Geometry {
        &*self.geometry
    }

    fn pack(
        &self,
        parts: &[&dyn RowSource],
        layout: WeightLayout,
        dtype: DType,
    ) -> Result<PlanWeight, DeviceError> {
        let rows = parts.iter().map(|part| part.rows()).sum();
        let cols = parts.first().map_or(0, |part| part.cols());
        let bytes = self.geometry.weight_bytes(rows, cols, layout, dtype);
        self.weight_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(PlanWeight { rows, cols, dtype })
    }

    fn lane(&self, spec: &LaneSpec) -> Result<PlanLane, DeviceError> {
        Ok(PlanLane {
            geometry: Arc::clone(&self.geometry),
            arena: Arena::new(spec.arena_bytes),
            flops: 0,
            bytes_read: 0,
            operations: 0,
            reads: 0,
        })
    }
}

/// What was counted on a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanReport {
    /// Greatest height of the arena, in bytes.
    pub arena_bytes: usize,
    /// Floating-point operations of products and attention; a multiply-add counts as two.
    pub flops: u64,
    /// Bytes of the weights that products read, and of the cached cells that attention reads; not
    /// what flows from operation to operation.
    pub bytes_read: u64,
    /// Number of operations enqueued.
    pub operations: u64,
}

/// A lane that counts. See [`PlanDevice`].
pub struct PlanLane {
    geometry: Arc<dyn Geometry>,
    arena: Arena,
    flops: u64,
    bytes_read: u64,
    operations: u64,
    reads: u64,
}

impl PlanLane {
    /// What has been counted so far.
    pub fn report(&self) -> PlanReport {
        PlanReport {
            arena_bytes: self.arena.peak(),
            flops: self.flops,
            bytes_read: self.bytes_read,
            operations: self.operations,
        }
    }

    /// Scratch that an operation takes and gives back. A plan's arena is as large as it must be.
    fn scratch(&mut self, bytes: usize) {
        let mark = self.arena.mark();
        let _ = self.arena.bytes(bytes);
        self.arena.release(mark);
    }

    fn count(&mut self, flops: u64) {
        self.operations += 1;
        self.flops += flops;
    }
}

impl Lane for PlanLane {
    type Weight = PlanWeight;

    fn buffer(&mut self, rows: usize, cols: usize, format: Format) -> Result<Buf, DeviceError> {
        self.arena.buffer(&*self.geometry, rows, cols, format)
    }

    fn mark(&self) -> Mark {
        self.arena.mark()
    }

    fn release(&mut self, mark: Mark) {
        self.arena.release(mark);
    }

    fn upload(&mut self, batch: &PackedBatch) -> Result<BatchBuf, DeviceError> {
        Ok(BatchBuf {
            tokens: self.buffer(batch.tokens().len(), 1, Format::Index)?,
            offsets: self.buffer(batch.offsets().len(), 1, Format::Index)?,
            sequences: batch.len(),
            longest: batch.longest(),
            squared_lengths: batch.squared_lengths(),
        })
    }

    fn upload_values(&mut self, values: &[f32]) -> Result<Buf, DeviceError> {
        self.buffer(values.len(), 1, Format::F32)
    }

    fn upload_indices(&mut self, indices: &[u32]) -> Result<Buf, DeviceError> {
        self.buffer(indices.len(), 1, Format::Index)
    }

    fn gather(&mut self, _: Buf, _: &PlanWeight, _: Option<Buf>, _: Buf) {
        self.count(0);
    }

    fn gather_rows(&mut self, _: Buf, _: Buf, _: Buf) {
        self.count(0);
    }

    fn norm(&mut self, _: Buf, _: Norm<'_, PlanWeight>, _: Buf) {
        self.count(0);
    }

    fn convert(&mut self, _: Buf, _: Buf) {
        self.count(0);
    }

    fn linear(
        &mut self,
        x: Buf,
        weight: &PlanWeight,
        _: Option<&PlanWeight>,
        epilogue: Epilogue,
        _: Buf,
    ) {
        self.scratch(self.geometry.linear_scratch_bytes(
            x.rows(),
            weight.rows,
            weight.cols,
            epilogue,
            weight.dtype,
        ));
        self.bytes_read += (weight.rows * weight.cols * weight.dtype.size()) as u64;
        self.count(2 * x.rows() as u64 * weight.rows as u64 * weight.cols as u64);
    }

    fn attention(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        spec: &AttentionSpec<'_, PlanWeight>,
        _: Buf,
    ) {
        let dtype = match input.q.format() {
            Format::Heads(dtype) | Format::Operand(dtype) => dtype,
            Format::F32 | Format::Index => DType::F32,
        };
        let shape = AttentionShape {
            tokens: batch.len(),
            longest: batch.longest,
            heads: spec.heads,
            head_dim: spec.head_dim,
            rotated: spec.rotary.is_some(),
            dtype,
        };
        self.scratch(self.geometry.attention_scratch_bytes(&shape));
        let pairs = match spec.window {
            // A window of w sees at most 2w + 1 keys from each query.
            Some(window) => batch
                .squared_lengths
                .min(batch.len() as u64 * (2 * window as u64 + 1)),
            None => batch.squared_lengths,
        };
        self.count(4 * pairs * (spec.heads * spec.head_dim) as u64);
    }

    fn attention_map(
        &mut self,
        _: AttentionInput,
        _: &BatchBuf,
        _: usize,
        _: usize,
        spec: &AttentionSpec<'_, PlanWeight>,
        out: Buf,
    ) {
        self.count(2 * (out.rows() as u64).pow(2) * spec.head_dim as u64);
    }

    fn add_contacts(&mut self, _: Buf, _: &PlanWeight, _: usize, _: Buf) {
        self.count(0);
    }

    fn sigmoid(&mut self, _: Buf, _: &PlanWeight) {
        self.count(0);
    }

    fn gate(&mut self, _: Buf, _: Activation, _: Buf) {
        self.count(0);
    }

    fn add(&mut self, _: Buf, _: Buf) {
        self.count(0);
    }

    fn zero(&mut self, _: Buf) {
        self.count(0);
    }

    fn pool(&mut self, _: Buf, _: &BatchBuf, _: Pooling, _: Buf) {
        self.count(0);
    }

    fn add_taps(&mut self, _: Buf, _: &BatchBuf, _: &PlanWeight, _: bool, _: usize, _: Buf) {
        self.count(0);
    }

    fn log_softmax_at(&mut self, _: Buf, _: Buf, _: Buf) {
        self.count(0);
    }

    fn read(&mut self, x: Buf) -> Ticket {
        self.reads += 1;
        Ticket {
            serial: self.reads,
            len: x.rows() * x.cols(),
        }
    }

    fn wait(&mut self, ticket: Ticket, into: &mut Vec<f32>) -> Result<(), DeviceError> {
        into.clear();
        into.resize(ticket.len, 0.0);
        Ok(())
    }
}

impl DecodingLane for PlanLane {
    fn scatter_rows(&mut self, _: Buf, _: Buf, _: Buf) {
        self.count(0);
    }

    fn attention_cells(
        &mut self,
        _: Buf,
        cache: CellCache,
        lists: &CellLists,
        spec: &AttentionSpec<'_, PlanWeight>,
        _: Buf,
    ) {
        for rows in [cache.keys, cache.values] {
            let cell = self.geometry.buffer_bytes(1, rows.cols(), rows.format());
            self.bytes_read += (lists.cells.rows() * cell) as u64;
        }
        self.count(4 * lists.pairs * (spec.heads * spec.head_dim) as u64);
    }

    fn log_sum_exp(&mut self, _: Buf, _: Buf) {
        self.count(0);
    }
}
