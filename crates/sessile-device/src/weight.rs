//! Weights on their way to a device.

use crate::error::DeviceError;

/// What a weight is for; the device chooses the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightLayout {
    /// The `[N, K]` matrix of a product `x · Wᵀ`.
    Linear,
    /// Two `[N, K]` matrices, gate and value, of a gated unit: the epilogue
    /// [`GeluGated`](crate::Epilogue::GeluGated) needs both columns of an output at once.
    Gated,
    /// `[rows, cols]`, looked up by row: embeddings, rotary tables, relative biases. Kept in the
    /// number format of the model (`Table`) or always in f32 (`TableF32`).
    Table,
    /// As `Table`, in f32 whatever the model computes in.
    TableF32,
    /// `[1, N]` in f32: biases, norm gains, slopes.
    Vector,
}

/// A matrix that can be read in blocks of rows, so that packing a weight needs little memory
/// beside the packed weight itself.
pub trait RowSource: Sync {
    /// Number of rows (N of a product).
    fn rows(&self) -> usize;

    /// Number of columns (K of a product).
    fn cols(&self) -> usize;

    /// Reads `out.len() / cols()` whole rows from `first` on, converted to f32. May be called by
    /// several threads at once and in any order.
    ///
    /// # Errors
    ///
    /// `Source` when the rows can not be read.
    fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError>;
}

/// Rows that already lie in memory.
impl RowSource for crate::tensor::HostTensor {
    fn rows(&self) -> usize {
        match self.shape.as_slice() {
            [] | [_] => 1,
            [rows, ..] => *rows,
        }
    }

    fn cols(&self) -> usize {
        match self.shape.as_slice() {
            [] => 1,
            [cols] => *cols,
            [_, inner @ ..] => inner.iter().product(),
        }
    }

    fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        let start = first * self.cols();
        out.copy_from_slice(&self.data[start..start + out.len()]);
        Ok(())
    }
}
