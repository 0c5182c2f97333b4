//! A device that keeps time: where a pass spends it, by operation and shape.
//!
//! [`TimedDevice`] wraps any device and measures each operation on the wall clock. A device that
//! works inside the call (CPU) shows every operation with its own time; one that only queues shows
//! what queueing costs, and the work where the host waits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::attention::{AttentionInput, AttentionSpec, Bias};
use crate::batch::{BatchBuf, PackedBatch};
use crate::buffer::{Buf, Format, Mark};
use crate::decoding::{CellCache, CellLists, DecodingLane};
use crate::device::{Device, Geometry, LaneSpec};
use crate::dtype::DType;
use crate::error::DeviceError;
use crate::id::DeviceId;
use crate::lane::{Activation, Epilogue, GivenUp, Lane, Norm, Pooling, Ticket};
use crate::weight::{RowSource, WeightLayout};

/// An operation and the part of its shape that the model fixes. The number of rows is the batch's
/// and is summed up instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationClass {
    /// The operation's name on [`Lane`].
    pub name: &'static str,
    /// What kind of it: an epilogue, a norm, a bias; empty where there is one kind.
    pub kind: &'static str,
    /// Columns that go in (of attention: of one head).
    pub cols_in: usize,
    /// Columns that come out.
    pub cols_out: usize,
}

impl fmt::Display for OperationClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if !self.kind.is_empty() {
            write!(f, " {}", self.kind)?;
        }
        match (self.cols_in, self.cols_out) {
            (0, 0) => Ok(()),
            (cols_in, cols_out) => write!(f, " {cols_in}→{cols_out}"),
        }
    }
}

/// What one class of operations has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationTime {
    /// Number of calls.
    pub calls: u64,
    /// Rows of all calls together.
    pub rows: u64,
    /// Floating-point operations of products and attention; a multiply-add counts as two.
    pub flops: u64,
    /// Wall-clock time of all calls together, on all lanes.
    pub time: Duration,
}

type Times = Arc<Mutex<BTreeMap<OperationClass, OperationTime>>>;

/// A device whose lanes keep time. See the [module](self).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use sessile_device::{Device, Format, Lane, LaneSpec, PlanDevice, TimedDevice};
/// # use sessile_device::{AttentionShape, DType, Epilogue, Geometry, WeightLayout};
/// # struct Bytes;
/// # impl Geometry for Bytes {
/// #     fn buffer_bytes(&self, rows: usize, cols: usize, _: Format) -> usize { rows * cols * 4 }
/// #     fn weight_bytes(&self, rows: usize, cols: usize, _: WeightLayout, _: DType) -> usize { rows * cols * 4 }
/// #     fn attention_scratch_bytes(&self, _: &AttentionShape) -> usize { 0 }
/// #     fn linear_scratch_bytes(&self, _: usize, _: usize, _: usize, _: Epilogue, _: DType) -> usize { 0 }
/// # }
/// let device = TimedDevice::new(PlanDevice::new(Arc::new(Bytes)));
/// let mut lane = device.lane(&LaneSpec { arena_bytes: 4096, threads: 1 })?;
/// let x = lane.buffer(8, 16, Format::F32)?;
/// lane.zero(x);
/// let times = device.times();
/// assert_eq!(times[0].0.to_string(), "zero 16→16");
/// assert_eq!(times[0].1.calls, 1);
/// # Ok::<(), sessile_device::DeviceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TimedDevice<D> {
    inner: D,
    times: Times,
}

impl<D> TimedDevice<D> {
    /// Wraps a device. Weights packed by either are weights of both.
    pub fn new(inner: D) -> Self {
        TimedDevice {
            inner,
            times: Times::default(),
        }
    }

    /// The device inside.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// What every class of operations has taken on all lanes since the start or the last
    /// [`reset`](Self::reset), the most time first.
    pub fn times(&self) -> Vec<(OperationClass, OperationTime)> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let mut times: Vec<_> = times.iter().map(|(class, time)| (*class, *time)).collect();
        times.sort_by_key(|(_, time)| std::cmp::Reverse(time.time));
        times
    }

    /// Forgets what was measured, for example a warm-up.
    pub fn reset(&self) {
        self.times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl<D: Device> Device for TimedDevice<D> {
    type Weight = D::Weight;
    type Lane = TimedLane<D::Lane>;

    fn id(&self) -> DeviceId {
        self.inner.id()
    }

    fn kernel_family(&self, dtype: DType) -> String {
        self.inner.kernel_family(dtype)
    }

    fn geometry(&self) -> &dyn Geometry {
        self.inner.geometry()
    }

    fn pack(
        &self,
        parts: &[&dyn RowSource],
        layout: WeightLayout,
        dtype: DType,
    ) -> Result<D::Weight, DeviceError> {
        self.inner.pack(parts, layout, dtype)
    }

    fn lane(&self, spec: &LaneSpec) -> Result<Self::Lane, DeviceError> {
        Ok(TimedLane {
            inner: self.inner.lane(spec)?,
            times: Arc::clone(&self.times),
        })
    }
}

/// A lane that keeps time. See [`TimedDevice`].
#[derive(Debug)]
pub struct TimedLane<L> {
    inner: L,
    times: Times,
}

impl<L> TimedLane<L> {
    /// The lane inside.
    pub fn inner(&self) -> &L {
        &self.inner
    }

    fn time<R>(
        &mut self,
        class: OperationClass,
        rows: usize,
        flops: u64,
        run: impl FnOnce(&mut L) -> R,
    ) -> R {
        let start = Instant::now();
        let result = run(&mut self.inner);
        let taken = start.elapsed();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = times.entry(class).or_default();
        entry.calls += 1;
        entry.rows += rows as u64;
        entry.flops += flops;
        entry.time += taken;
        result
    }
}

fn class(name: &'static str, kind: &'static str, x: Buf, out: Buf) -> OperationClass {
    OperationClass {
        name,
        kind,
        cols_in: x.cols(),
        cols_out: out.cols(),
    }
}

/// A class of operations on squares of a sequence's length, or on nothing at all.
fn plain(name: &'static str) -> OperationClass {
    OperationClass {
        name,
        kind: "",
        cols_in: 0,
        cols_out: 0,
    }
}

impl<L: Lane> Lane for TimedLane<L> {
    type Weight = L::Weight;

    fn give_up_when(&mut self, given_up: Option<GivenUp>) {
        self.inner.give_up_when(given_up);
    }

    fn buffer(&mut self, rows: usize, cols: usize, format: Format) -> Result<Buf, DeviceError> {
        self.inner.buffer(rows, cols, format)
    }

    fn mark(&self) -> Mark {
        self.inner.mark()
    }

    fn release(&mut self, mark: Mark) {
        self.inner.release(mark);
    }

    fn upload(&mut self, batch: &PackedBatch) -> Result<BatchBuf, DeviceError> {
        let class = plain("upload");
        let rows = batch.tokens().len();
        self.time(class, rows, 0, |lane| lane.upload(batch))
    }

    fn upload_values(&mut self, values: &[f32]) -> Result<Buf, DeviceError> {
        self.inner.upload_values(values)
    }

    fn upload_indices(&mut self, indices: &[u32]) -> Result<Buf, DeviceError> {
        self.inner.upload_indices(indices)
    }

    fn gather(&mut self, ids: Buf, table: &L::Weight, scale: Option<Buf>, out: Buf) {
        let class = class("gather", "", out, out);
        self.time(class, out.rows(), 0, |lane| {
            lane.gather(ids, table, scale, out);
        });
    }

    fn gather_rows(&mut self, x: Buf, rows: Buf, out: Buf) {
        let class = class("gather_rows", "", x, out);
        self.time(class, out.rows(), 0, |lane| lane.gather_rows(x, rows, out));
    }

    fn norm(&mut self, x: Buf, norm: Norm<'_, L::Weight>, out: Buf) {
        let kind = match norm {
            Norm::Layer { .. } => "layer",
            Norm::Rms { .. } => "rms",
        };
        let class = class("norm", kind, x, out);
        self.time(class, x.rows(), 0, |lane| lane.norm(x, norm, out));
    }

    fn convert(&mut self, x: Buf, out: Buf) {
        let class = class("convert", "", x, out);
        self.time(class, x.rows(), 0, |lane| lane.convert(x, out));
    }

    fn linear(
        &mut self,
        x: Buf,
        weight: &L::Weight,
        bias: Option<&L::Weight>,
        epilogue: Epilogue,
        out: Buf,
    ) {
        let (kind, factors) = match epilogue {
            Epilogue::Store => ("store", 1),
            Epilogue::Gelu => ("gelu", 1),
            Epilogue::Relu => ("relu", 1),
            Epilogue::GeluGated => ("gelu gated", 2),
            Epilogue::Residual => ("residual", 1),
        };
        let flops = 2 * factors * (x.rows() * x.cols() * out.cols()) as u64;
        let class = class("linear", kind, x, out);
        self.time(class, x.rows(), flops, |lane| {
            lane.linear(x, weight, bias, epilogue, out);
        });
    }

    fn attention(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        spec: &AttentionSpec<'_, L::Weight>,
        out: Buf,
    ) {
        let pairs = match spec.window {
            Some(window) => batch
                .squared_lengths
                .min(batch.len() as u64 * (2 * window as u64 + 1)),
            None => batch.squared_lengths,
        };
        let flops = 4 * pairs * (spec.heads * spec.head_dim) as u64;
        let class = attention_class("attention", spec, spec.heads * spec.head_dim);
        self.time(class, batch.len(), flops, |lane| {
            lane.attention(input, batch, spec, out);
        });
    }

    fn attention_map(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        sequence: usize,
        head: usize,
        spec: &AttentionSpec<'_, L::Weight>,
        out: Buf,
    ) {
        let flops = 2 * (out.rows() as u64).pow(2) * spec.head_dim as u64;
        let class = attention_class("attention_map", spec, 1);
        self.time(class, out.rows(), flops, |lane| {
            lane.attention_map(input, batch, sequence, head, spec, out);
        });
    }

    fn add_contacts(&mut self, map: Buf, factor: &L::Weight, column: usize, sum: Buf) {
        let class = plain("add_contacts");
        self.time(class, sum.rows(), 0, |lane| {
            lane.add_contacts(map, factor, column, sum);
        });
    }

    fn sigmoid(&mut self, x: Buf, shift: &L::Weight) {
        let class = plain("sigmoid");
        self.time(class, x.rows(), 0, |lane| lane.sigmoid(x, shift));
    }

    fn gate(&mut self, x: Buf, activation: Activation, out: Buf) {
        let class = class("gate", "", x, out);
        self.time(class, x.rows(), 0, |lane| lane.gate(x, activation, out));
    }

    fn add(&mut self, x: Buf, out: Buf) {
        let class = class("add", "", x, out);
        self.time(class, x.rows(), 0, |lane| lane.add(x, out));
    }

    fn zero(&mut self, x: Buf) {
        let class = class("zero", "", x, x);
        self.time(class, x.rows(), 0, |lane| lane.zero(x));
    }

    fn pool(&mut self, x: Buf, batch: &BatchBuf, pooling: Pooling, out: Buf) {
        let kind = match pooling {
            Pooling::Mean { .. } => "mean",
            Pooling::First => "first",
        };
        let class = class("pool", kind, x, out);
        self.time(class, x.rows(), 0, |lane| {
            lane.pool(x, batch, pooling, out);
        });
    }

    fn add_taps(
        &mut self,
        x: Buf,
        batch: &BatchBuf,
        bias: &L::Weight,
        rectified: bool,
        hidden: usize,
        out: Buf,
    ) {
        let class = class("add_taps", "", x, out);
        self.time(class, x.rows(), 0, |lane| {
            lane.add_taps(x, batch, bias, rectified, hidden, out);
        });
    }

    fn log_softmax_at(&mut self, x: Buf, columns: Buf, out: Buf) {
        let class = class("log_softmax_at", "", x, out);
        self.time(class, x.rows(), 0, |lane| {
            lane.log_softmax_at(x, columns, out);
        });
    }

    fn read(&mut self, x: Buf) -> Ticket {
        let class = class("read", "", x, x);
        self.time(class, x.rows(), 0, |lane| lane.read(x))
    }

    fn wait(&mut self, ticket: Ticket, into: &mut Vec<f32>) -> Result<(), DeviceError> {
        let class = plain("wait");
        self.time(class, 0, 0, |lane| lane.wait(ticket, into))
    }
}

impl<L: DecodingLane> DecodingLane for TimedLane<L> {
    fn scatter_rows(&mut self, x: Buf, cells: Buf, out: Buf) {
        let class = class("scatter_rows", "", x, out);
        self.time(class, x.rows(), 0, |lane| lane.scatter_rows(x, cells, out));
    }

    fn attention_cells(
        &mut self,
        q: Buf,
        cache: CellCache,
        lists: &CellLists,
        spec: &AttentionSpec<'_, L::Weight>,
        out: Buf,
    ) {
        let flops = 4 * lists.pairs * (spec.heads * spec.head_dim) as u64;
        let class = attention_class("attention_cells", spec, spec.heads * spec.head_dim);
        self.time(class, q.rows(), flops, |lane| {
            lane.attention_cells(q, cache, lists, spec, out);
        });
    }

    fn log_sum_exp(&mut self, x: Buf, out: Buf) {
        let class = class("log_sum_exp", "", x, out);
        self.time(class, x.rows(), 0, |lane| lane.log_sum_exp(x, out));
    }
}

fn attention_class<W>(
    name: &'static str,
    spec: &AttentionSpec<'_, W>,
    cols_out: usize,
) -> OperationClass {
    let kind = match (&spec.bias, spec.rotary.is_some(), spec.window.is_some()) {
        (Bias::ByDistance { .. }, _, false) => "by distance",
        (Bias::ByDistance { .. }, _, true) => "by distance, window",
        (Bias::Alibi { .. }, _, false) => "alibi",
        (Bias::Alibi { .. }, _, true) => "alibi, window",
        (Bias::None, true, false) => "rotary",
        (Bias::None, true, true) => "rotary, window",
        (Bias::None, false, false) => "",
        (Bias::None, false, true) => "window",
    };
    OperationClass {
        name,
        kind,
        cols_in: spec.head_dim,
        cols_out,
    }
}
