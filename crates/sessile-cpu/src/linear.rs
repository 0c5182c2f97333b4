//! Products `x · Wᵀ` with an epilogue, in f32.
//!
//! A block of rows of x is packed for the tiles and stays in the L2 cache while the panels of W
//! pass by, each once per block. The tile of sums is finished (bias, activation, residual) while
//! it is in L1 and written to the result as it is wanted.

mod panels;
mod tile;

#[cfg(test)]
mod tests;

use std::ops::Range;

use sessile_device::Epilogue;

use crate::isa::Isa;
use crate::rows::{Rows, RowsMut};
use crate::simd::{self, Kernel, Simd, math};
use crate::team::Team;
pub(crate) use panels::Panels;
pub(crate) use tile::{Ahead, Left, ROW_STRIDE, Sums, tile};

/// Floats of x that are packed at a time: 1 MiB, half of the L2 cache of a server core. The other
/// half is for the panels that pass by and the results.
const BLOCK_FLOATS: usize = 1 << 18;

/// Tiles of a block at most, which bounds the sums of a block where depth is small.
const MOST_TILES: usize = 128;

/// Steps of depth at a time: with 32 columns 24 KiB of a panel, which stay in the L1 cache while the rows
/// of a block go by. A chain of sums stops in between and goes on, which changes no bit. Up to twice as
/// much is not cut: there the sums that wait cost about what it brings.
const DEPTH: usize = 192;

/// A product to compute.
#[derive(Clone, Copy)]
pub(crate) struct Linear<'a> {
    pub(crate) x: Rows<'a>,
    pub(crate) weight: &'a Panels,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) epilogue: Epilogue,
    pub(crate) out: RowsMut<'a>,
}

/// Floats of scratch that every thread needs for a product with this weight.
pub(crate) fn scratch_floats(weight: &Panels) -> usize {
    block_rows(weight) * (weight.depth() + weight.shape().tile_cols())
}

/// Rows of a block: whole tiles.
fn block_rows(weight: &Panels) -> usize {
    let step = weight.shape().tile_rows;
    (BLOCK_FLOATS / weight.depth().max(1) / step).clamp(1, MOST_TILES) * step
}

/// Computes a product with all threads of a lane.
///
/// # Panics
///
/// When the shapes do not fit each other.
pub(crate) fn linear(isa: Isa, team: &mut Team, product: &Linear<'_>) {
    let weight = product.weight;
    assert_eq!(product.x.cols(), weight.depth(), "columns of x and K");
    assert_eq!(product.x.rows(), product.out.rows(), "rows of x and out");
    assert_eq!(product.out.cols(), weight.outputs(), "columns of out and N");
    assert_eq!(weight.gated(), product.epilogue == Epilogue::GeluGated);
    assert!(
        product
            .bias
            .is_none_or(|bias| bias.len() == weight.outputs() && !weight.gated())
    );
    let block = block_rows(weight);
    let blocks = product.x.rows().div_ceil(block);
    let panels = weight.count();
    // Every thread packs the rows it works on, so a lone thread takes all panels of a block.
    let slices = if team.threads() == 1 {
        1
    } else {
        (3 * team.threads()).div_ceil(blocks.max(1)).min(panels)
    };
    team.share(blocks * slices, |task, scratch| {
        let (rows, part) = (task / slices, task % slices);
        let first = rows * block;
        let kernel = Part {
            product,
            rows: first..product.x.rows().min(first + block),
            panels: part * panels / slices..(part + 1) * panels / slices,
            scratch,
        };
        simd::run(isa, kernel);
    });
}

/// Some rows and some panels of a product.
struct Part<'a> {
    product: &'a Linear<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    scratch: &'a mut [f32],
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, weight) = (self.product.x, self.product.weight);
        let depth = weight.depth();
        let (step, cols) = (S::SHAPE.tile_rows, S::SHAPE.tile_cols());
        assert!(weight.shape() == S::SHAPE, "panels of another kernel");
        let rows = self.rows.len();
        let tiles = rows.div_ceil(step);
        let (sums, packed) = self.scratch.split_at_mut(tiles * step * cols);
        pack(s, x, self.rows.clone(), packed);
        // At least one, so that there are sums of nothing where there is no depth.
        let most = if depth > 2 * DEPTH {
            DEPTH
        } else {
            depth.max(1)
        };
        let chunks = depth.div_ceil(most).max(1);
        for index in self.panels {
            let panel = weight.panel(index);
            let next = panel.as_ptr().wrapping_add(panel.len());
            let is_last = index + 1 == weight.count();
            let ask = if is_last { 0 } else { panel.len() };
            for chunk in 0..chunks {
                let done = chunk * most;
                let here = most.min(depth - done);
                let right = &panel[done * cols..][..here * cols];
                for tile_index in 0..tiles {
                    let count = step.min(rows - tile_index * step);
                    let left = &packed[tile_index * step * depth + done * step..][..here * step];
                    let sums = &mut sums[tile_index * step * cols..][..step * cols];
                    let turn = (chunk * tiles + tile_index, chunks * tiles);
                    // SAFETY: `left` holds `here` steps of `step ≥ count` floats, `right` as many
                    // of two vectors, and `sums` a whole tile.
                    unsafe {
                        tile::<S, 2>(
                            s,
                            count,
                            here,
                            Left::Packed(left.as_ptr()),
                            right.as_ptr(),
                            Sums {
                                start: sums.as_mut_ptr(),
                                stride: cols,
                                resume: chunk > 0,
                            },
                            Ahead::part(next, ask, rows, turn),
                        );
                    }
                }
            }
            finish(s, self.product, self.rows.clone(), index, sums);
        }
    }
}

/// Packs rows of x for the tiles: `[tile][k][rows of a tile]`.
#[inline(always)]
fn pack<S: Simd>(s: S, x: Rows<'_>, rows: Range<usize>, packed: &mut [f32]) {
    let step = S::SHAPE.tile_rows;
    let tiles = packed.chunks_exact_mut(step * x.cols());
    for (first, to) in rows.clone().step_by(step).zip(tiles) {
        let rows = x.range(first, step.min(rows.end - first));
        simd::interleave(s, rows, step, to);
    }
}

/// Bias, activation and residual of a tile of sums, into the result.
#[inline(always)]
fn finish<S: Simd>(s: S, product: &Linear<'_>, rows: Range<usize>, panel: usize, sums: &[f32]) {
    let Linear {
        weight,
        bias,
        epilogue,
        out,
        ..
    } = *product;
    let cols = S::SHAPE.tile_cols();
    let first = panel * weight.outputs_per_panel();
    let end = weight.outputs().min(first + weight.outputs_per_panel());
    for (row, sums) in rows.zip(sums.chunks_exact(cols)) {
        // SAFETY: the part of this row in `first..end` is this task's alone, and only that part
        // is referred to.
        let to = unsafe { out.part(row, first..end) };
        let mut col = 0;
        while col < to.len() {
            let sum = s.at(sums, col);
            let sum = match bias {
                Some(bias) => s.add(sum, s.at(bias, first + col)),
                None => sum,
            };
            let result = match epilogue {
                Epilogue::Store => sum,
                Epilogue::Gelu => math::gelu(s, sum),
                Epilogue::Relu => s.max(s.splat(0.0), sum),
                Epilogue::GeluGated => s.mul(math::gelu(s, sum), s.at(sums, S::LANES + col)),
                Epilogue::Residual => s.add(s.at(to, col), sum),
            };
            s.put(to, col, result);
            col += S::LANES;
        }
    }
}
