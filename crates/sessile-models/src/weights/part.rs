//! Rows of a tensor, times a factor.

use sessile_device::{Device, DeviceError, RowSource};

use super::Packing;
use crate::error::ModelError;

/// Some rows of a tensor, times a factor.
pub(crate) struct Part<'a> {
    rows: Box<dyn RowSource + 'a>,
    first: usize,
    count: usize,
    factor: f32,
}

impl<'a> Part<'a> {
    /// All rows of the tensor `name`.
    pub(crate) fn whole<D: Device>(
        tensors: &Packing<'a, D>,
        name: &str,
    ) -> Result<Self, ModelError> {
        let rows = tensors.rows(name)?;
        Ok(Part {
            count: rows.rows(),
            rows,
            first: 0,
            factor: 1.0,
        })
    }

    /// One of two halves.
    pub(crate) fn half(self, second: bool) -> Self {
        let count = self.count / 2;
        Part {
            first: self.first + if second { count } else { 0 },
            count,
            ..self
        }
    }

    /// The same times `factor`.
    pub(crate) fn times(self, factor: f32) -> Self {
        Part {
            factor: self.factor * factor,
            ..self
        }
    }
}

impl RowSource for Part<'_> {
    fn rows(&self) -> usize {
        self.count
    }

    fn cols(&self) -> usize {
        self.rows.cols()
    }

    fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        self.rows.read_rows(self.first + first, out)?;
        if self.factor != 1.0 {
            out.iter_mut().for_each(|value| *value *= self.factor);
        }
        Ok(())
    }
}
