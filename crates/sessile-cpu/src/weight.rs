//! Weights in memory, in the layout that the kernels read.

mod stacked;

use sessile_device::{DType, DeviceError, DeviceErrorKind, RowSource, WeightLayout};

use crate::isa::Isa;
use crate::linear::Panels;
use crate::memory::Block;
use crate::rows::Rows;
use crate::simd::Shape;
pub(crate) use stacked::{Stacked, for_each};

/// A weight of a [`CpuDevice`](crate::CpuDevice).
pub struct CpuWeight {
    rows: usize,
    cols: usize,
    layout: WeightLayout,
    store: Store,
}

/// The bytes of a weight. Every number format and role has its own arm, and an operation names the
/// one it reads.
enum Store {
    /// Row-major f32: tables, vectors.
    Rows(Block),
    /// Panels of f32: the weights of products.
    Panels(Panels),
}

impl CpuWeight {
    /// Packs `parts`, stacked along their rows.
    pub(crate) fn pack(
        parts: &[&dyn RowSource],
        layout: WeightLayout,
        dtype: DType,
        isa: Isa,
        threads: usize,
    ) -> Result<CpuWeight, DeviceError> {
        let source = Stacked::new(parts)?;
        let (rows, cols) = (source.rows(), source.cols());
        if layout == WeightLayout::Gated && rows % 2 != 0 {
            return Err(DeviceError::new(
                DeviceErrorKind::Misuse,
                format!("a gated weight has an odd number of rows: {rows}"),
            ));
        }
        let store = match (layout, dtype) {
            (WeightLayout::Linear | WeightLayout::Gated, DType::F32) => {
                let gated = layout == WeightLayout::Gated;
                Store::Panels(Panels::pack(&source, Shape::of(isa), gated, threads)?)
            }
            (WeightLayout::Vector | WeightLayout::TableF32, _)
            | (WeightLayout::Table, DType::F32) => {
                let mut block = Block::floats(rows * cols)?;
                source.read_parallel(&mut block.as_floats_mut()[..rows * cols], threads)?;
                Store::Rows(block)
            }
            (_, DType::Bf16 | DType::F16) => {
                return Err(DeviceError::new(
                    DeviceErrorKind::Unsupported,
                    format!("the CPU device has no {dtype} weights"),
                ));
            }
        };
        Ok(CpuWeight {
            rows,
            cols,
            layout,
            store,
        })
    }

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

    /// The values of a table or a vector in f32.
    ///
    /// # Panics
    ///
    /// When the weight is for something else, as for all of these.
    pub(crate) fn values(&self) -> &[f32] {
        match &self.store {
            Store::Rows(block) => &block.as_floats()[..self.rows * self.cols],
            Store::Panels(_) => panic!("a {:?} weight is no table", self.layout),
        }
    }

    /// The panels of a product in f32.
    pub(crate) fn panels(&self) -> &Panels {
        match &self.store {
            Store::Panels(panels) => panels,
            Store::Rows(_) => panic!("a {:?} weight is not for products", self.layout),
        }
    }

    /// A table in f32.
    pub(crate) fn table(&self) -> Rows<'_> {
        Rows::new(self.values(), self.rows, self.cols, self.cols)
    }
}
