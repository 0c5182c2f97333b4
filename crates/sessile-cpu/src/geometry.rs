//! The sizes of things on the CPU, known without a device.

use sessile_device::{AttentionShape, DType, Epilogue, Format, Geometry, WeightLayout};

use crate::bf16::{operand, panels};
use crate::isa::Isa;
use crate::linear::Panels;
use crate::simd::Shape;

/// Sizes of activations and weights for the kernels of one instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuGeometry {
    isa: Isa,
}

impl CpuGeometry {
    /// The sizes for `isa`, whether or not this machine has it.
    pub const fn new(isa: Isa) -> Self {
        CpuGeometry { isa }
    }

    /// The instruction set whose kernels these sizes are for.
    pub const fn isa(&self) -> Isa {
        self.isa
    }
}

impl Geometry for CpuGeometry {
    fn buffer_bytes(&self, rows: usize, cols: usize, format: Format) -> usize {
        let size = match format {
            Format::F32 | Format::Index => size_of::<f32>(),
            Format::Operand(DType::Bf16) => return operand::bytes(rows, cols),
            Format::Operand(dtype) | Format::Heads(dtype) => dtype.size(),
        };
        // A shape that does not fit the address space does not fit any arena either.
        rows.saturating_mul(cols).saturating_mul(size)
    }

    fn weight_bytes(&self, rows: usize, cols: usize, layout: WeightLayout, dtype: DType) -> usize {
        let size = match (layout, dtype) {
            (WeightLayout::Linear | WeightLayout::Gated, DType::F32) => {
                let gated = layout == WeightLayout::Gated;
                return Panels::bytes(Shape::of(self.isa), rows, cols, gated);
            }
            (WeightLayout::Linear | WeightLayout::Gated, DType::Bf16) => {
                let gated = layout == WeightLayout::Gated;
                return panels::bytes(rows, cols, gated);
            }
            (WeightLayout::Vector | WeightLayout::TableF32, _) => size_of::<f32>(),
            (WeightLayout::Linear | WeightLayout::Gated | WeightLayout::Table, _) => dtype.size(),
        };
        rows.saturating_mul(cols).saturating_mul(size)
    }

    /// Nothing: every thread of a lane has a scratch of its own beside the arena, fixed in f32 and
    /// as large as one head of the longest sequence in bf16.
    fn attention_scratch_bytes(&self, _: &AttentionShape) -> usize {
        0
    }

    /// Nothing, as above.
    fn linear_scratch_bytes(&self, _: usize, _: usize, _: usize, _: Epilogue, _: DType) -> usize {
        0
    }
}
