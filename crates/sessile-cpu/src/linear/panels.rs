//! Packed weights: the rows of W in panels of as many as a tile has columns, each panel by depth.
//!
//! Within a panel, the weights of one k lie side by side: `[panel][k][columns of a tile]`. A tile
//! reads its panel from the first to the last byte. A gated weight has one vector of gates and one
//! of values in each panel, so that both sums of an output end in the same tile.

use std::sync::Mutex;

use sessile_device::DeviceError;

use crate::isa::Isa;
use crate::memory::Block;
use crate::rows::Rows;
use crate::simd::{self, Kernel, Shape, Simd};
use crate::weight::{Stacked, for_each};

/// A weight of products in f32.
pub(crate) struct Panels {
    block: Block,
    shape: Shape,
    /// Rows of W.
    rows: usize,
    depth: usize,
    gated: bool,
}

impl Panels {
    /// Bytes of a packed weight of `rows` × `depth`.
    pub(crate) fn bytes(shape: Shape, rows: usize, depth: usize, gated: bool) -> usize {
        let cols = shape.tile_cols();
        count(shape, rows, gated)
            .saturating_mul(cols * size_of::<f32>())
            .saturating_mul(depth)
    }

    /// Packs a weight, on several threads, reading a panel's rows at a time.
    pub(crate) fn pack(
        source: &Stacked<'_>,
        isa: Isa,
        gated: bool,
        threads: usize,
    ) -> Result<Self, DeviceError> {
        let shape = Shape::of(isa);
        let (rows, depth) = (source.rows(), source.cols());
        let mut block = Block::zeroed(Self::bytes(shape, rows, depth, gated))?;
        let panel_floats = shape.tile_cols() * depth;
        if panel_floats > 0 {
            let panels = block.as_floats_mut().chunks_exact_mut(panel_floats);
            let panels = Mutex::new(panels.enumerate());
            for_each(count(shape, rows, gated), threads, || {
                let next = panels.lock().ok().and_then(|mut panels| panels.next());
                let Some((index, panel)) = next else {
                    return Ok(());
                };
                pack_panel(source, isa, gated, index, panel)
            })?;
        }
        Ok(Panels {
            block,
            shape,
            rows,
            depth,
            gated,
        })
    }

    /// K of the product.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the product's result.
    pub(crate) fn outputs(&self) -> usize {
        if self.gated { self.rows / 2 } else { self.rows }
    }

    /// Results that one panel gives.
    pub(crate) fn outputs_per_panel(&self) -> usize {
        outputs_per_panel(self.shape, self.gated)
    }

    /// Whether gates and values alternate by vectors.
    pub(crate) fn gated(&self) -> bool {
        self.gated
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        count(self.shape, self.rows, self.gated)
    }

    /// The shape of the tiles that the panels are for.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Panel `index`: `[depth][columns of a tile]`.
    pub(crate) fn panel(&self, index: usize) -> &[f32] {
        let floats = self.shape.tile_cols() * self.depth;
        &self.block.as_floats()[index * floats..][..floats]
    }
}

fn outputs_per_panel(shape: Shape, gated: bool) -> usize {
    if gated {
        shape.lanes
    } else {
        shape.tile_cols()
    }
}

fn count(shape: Shape, rows: usize, gated: bool) -> usize {
    let outputs = if gated { rows / 2 } else { rows };
    outputs.div_ceil(outputs_per_panel(shape, gated))
}

fn pack_panel(
    source: &Stacked<'_>,
    isa: Isa,
    gated: bool,
    index: usize,
    panel: &mut [f32],
) -> Result<(), DeviceError> {
    let (shape, depth) = (Shape::of(isa), source.cols());
    let outputs = if gated {
        source.rows() / 2
    } else {
        source.rows()
    };
    let here = outputs_per_panel(shape, gated);
    let first = index * here;
    let count = here.min(outputs - first);
    // One group of rows, or the gates and then the values.
    let groups: &[(usize, usize)] = if gated {
        &[(first, 0), (outputs + first, shape.lanes)]
    } else {
        &[(first, 0)]
    };
    let mut rows = vec![0.0; count * depth];
    for &(row, column) in groups {
        source.read(row, &mut rows)?;
        let side = SideBySide {
            rows: Rows::new(&rows, count, depth, depth),
            group: shape.tile_cols(),
            to: &mut panel[column..],
        };
        simd::run(isa, side);
    }
    Ok(())
}

/// Rows of W on their way into a panel.
struct SideBySide<'a> {
    rows: Rows<'a>,
    group: usize,
    to: &'a mut [f32],
}

impl Kernel for SideBySide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        simd::interleave(s, self.rows, self.group, self.to);
    }
}
