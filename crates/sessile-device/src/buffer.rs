//! Handles to activations in a lane's arena.

use std::ops::Range;

use crate::dtype::DType;

/// How a device lays out an activation. The role is the model's to choose, the bytes are the
/// device's: only [`Format::F32`] and [`Format::Index`] have a layout that is the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Row-major f32: the residual stream, pooled vectors, logits.
    F32,
    /// What [`Lane::linear`](crate::Lane::linear) reads, for products in this number format.
    /// A norm or an activation writes it directly, so nothing is repacked between operations.
    Operand(DType),
    /// Row-major queries, keys and values in the number format of attention.
    Heads(DType),
    /// Row-major u32: token ids, offsets, row numbers.
    Index,
}

/// A handle to `[rows, cols]` values in a lane's arena. Copying it copies no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buf {
    offset: usize,
    rows: usize,
    width: usize,
    first_col: usize,
    cols: usize,
    format: Format,
}

impl Buf {
    /// A handle to a whole buffer of `rows` × `cols` that starts `offset` bytes into the arena.
    /// Devices make these; models get them from [`Lane::buffer`](crate::Lane::buffer).
    pub const fn at(offset: usize, rows: usize, cols: usize, format: Format) -> Self {
        Buf {
            offset,
            rows,
            width: cols,
            first_col: 0,
            cols,
            format,
        }
    }

    /// The columns `range` of this buffer, for example the keys of a fused QKV product.
    ///
    /// # Panics
    ///
    /// When the range lies outside, or when the layout of the format has no columns that can be
    /// cut out (`Operand`).
    #[must_use]
    pub fn columns(self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.cols,
            "columns {range:?}"
        );
        assert!(
            !matches!(self.format, Format::Operand(_)),
            "an operand can not be cut"
        );
        Buf {
            first_col: self.first_col + range.start,
            cols: range.len(),
            ..self
        }
    }

    /// Bytes from the start of the arena to the start of the whole buffer.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Number of rows, one per token or per sequence.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns of this view.
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// Columns of the whole buffer: the distance, in elements, from row to row.
    pub const fn row_stride(&self) -> usize {
        self.width
    }

    /// First column of this view in the whole buffer.
    pub const fn first_col(&self) -> usize {
        self.first_col
    }

    /// The role of the values.
    pub const fn format(&self) -> Format {
        self.format
    }
}

/// A height of the stack of a lane's arena, to come back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub(crate) usize);
