//! Tables with a row added to each of theirs.

use sessile_device::{Device, DeviceError, RowSource};

use super::Packing;
use crate::error::ModelError;

/// Rows with the same row added to each.
pub(crate) struct Shifted<'a> {
    rows: Box<dyn RowSource + 'a>,
    shift: Vec<f32>,
}

impl RowSource for Shifted<'_> {
    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn cols(&self) -> usize {
        self.rows.cols()
    }

    fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        self.rows.read_rows(first, out)?;
        for row in out.chunks_exact_mut(self.shift.len()) {
            for (value, shift) in row.iter_mut().zip(&self.shift) {
                *value += shift;
            }
        }
        Ok(())
    }
}

impl<'a> Shifted<'a> {
    /// The table `name`, with the first row of `other` added to each of its rows: BERT adds the same
    /// token type to every token.
    pub(crate) fn by_first_row<D: Device>(
        tensors: &Packing<'a, D>,
        name: &str,
        other: &str,
    ) -> Result<Self, ModelError> {
        let other = tensors.rows(other)?;
        let mut shift = vec![0.0; other.cols()];
        other.read_rows(0, &mut shift)?;
        Ok(Shifted {
            rows: tensors.rows(name)?,
            shift,
        })
    }
}
