//! Weights in the memory of a GPU.

use std::sync::Arc;

use sessile_device::{DType, WeightLayout};

use crate::context::DeviceMemory;
use crate::driver::RawAddress;

/// A weight of a [`CudaDevice`](crate::CudaDevice).
pub struct CudaWeight {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Elements from row to row.
    pub(crate) stride: usize,
    pub(crate) layout: WeightLayout,
    /// The number format of the elements.
    pub(crate) dtype: DType,
    pub(crate) address: RawAddress,
    /// The same vector rounded to the format of products, for their epilogue.
    pub(crate) rounded: Option<(RawAddress, DType)>,
    /// Keeps the block alive that the weight is a part of.
    pub(crate) _memory: Arc<DeviceMemory>,
}

impl CudaWeight {
    /// Rows of the weight as it was given; both halves of a gated one.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the weight as it was given.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// What the weight is for.
    pub fn layout(&self) -> WeightLayout {
        self.layout
    }

    /// Where the f32 values of a vector or a table start.
    ///
    /// # Panics
    ///
    /// When the weight is for something else: a fault of the program.
    pub(crate) fn values(&self) -> RawAddress {
        let is_f32 = matches!(self.layout, WeightLayout::Vector | WeightLayout::TableF32)
            || self.layout == WeightLayout::Table && self.dtype == DType::F32;
        assert!(is_f32, "a {:?} weight has no f32 values", self.layout);
        self.address
    }
}
