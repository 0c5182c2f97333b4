//! The arena of a lane: the block of memory and the stack of buffers in it.

use sessile_device::{Arena, Buf, DType, DeviceError, Format, Mark};

use crate::bf16::operand;
use crate::geometry::CpuGeometry;
use crate::memory::Block;
use crate::rows::{Rows, RowsMut};

/// One block of memory with a stack of buffers in it.
pub(crate) struct Workspace {
    geometry: CpuGeometry,
    arena: Arena,
    block: Block,
}

impl Workspace {
    pub(crate) fn new(geometry: CpuGeometry, bytes: usize) -> Result<Self, DeviceError> {
        Ok(Workspace {
            geometry,
            arena: Arena::new(bytes),
            block: Block::zeroed(bytes)?,
        })
    }

    pub(crate) fn buffer(
        &mut self,
        rows: usize,
        cols: usize,
        format: Format,
    ) -> Result<Buf, DeviceError> {
        self.arena.buffer(&self.geometry, rows, cols, format)
    }

    pub(crate) fn mark(&self) -> Mark {
        self.arena.mark()
    }

    pub(crate) fn release(&mut self, mark: Mark) {
        self.arena.release(mark);
    }

    /// The f32 values of a buffer, to read.
    pub(crate) fn read(&self, buf: Buf) -> Rows<'_> {
        assert!(is_f32(buf.format()), "{:?} is not f32", buf.format());
        let start = self.locate(buf);
        // SAFETY: `locate` has checked the bounds; the block is initialised memory, aligned for
        // f32, and `&self` keeps writers away.
        unsafe { Rows::from_ptr(start.cast(), buf.rows(), buf.cols(), buf.row_stride()) }
    }

    /// The numbers of an index buffer.
    pub(crate) fn indices(&self, buf: Buf) -> &[u32] {
        assert!(buf.format() == Format::Index && buf.cols() == buf.row_stride());
        let start = self.locate(buf);
        // SAFETY: as in `read`; the rows follow each other without a gap.
        unsafe { std::slice::from_raw_parts(start.cast(), buf.rows() * buf.cols()) }
    }

    /// The f32 values of a buffer, to write.
    pub(crate) fn write(&mut self, buf: Buf) -> RowsMut<'_> {
        self.open(buf, []).0
    }

    /// A buffer to write, and others to read that lie elsewhere.
    pub(crate) fn open<const N: usize>(
        &mut self,
        out: Buf,
        inputs: [Buf; N],
    ) -> (RowsMut<'_>, Inputs<'_, N>) {
        assert!(is_f32(out.format()), "{:?} is not f32", out.format());
        let (start, inputs) = self.open_bytes(out, inputs);
        // SAFETY: `open_bytes` has checked the bounds, `&mut self` keeps everybody else away, and
        // the inputs that are lent beside it lie elsewhere.
        let out =
            unsafe { RowsMut::from_ptr(start.cast(), out.rows(), out.cols(), out.row_stride()) };
        (out, inputs)
    }

    /// The same for an output of any format: where it starts.
    pub(crate) fn open_bytes<const N: usize>(
        &mut self,
        out: Buf,
        inputs: [Buf; N],
    ) -> (*mut u8, Inputs<'_, N>) {
        for input in &inputs {
            assert!(
                self.apart(out, *input),
                "{input:?} is read while {out:?} is written"
            );
        }
        let start = self.locate(out);
        let inputs = Inputs {
            workspace: self,
            bufs: inputs,
        };
        (start, inputs)
    }

    /// Copies into the start of a buffer. `T` is u32 or f32.
    pub(crate) fn fill<T: Word>(&mut self, buf: Buf, values: &[T]) {
        assert!(values.len() <= buf.rows() * buf.cols() && buf.cols() == buf.row_stride());
        let start = self.locate(buf);
        // SAFETY: `locate` has checked that the buffer lies in the block, and its elements have
        // four bytes each (`Index` or f32), as `T` has.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), start.cast(), values.len()) };
    }

    /// Where a view starts.
    ///
    /// # Panics
    ///
    /// When it is not inside the block: a handle of another lane.
    fn locate(&self, buf: Buf) -> *mut u8 {
        assert!(
            end(buf).is_some_and(|end| end <= self.block.len()),
            "{buf:?} is not in this arena"
        );
        self.block
            .as_ptr()
            .wrapping_add(buf.offset() + buf.first_col() * element(buf.format()))
    }

    /// Whether two views share no element: other bytes, or other columns of one buffer.
    fn apart(&self, a: Buf, b: Buf) -> bool {
        let bytes_apart = end(a).is_some_and(|end| end <= b.offset())
            || end(b).is_some_and(|end| end <= a.offset());
        let columns_apart = a.offset() == b.offset()
            && a.row_stride() == b.row_stride()
            && element(a.format()) == element(b.format())
            && (a.first_col() + a.cols() <= b.first_col()
                || b.first_col() + b.cols() <= a.first_col());
        bytes_apart || columns_apart
    }
}

/// The buffers that [`Workspace::open`] lends for reading beside the one to write.
pub(crate) struct Inputs<'a, const N: usize> {
    workspace: &'a Workspace,
    bufs: [Buf; N],
}

impl<'a, const N: usize> Inputs<'a, N> {
    /// Input `index` as f32.
    pub(crate) fn rows(&self, index: usize) -> Rows<'a> {
        self.workspace.read(self.bufs[index])
    }

    /// Input `index` as bf16 rows.
    pub(crate) fn halves(&self, index: usize) -> Rows<'a, u16> {
        let buf = self.bufs[index];
        assert!(
            buf.format() == Format::Heads(DType::Bf16),
            "{:?} has no bf16 rows",
            buf.format()
        );
        let start = self.workspace.locate(buf);
        // SAFETY: `locate` has checked the bounds; the block is initialised memory, aligned for
        // u16, and the output that is written beside it lies elsewhere.
        unsafe { Rows::from_ptr(start.cast(), buf.rows(), buf.cols(), buf.row_stride()) }
    }

    /// Where input `index`, a bf16 operand, starts.
    pub(crate) fn operand(&self, index: usize) -> *const u16 {
        let buf = self.bufs[index];
        assert!(
            buf.format() == Format::Operand(DType::Bf16),
            "{:?} is no bf16 operand",
            buf.format()
        );
        self.workspace.locate(buf).cast()
    }

    /// Input `index` as row numbers.
    pub(crate) fn indices(&self, index: usize) -> &'a [u32] {
        self.workspace.indices(self.bufs[index])
    }
}

/// What a four-byte element may be.
pub(crate) trait Word: Copy {}
impl Word for f32 {}
impl Word for u32 {}

fn is_f32(format: Format) -> bool {
    matches!(
        format,
        Format::F32 | Format::Operand(DType::F32) | Format::Heads(DType::F32)
    )
}

/// Bytes of an element.
fn element(format: Format) -> usize {
    match format {
        Format::F32 | Format::Index => size_of::<f32>(),
        Format::Operand(dtype) | Format::Heads(dtype) => dtype.size(),
    }
}

/// Bytes from the start of the arena to the end of the whole buffer.
fn end(buf: Buf) -> Option<usize> {
    (buf.first_col() + buf.cols() <= buf.row_stride()).then_some(())?;
    if buf.format() == Format::Operand(DType::Bf16) {
        return operand::bytes(buf.rows(), buf.cols()).checked_add(buf.offset());
    }
    buf.rows()
        .checked_mul(buf.row_stride())?
        .checked_mul(element(buf.format()))?
        .checked_add(buf.offset())
}
