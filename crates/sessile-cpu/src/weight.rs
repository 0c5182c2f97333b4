//! Weights in memory, in the layout that the kernels read.

mod stacked;

use sessile_device::{DType, DeviceError, DeviceErrorKind, RowSource, WeightLayout};

use crate::bf16::panels;
use crate::bf16::to_bf16;
use crate::isa::Isa;
use crate::linear::Panels;
use crate::memory::Block;
use crate::rows::Rows;
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
    /// Panels of bf16.
    Bf16Panels(Block),
    /// Row-major bf16: tables.
    Bf16Rows(Block),
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
                Store::Panels(Panels::pack(&source, isa, gated, threads)?)
            }
            (WeightLayout::Vector | WeightLayout::TableF32, _)
            | (WeightLayout::Table, DType::F32) => {
                let mut block = Block::floats(rows * cols)?;
                source.read_parallel(&mut block.as_floats_mut()[..rows * cols], threads)?;
                Store::Rows(block)
            }
            (WeightLayout::Linear | WeightLayout::Gated, DType::Bf16) => {
                let gated = layout == WeightLayout::Gated;
                let mut block = Block::halves(panels::len(rows, cols, gated))?;
                panels::pack(parts, gated, threads, block.as_halves_mut())?;
                Store::Bf16Panels(block)
            }
            (WeightLayout::Table, DType::Bf16) => {
                let mut block = Block::halves(rows * cols)?;
                let table = block.as_halves_mut();
                let mut values = vec![0.0; source.block_rows().min(rows) * cols];
                for first in (0..rows).step_by(source.block_rows()) {
                    let count = source.block_rows().min(rows - first);
                    let values = &mut values[..count * cols];
                    source.read(first, values)?;
                    for (to, &from) in table[first * cols..].iter_mut().zip(&*values) {
                        *to = to_bf16(from);
                    }
                }
                Store::Bf16Rows(block)
            }
            (_, DType::F16) => {
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
            _ => panic!("a {:?} weight has no f32 values", self.layout),
        }
    }

    /// The panels of a product in f32.
    pub(crate) fn panels(&self) -> &Panels {
        match &self.store {
            Store::Panels(panels) => panels,
            _ => panic!("a {:?} weight is not for f32 products", self.layout),
        }
    }

    /// The panels of a product in bf16.
    pub(crate) fn bf16_panels(&self, gated: bool) -> &[u16] {
        match &self.store {
            Store::Bf16Panels(block) if gated == (self.layout == WeightLayout::Gated) => {
                block.as_halves()
            }
            _ => panic!("a {:?} weight is not for this bf16 product", self.layout),
        }
    }

    /// A table in bf16, if it is one.
    pub(crate) fn bf16_table(&self) -> Option<Rows<'_, u16>> {
        match &self.store {
            Store::Bf16Rows(block) => {
                let values = &block.as_halves()[..self.rows * self.cols];
                Some(Rows::new(values, self.rows, self.cols, self.cols))
            }
            _ => None,
        }
    }

    /// A table in f32.
    pub(crate) fn table(&self) -> Rows<'_> {
        Rows::new(self.values(), self.rows, self.cols, self.cols)
    }
}
