//! Lanes: a stream with a workspace of its own. Operations are queued and return at once.
//!
//! Every operation checks its shapes before it hands addresses to a kernel. What goes wrong is kept
//! and comes out where somebody waits; until then nothing more is queued.

mod attention;
mod decoding;
mod graphs;
mod linear;
mod staging;

use std::sync::Arc;

use sessile_device::{
    Activation, Arena, AttentionInput, AttentionSpec, BatchBuf, Buf, DType, DeviceError,
    DeviceErrorKind, Epilogue, Format, Lane, Mark, Norm, PackedBatch, Pooling, Ticket, arena,
};

use crate::context::{DeviceMemory, PinnedMemory, Stream};
use crate::device::Shared;
use crate::driver::RawAddress;
use crate::geometry::{CudaGeometry, element_bytes, row_elements};
use crate::kernels::{Argument, Grid, names};
use crate::products::LaneProducts;
use crate::weight::CudaWeight;
use Argument::{Address, Float, Long, Word};
use graphs::{Graphs, Hands, Work};
use staging::{Reads, Uploads};

/// The numbers of `prelude.cuh` for what was wrong with an index.
const FAULTS: [(u32, &str); 4] = [
    (1, "a token is outside of the table"),
    (2, "a row is outside of the buffer"),
    (3, "a column is outside of the row"),
    (4, "a cell is outside of the cache"),
];

const FAULT_TOKEN: u32 = 1;
const FAULT_ROW: u32 = 2;

/// A lane of a [`CudaDevice`](crate::CudaDevice).
pub struct CudaLane {
    shared: Arc<Shared>,
    // Fields are dropped in this order: the stream waits for its work before memory goes.
    stream: Stream,
    arena: Arena,
    memory: DeviceMemory,
    products: Option<LaneProducts>,
    graphs: Graphs,
    uploads: Uploads,
    reads: Reads,
    /// A word that kernels write when an index of a user's data is wrong.
    index_fault: PinnedMemory,
    /// One value per row of a contact map; it grows in the first pass and stays.
    margins: Option<DeviceMemory>,
    /// The first thing that went wrong since the last wait. Operations do nothing while it is set.
    fault: Option<DeviceError>,
}

/// A buffer as a kernel takes it.
#[derive(Clone, Copy)]
struct View {
    address: RawAddress,
    /// Elements from row to row.
    stride: usize,
}

impl CudaLane {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        arena_bytes: usize,
        records: bool,
    ) -> Result<Self, DeviceError> {
        let context = &shared.context;
        // A plan that was counted without bounds is no size to take.
        let arena_bytes = arena_bytes.next_multiple_of(arena::ALIGNMENT);
        Ok(CudaLane {
            stream: Stream::new(context)?,
            arena: Arena::new(arena_bytes),
            memory: DeviceMemory::new(context, arena_bytes)?,
            products: shared.products.as_ref().map(LaneProducts::new),
            graphs: Graphs::new(records),
            uploads: Uploads::new(context)?,
            reads: Reads::default(),
            index_fault: PinnedMemory::new(context, size_of::<u64>())?,
            margins: None,
            fault: None,
            shared: Arc::clone(shared),
        })
    }

    fn note(&mut self, error: DeviceError) {
        self.fault.get_or_insert(error);
    }

    fn fail(&mut self, kind: DeviceErrorKind, message: impl Into<String>) {
        self.note(DeviceError::new(kind, message));
    }

    /// Ends a pass that has failed. Returns what went wrong first.
    ///
    /// Nothing of it may still be under way when the next one begins, nor be told to that one. A
    /// lost GPU says so again, which changes nothing.
    fn abandon(&mut self, error: DeviceError) -> DeviceError {
        self.graphs.forget();
        let _ = self.stream.wait();
        self.reads.forget();
        self.index_fault.set_word(0);
        self.fault.take().unwrap_or(error)
    }

    /// Queues a kernel unless something has gone wrong before.
    fn launch(&mut self, name: &str, grid: Grid, arguments: &[Argument]) {
        if self.fault.is_some() {
            return;
        }
        match self.shared.kernels.prepare(name, grid, arguments) {
            Ok(Some(launch)) => self.queue(Work::Kernel(launch)),
            Ok(None) => {}
            Err(error) => self.note(error),
        }
    }

    /// Queues work, or keeps it for the end of a small pass.
    fn queue(&mut self, work: Work) {
        let (graphs, hands) = self.hands();
        if let Err(error) = graphs.take(work, hands) {
            self.note(error);
        }
    }

    /// Queues what was kept: it comes before whatever the stream is asked next.
    fn flush(&mut self) {
        if self.fault.is_some() {
            return self.graphs.forget();
        }
        let (graphs, hands) = self.hands();
        if let Err(error) = graphs.flush(hands) {
            self.note(error);
        }
    }

    /// What was kept, and who does the work.
    fn hands(&mut self) -> (&mut Graphs, Hands<'_>) {
        let hands = Hands {
            stream: &self.stream,
            kernels: &self.shared.kernels,
            products: self.products.as_mut(),
        };
        (&mut self.graphs, hands)
    }

    /// Where a buffer lies.
    ///
    /// # Panics
    ///
    /// When it is not inside the arena: a handle of another lane.
    fn view(&self, buf: Buf) -> View {
        let stride = row_elements(buf.row_stride(), buf.format());
        let size = element_bytes(buf.format());
        let end = buf
            .rows()
            .checked_mul(stride)
            .and_then(|len| len.checked_mul(size))
            .and_then(|bytes| bytes.checked_add(buf.offset()));
        assert!(
            end.is_some_and(|end| end <= self.memory.len())
                && buf.first_col() + buf.cols() <= buf.row_stride(),
            "{buf:?} is not in this arena"
        );
        View {
            address: self.memory.address() + (buf.offset() + buf.first_col() * size) as u64,
            stride,
        }
    }

    /// An f32 buffer.
    fn f32(&self, buf: Buf) -> View {
        assert!(
            matches!(
                buf.format(),
                Format::F32 | Format::Operand(DType::F32) | Format::Heads(DType::F32)
            ),
            "{buf:?} is not f32"
        );
        self.view(buf)
    }

    fn indices(&self, buf: Buf) -> RawAddress {
        assert!(buf.format() == Format::Index && buf.cols() == buf.row_stride());
        self.view(buf).address
    }

    fn index_fault(&self) -> Argument {
        Address(self.index_fault.address())
    }

    /// Puts values into a new buffer.
    fn upload_to(
        &mut self,
        format: Format,
        count: usize,
        copy: impl FnOnce(&mut Self, RawAddress) -> Result<(), DeviceError>,
    ) -> Result<Buf, DeviceError> {
        let mark = self.arena.mark();
        let buf = self.buffer(count, 1, format)?;
        let address = self.view(buf).address;
        self.flush();
        if self.fault.is_none()
            && let Err(error) = copy(self, address)
        {
            self.arena.release(mark);
            return Err(self.abandon(error));
        }
        Ok(buf)
    }

    /// Scratch for one operation: the next one may use the same bytes, as the stream is in order.
    fn scratch(&mut self, bytes: usize) -> Option<RawAddress> {
        let mark = self.arena.mark();
        let taken = self.arena.bytes(bytes);
        self.arena.release(mark);
        match taken {
            Ok(offset) => Some(self.memory.address() + offset as u64),
            Err(error) => {
                self.note(error);
                None
            }
        }
    }

    /// Whatever kernels have noted about indices.
    fn take_index_fault(&mut self) -> Option<DeviceError> {
        let word = self.index_fault.word();
        if word == 0 {
            return None;
        }
        self.index_fault.set_word(0);
        let what = FAULTS
            .iter()
            .find(|(number, _)| *number == word)
            .map_or("an index is wrong", |(_, what)| what);
        Some(DeviceError::new(DeviceErrorKind::Misuse, what))
    }
}

/// The number format of an operand or heads; f32 for the residual stream.
fn dtype(format: Format) -> DType {
    match format {
        Format::Operand(dtype) | Format::Heads(dtype) => dtype,
        Format::F32 => DType::F32,
        Format::Index => panic!("row numbers are no values"),
    }
}

/// A number of rows or columns as a kernel takes it. Arenas are far below 2³² rows.
fn word(value: usize) -> Argument {
    Word(u32::try_from(value).unwrap_or(u32::MAX))
}

impl Lane for CudaLane {
    type Weight = CudaWeight;

    fn buffer(&mut self, rows: usize, cols: usize, format: Format) -> Result<Buf, DeviceError> {
        let buf = self.arena.buffer(&CudaGeometry, rows, cols, format);
        // Whoever gets no buffer ends the pass here and waits for nothing.
        buf.map_err(|error| self.abandon(error))
    }

    fn mark(&self) -> Mark {
        self.arena.mark()
    }

    fn release(&mut self, mark: Mark) {
        self.arena.release(mark);
    }

    fn upload(&mut self, batch: &PackedBatch) -> Result<BatchBuf, DeviceError> {
        // What the pass before has kept was kept by its own size.
        self.flush();
        self.graphs.begin(batch.tokens().len());
        let mark = self.mark();
        let tokens = self.upload_indices(batch.tokens())?;
        let offsets = self
            .upload_indices(batch.offsets())
            .inspect_err(|_| self.arena.release(mark))?;
        Ok(BatchBuf {
            tokens,
            offsets,
            sequences: batch.len(),
            longest: batch.longest(),
            squared_lengths: batch.squared_lengths(),
        })
    }

    fn upload_values(&mut self, values: &[f32]) -> Result<Buf, DeviceError> {
        self.upload_to(Format::F32, values.len(), |lane, to| {
            lane.uploads
                .copy(&lane.shared.context, &lane.stream, to, values)
        })
    }

    fn upload_indices(&mut self, indices: &[u32]) -> Result<Buf, DeviceError> {
        self.upload_to(Format::Index, indices.len(), |lane, to| {
            lane.uploads
                .copy(&lane.shared.context, &lane.stream, to, indices)
        })
    }

    fn gather(&mut self, ids: Buf, table: &CudaWeight, scale: Option<Buf>, out: Buf) {
        let scale = scale.map_or(0, |scale| {
            assert!(scale.rows() >= out.rows());
            self.f32(scale).address
        });
        assert!(ids.rows() >= out.rows() && out.cols() == table.cols);
        let to = self.f32(out);
        let arguments = [
            Address(self.indices(ids)),
            Address(table.address),
            word(table.rows),
            Long(table.stride as u64),
            Address(scale),
            Address(to.address),
            Long(to.stride as u64),
            word(out.cols()),
            Word(FAULT_TOKEN),
            self.index_fault(),
        ];
        self.launch(
            names::gather(table.dtype),
            Grid::blocks(out.rows()),
            &arguments,
        );
    }

    fn gather_rows(&mut self, x: Buf, rows: Buf, out: Buf) {
        assert!(rows.rows() >= out.rows() && x.cols() == out.cols());
        let (from, to) = (self.f32(x), self.f32(out));
        let arguments = [
            Address(self.indices(rows)),
            Address(from.address),
            word(x.rows()),
            Long(from.stride as u64),
            Address(0),
            Address(to.address),
            Long(to.stride as u64),
            word(out.cols()),
            Word(FAULT_ROW),
            self.index_fault(),
        ];
        self.launch(
            names::gather(DType::F32),
            Grid::blocks(out.rows()),
            &arguments,
        );
    }

    fn norm(&mut self, x: Buf, norm: Norm<'_, CudaWeight>, out: Buf) {
        assert!(x.rows() == out.rows() && x.cols() == out.cols());
        let (gain, shift, epsilon, rms) = match norm {
            Norm::Layer {
                gain,
                shift,
                epsilon,
            } => (gain, shift, epsilon, 0),
            Norm::Rms { gain, epsilon } => (gain, None, epsilon, 1),
        };
        assert!(gain.rows * gain.cols >= x.cols());
        assert!(shift.is_none_or(|shift| shift.rows * shift.cols >= x.cols()));
        let (from, to) = (self.f32(x), self.view(out));
        let arguments = [
            Address(from.address),
            Long(from.stride as u64),
            Address(gain.values()),
            Address(shift.map_or(0, CudaWeight::values)),
            Float(epsilon),
            Word(rms),
            Address(to.address),
            Long(to.stride as u64),
            word(x.cols()),
        ];
        let name = names::norm(dtype(out.format()));
        self.launch(name, Grid::blocks(x.rows()), &arguments);
    }

    fn convert(&mut self, x: Buf, out: Buf) {
        assert!(x.rows() == out.rows() && x.cols() == out.cols());
        let (from, to) = (self.f32(x), self.view(out));
        let arguments = [
            Address(from.address),
            Long(from.stride as u64),
            Address(to.address),
            Long(to.stride as u64),
            word(x.cols()),
        ];
        let name = names::convert(dtype(out.format()));
        self.launch(name, Grid::blocks(x.rows()), &arguments);
    }

    fn linear(
        &mut self,
        x: Buf,
        weight: &CudaWeight,
        bias: Option<&CudaWeight>,
        epilogue: Epilogue,
        out: Buf,
    ) {
        self.run_linear(x, weight, bias, epilogue, out);
    }

    fn attention(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        spec: &AttentionSpec<'_, CudaWeight>,
        out: Buf,
    ) {
        self.run_attention(input, batch, spec, out);
    }

    fn attention_map(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        sequence: usize,
        head: usize,
        spec: &AttentionSpec<'_, CudaWeight>,
        out: Buf,
    ) {
        self.run_attention_map(input, batch, [sequence, head], spec, out);
    }

    fn add_contacts(&mut self, map: Buf, factor: &CudaWeight, column: usize, sum: Buf) {
        let len = sum.rows();
        assert!(map.rows() == len + 2 && map.cols() == len + 2 && sum.cols() == len);
        assert!(column < factor.rows * factor.cols);
        let bytes = len * size_of::<f32>();
        if self
            .margins
            .as_ref()
            .is_none_or(|margins| margins.len() < bytes)
        {
            self.flush();
            if self.fault.is_some() {
                return;
            }
            // The old block may still be read by what is queued.
            if let Err(error) = self.stream.wait() {
                return self.note(error);
            }
            self.margins = None;
            match DeviceMemory::new(&self.shared.context, bytes.next_power_of_two().max(1 << 14)) {
                Ok(memory) => self.margins = Some(memory),
                Err(error) => return self.note(error),
            }
        }
        let margins = self.margins.as_ref().map_or(0, DeviceMemory::address);
        let (map, to) = (self.f32(map), self.f32(sum));
        let arguments = [
            Address(map.address),
            Long(map.stride as u64),
            Address(margins),
            word(len),
        ];
        self.launch("contact_margins", Grid::blocks(len), &arguments);
        let arguments = [
            Address(map.address),
            Long(map.stride as u64),
            Address(margins),
            Address(factor.values()),
            word(column),
            Address(to.address),
            Long(to.stride as u64),
            word(len),
        ];
        self.launch("contact_add", Grid::blocks(len), &arguments);
    }

    fn sigmoid(&mut self, x: Buf, shift: &CudaWeight) {
        let at = self.f32(x);
        let arguments = [
            Address(at.address),
            Long(at.stride as u64),
            word(x.cols()),
            Address(shift.values()),
        ];
        self.launch("sigmoid", Grid::blocks(x.rows()), &arguments);
    }

    fn gate(&mut self, x: Buf, activation: Activation, out: Buf) {
        assert!(x.rows() == out.rows() && x.cols() == 2 * out.cols());
        let (from, to) = (self.f32(x), self.f32(out));
        let arguments = [
            Address(from.address),
            Long(from.stride as u64),
            Address(to.address),
            Long(to.stride as u64),
            word(out.cols()),
        ];
        let name = match activation {
            Activation::Silu => "silu_gate",
            Activation::GeluTanh => "gelu_tanh_gate",
        };
        self.launch(name, Grid::blocks(x.rows()), &arguments);
    }

    fn add(&mut self, x: Buf, out: Buf) {
        assert!(x.rows() == out.rows() && x.cols() == out.cols());
        let (from, to) = (self.f32(x), self.f32(out));
        let arguments = [
            Address(from.address),
            Long(from.stride as u64),
            Address(to.address),
            Long(to.stride as u64),
            word(x.cols()),
        ];
        self.launch("add", Grid::blocks(x.rows()), &arguments);
    }

    fn zero(&mut self, x: Buf) {
        let at = self.f32(x);
        let arguments = [Address(at.address), Long(at.stride as u64), word(x.cols())];
        self.launch("zero", Grid::blocks(x.rows()), &arguments);
    }

    fn pool(&mut self, x: Buf, batch: &BatchBuf, pooling: Pooling, out: Buf) {
        assert!(out.rows() == batch.sequences && out.cols() == x.cols() && x.rows() == batch.len());
        let (first, last, only_first) = match pooling {
            Pooling::Mean {
                skip_first,
                skip_last,
            } => (skip_first, skip_last, 0),
            Pooling::First => (0, 0, 1),
        };
        let (from, to) = (self.f32(x), self.f32(out));
        let arguments = [
            Address(from.address),
            Long(from.stride as u64),
            Address(self.indices(batch.offsets)),
            word(first),
            word(last),
            Word(only_first),
            Address(to.address),
            Long(to.stride as u64),
            word(out.cols()),
        ];
        let grid = Grid {
            blocks_y: out.cols().div_ceil(128),
            ..Grid::blocks(out.rows())
        };
        self.launch("pool", grid, &arguments);
    }

    fn add_taps(
        &mut self,
        x: Buf,
        batch: &BatchBuf,
        bias: &CudaWeight,
        rectified: bool,
        hidden: usize,
        out: Buf,
    ) {
        let cols = out.cols();
        assert!(x.rows() == out.rows() && cols == bias.rows * bias.cols && x.rows() == batch.len());
        assert!(cols > 0 && x.cols().is_multiple_of(cols));
        let (from, to) = (self.f32(x), self.f32(out));
        let arguments = [
            Address(from.address),
            Long(from.stride as u64),
            Address(self.indices(batch.offsets)),
            word(batch.sequences),
            Address(bias.values()),
            Word(u32::from(rectified)),
            word(hidden),
            Address(to.address),
            Long(to.stride as u64),
            word(cols),
            word(x.cols() / cols),
        ];
        self.launch("add_taps", Grid::blocks(out.rows()), &arguments);
    }

    fn log_softmax_at(&mut self, x: Buf, columns: Buf, out: Buf) {
        assert!(x.rows() == out.rows() && columns.rows() >= x.rows() && x.cols() > 0);
        let (from, to) = (self.f32(x), self.f32(out));
        let arguments = [
            Address(from.address),
            Long(from.stride as u64),
            Address(self.indices(columns)),
            Address(to.address),
            Long(to.stride as u64),
            word(x.cols()),
            self.index_fault(),
        ];
        self.launch("log_softmax_at", Grid::blocks(x.rows()), &arguments);
    }

    fn read(&mut self, x: Buf) -> Ticket {
        let from = self.f32(x);
        self.flush();
        let shape = [x.rows(), x.cols(), from.stride];
        let (ticket, result) =
            self.reads
                .read(&self.shared.context, &self.stream, from.address, shape);
        if let Err(error) = result {
            self.note(error);
        }
        ticket
    }

    fn wait(&mut self, ticket: Ticket, into: &mut Vec<f32>) -> Result<(), DeviceError> {
        let taken = match self.fault.take() {
            Some(fault) => Err(fault),
            None => self.reads.take(ticket, into),
        };
        let taken = taken.and_then(|()| self.take_index_fault().map_or(Ok(()), Err));
        taken.map_err(|error| self.abandon(error))
    }
}

impl Drop for CudaLane {
    fn drop(&mut self) {
        // Kernels write into memory that goes next.
        let _ = self.stream.wait();
    }
}
