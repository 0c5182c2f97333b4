//! The sizes of things on a GPU, known without one.

use sessile_device::{AttentionShape, DType, Epilogue, Format, Geometry, WeightLayout, arena};

use crate::kernels::names;

/// Columns of a row of an operand or a product's weight are padded to so many bytes: what the
/// tensor cores' copies and cuBLASLt's fast kernels want.
const ROW_BYTES: usize = 16;

/// The widest head that attention takes.
pub(crate) const MAX_HEAD_DIM: usize = 128;

/// Sizes of activations and weights on any supported GPU.
///
/// # Examples
///
/// ```
/// use sessile_cuda::CudaGeometry;
/// use sessile_device::{DType, Format, Geometry};
///
/// // Rows of 30 columns lie 32 apart.
/// assert_eq!(CudaGeometry.buffer_bytes(10, 30, Format::Operand(DType::Bf16)), 10 * 32 * 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CudaGeometry;

/// Elements from row to row of an operand or a product's weight of `cols` columns.
pub(crate) fn padded(cols: usize, dtype: DType) -> usize {
    cols.next_multiple_of(ROW_BYTES / dtype.size())
}

/// Elements from row to row of a buffer of `cols` columns.
pub(crate) fn row_elements(cols: usize, format: Format) -> usize {
    match format {
        Format::Operand(dtype) => padded(cols, dtype),
        Format::F32 | Format::Index | Format::Heads(_) => cols,
    }
}

/// Bytes of an element.
pub(crate) fn element_bytes(format: Format) -> usize {
    match format {
        Format::F32 | Format::Index => size_of::<f32>(),
        Format::Operand(dtype) | Format::Heads(dtype) => dtype.size(),
    }
}

/// Columns that attention gives a head: the next size that there is a kernel for.
pub(crate) fn padded_head(head_dim: usize) -> usize {
    match head_dim {
        0..=32 => 32,
        33..=64 => 64,
        _ => MAX_HEAD_DIM,
    }
}

/// Which of queries and keys, and of values, are packed before attention.
pub(crate) fn is_packed(head_dim: usize, rotated: bool) -> (bool, bool) {
    let narrow = padded_head(head_dim) != head_dim;
    (narrow || rotated, narrow)
}

/// Bytes of one packed operand of attention, a whole number of the arena's steps.
pub(crate) fn packed_bytes(tokens: usize, heads: usize, head_dim: usize, dtype: DType) -> usize {
    tokens
        .saturating_mul(heads)
        .saturating_mul(padded_head(head_dim) * dtype.size())
        .checked_next_multiple_of(arena::ALIGNMENT)
        .unwrap_or(usize::MAX)
}

impl Geometry for CudaGeometry {
    fn buffer_bytes(&self, rows: usize, cols: usize, format: Format) -> usize {
        // A shape that does not fit the address space does not fit any arena either.
        rows.saturating_mul(row_elements(cols, format))
            .saturating_mul(element_bytes(format))
    }

    fn weight_bytes(&self, rows: usize, cols: usize, layout: WeightLayout, dtype: DType) -> usize {
        let (stride, size) = match layout {
            WeightLayout::Linear | WeightLayout::Gated => (padded(cols, dtype), dtype.size()),
            WeightLayout::Table => (cols, dtype.size()),
            WeightLayout::TableF32 => (cols, size_of::<f32>()),
            // In f32, and once more in the number format of products for their own epilogue.
            WeightLayout::Vector => (cols, vector_bytes(dtype)),
        };
        rows.saturating_mul(stride)
            .saturating_mul(size)
            .checked_next_multiple_of(arena::ALIGNMENT)
            .unwrap_or(usize::MAX)
    }

    fn attention_scratch_bytes(&self, shape: &AttentionShape) -> usize {
        let (queries_and_keys, values) = is_packed(shape.head_dim, shape.rotated);
        let count = 2 * usize::from(queries_and_keys) + usize::from(values);
        packed_bytes(shape.tokens, shape.heads, shape.head_dim, shape.dtype).saturating_mul(count)
    }

    fn linear_scratch_bytes(
        &self,
        rows: usize,
        n: usize,
        _: usize,
        epilogue: Epilogue,
        dtype: DType,
    ) -> usize {
        match epilogue {
            // Gate and value before they meet, when cuBLASLt makes them.
            Epilogue::GeluGated => rows.saturating_mul(padded(n, dtype) * dtype.size()),
            _ => 0,
        }
    }
}

/// Bytes of an element of a vector with its rounded copy.
pub(crate) fn vector_bytes(dtype: DType) -> usize {
    match dtype {
        DType::F32 => 4,
        DType::Bf16 | DType::F16 => 4 + dtype.size(),
    }
}

/// What is embedded fits what is planned.
const _: () = assert!(names::attention_shared(false, MAX_HEAD_DIM) <= 99 << 10);
const _: () = assert!(names::attention_shared(true, MAX_HEAD_DIM) <= 99 << 10);
