//! bf16 by f32 arithmetic, on any vectors: what machines without bf16 instructions do.
//!
//! A panel of weights is widened once and serves all rows of a block, whose values are widened and
//! packed once for all panels; between them stand the tiles of the f32 products. Each sum is one
//! chain of multiply-adds over ascending `k`.
//!
//! Scalar twin: `crate::scalar::bf16::product`.

use std::ops::Range;

use sessile_device::Epilogue;

use crate::bf16::operand;
use crate::bf16::panels;
use crate::bf16::product::{Out, Product};
use crate::isa::Isa;
use crate::linear::{Ahead, Left, Sums, tile};
use crate::rows::Rows;
use crate::simd::{self, Kernel, Shape, Simd, halves, math};

/// Floats of rows that are widened at a time: 1 MiB, half of the L2 cache of a server core.
const BLOCK_FLOATS: usize = 1 << 18;

/// Steps of depth that are widened at a time: 24 KiB, which stay in the L1 cache while all rows of a
/// block go by. A chain of sums stops in between and goes on, which changes no bit.
const DEPTH: usize = 192;

/// Rows of the largest tile.
const TILE_ROWS: usize = 14;

/// Floats of scratch for a product with `k` inputs.
pub(crate) fn scratch_floats(isa: Isa, k: usize) -> usize {
    let depth = operand::steps(k) * operand::STEP;
    let group = Shape::of(isa).tile_rows;
    let block = (BLOCK_FLOATS / depth.max(1) / group).max(1) * group;
    panels::PANEL * (DEPTH + block) + block * depth
}

/// Computes the columns that the weight panels `range` make.
///
/// # Safety
///
/// As [`crate::bf16::product::run`], with the vectors of `isa`.
pub(crate) unsafe fn product(
    isa: Isa,
    product: &Product<'_>,
    range: Range<usize>,
    scratch: &mut [f32],
) {
    simd::run(
        isa,
        Panels {
            product,
            range,
            scratch,
        },
    );
}

/// Some panels of a product. Whoever makes one promises what [`product`] asks for.
struct Panels<'a> {
    product: &'a Product<'a>,
    range: Range<usize>,
    scratch: &'a mut [f32],
}

impl Kernel for Panels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let product = self.product;
        let steps = operand::steps(product.k);
        let (depth, group) = (steps * operand::STEP, S::SHAPE.tile_rows);
        let cols = S::SHAPE.tile_cols();
        let (weights, rest) = self.scratch.split_at_mut(panels::PANEL * DEPTH);
        let block = (BLOCK_FLOATS / depth.max(1) / group).max(1) * group;
        let block = block.min(product.rows.next_multiple_of(group));
        let (sums, packed) = rest.split_at_mut(block * panels::PANEL);
        for first in (0..product.rows).step_by(block) {
            let rows = first..product.rows.min(first + block);
            // SAFETY: the rows exist; the caller's promise.
            unsafe { pack(s, product, rows.clone(), packed) };
            let tiles = rows.len().div_ceil(group);
            for panel in self.range.clone() {
                let from =
                    &product.weight[panel * steps * panels::BLOCK..][..steps * panels::BLOCK];
                let bias = bias(product, panel);
                let next = from.as_ptr_range().end.cast::<f32>();
                // Two halves are as long as a float.
                let is_last = panel + 1 == product.panels();
                let ask = if is_last { 0 } else { from.len() / 2 };
                let parts = panels::PANEL / cols;
                // At least one, so that there are sums of nothing where there is no input.
                let chunks = depth.div_ceil(DEPTH).max(1);
                for chunk in 0..chunks {
                    let done = chunk * DEPTH;
                    let here = DEPTH.min(depth - done);
                    let from = &from[done * panels::PANEL..][..here * panels::PANEL];
                    widen_panel(s, from, weights);
                    for index in 0..tiles {
                        let count = group.min(rows.len() - index * group);
                        let left = &packed[index * group * depth..][..group * depth];
                        let sums = &mut sums[index * group * panels::PANEL..];
                        assert!(sums.len() >= count * panels::PANEL);
                        for part in 0..parts {
                            let right = &weights[part * cols * here..][..cols * here];
                            // SAFETY: `left` holds `here` steps of a tile's rows from `done` on,
                            // `right` of a tile's columns; `sums` has rows of a panel for them.
                            unsafe {
                                let sums = Sums {
                                    start: sums.as_mut_ptr().add(part * cols),
                                    stride: panels::PANEL,
                                    resume: chunk > 0,
                                };
                                let left = Left::Packed(left.as_ptr().add(done * group));
                                let turn = (chunk * tiles + index) * parts + part;
                                let turn = (turn, chunks * tiles * parts);
                                let ahead = Ahead::part(next, ask, rows.len(), turn);
                                tile::<S, 2>(s, count, here, left, right.as_ptr(), sums, ahead);
                            }
                        }
                    }
                }
                for (row, sums) in rows.clone().zip(sums.as_chunks_mut().0) {
                    finish(s, product.epilogue, &bias, sums);
                    // SAFETY: a row and a panel of the result, which are this call's alone.
                    unsafe { store(s, product, panel, row, sums) };
                }
            }
        }
    }
}

/// Widens rows of the operand for the tiles: `[tile][k][rows of a tile]`.
///
/// # Safety
///
/// The product's `x` has these rows.
#[inline(always)]
unsafe fn pack<S: Simd>(s: S, product: &Product<'_>, rows: Range<usize>, packed: &mut [f32]) {
    let steps = operand::steps(product.k);
    let group = S::SHAPE.tile_rows;
    let mut wide = [[0.0; operand::STEP]; TILE_ROWS];
    let tiles = packed.chunks_exact_mut(group * operand::STEP * steps.max(1));
    for (first, to) in rows.clone().step_by(group).zip(tiles) {
        let count = group.min(rows.end - first);
        for (step, to) in to.chunks_exact_mut(group * operand::STEP).enumerate() {
            for (at, wide) in wide.iter_mut().enumerate().take(count) {
                // SAFETY: a step of a row of the operand.
                let from = unsafe {
                    let at = operand::row(first + at, steps) + step * operand::BLOCK;
                    std::slice::from_raw_parts(product.x.add(at), operand::STEP)
                };
                halves::widen(s, from, wide);
            }
            let rows = Rows::new(wide.as_flattened(), count, operand::STEP, operand::STEP);
            simd::interleave(s, rows, group, to);
        }
    }
}

/// Widens a panel into parts as wide as a tile: `[part][k][columns of a tile]`.
#[inline(always)]
fn widen_panel<S: Simd>(s: S, from: &[u16], to: &mut [f32]) {
    let (cols, depth) = (S::SHAPE.tile_cols(), from.len() / panels::PANEL);
    for (pair, from) in from.chunks_exact(32).enumerate() {
        // `[step][half][16 pairs][16 outputs][2]`.
        let (step, half, pair) = (pair / 32, pair / 16 % 2, pair % 16);
        let k = step * operand::STEP + pair * 2;
        for (at, from) in from.chunks_exact(2 * S::LANES).enumerate() {
            let output = half * 16 + at * S::LANES;
            let (part, column) = (output / cols, output % cols);
            let to = &mut to[(part * depth + k) * cols + column..][..cols + S::LANES];
            // SAFETY: as many pairs as a vector has lanes.
            let [first, second] = unsafe { s.load_pairs(from.as_ptr()) };
            s.put(to, 0, first);
            s.put(to, cols, second);
        }
    }
}

/// The bias of the 32 sums of a panel; zeros beyond the last and where there is none.
fn bias(product: &Product<'_>, panel: usize) -> [f32; panels::PANEL] {
    let mut all = [0.0; panels::PANEL];
    for (half, to) in all.chunks_exact_mut(16).enumerate() {
        let (first, end) = match (product.gated(), half) {
            (false, _) => (panel * 32 + half * 16, product.n),
            (true, 0) => (panel * 16, product.n / 2),
            (true, _) => (product.n / 2 + panel * 16, product.n),
        };
        let bias = product.bias.and_then(|bias| bias[..end].get(first..));
        for (to, &bias) in to.iter_mut().zip(bias.unwrap_or_default()) {
            *to = bias;
        }
    }
    all
}

/// Bias and activation of the 32 sums of a row.
#[inline(always)]
fn finish<S: Simd>(
    s: S,
    epilogue: Epilogue,
    bias: &[f32; panels::PANEL],
    sums: &mut [f32; panels::PANEL],
) {
    let width = if epilogue == Epilogue::GeluGated {
        panels::PANEL / 2
    } else {
        panels::PANEL
    };
    for i in (0..width).step_by(S::LANES) {
        let x = s.add(s.at(sums, i), s.at(bias, i));
        let x = match epilogue {
            Epilogue::Store | Epilogue::Residual => x,
            Epilogue::Gelu => math::gelu(s, x),
            Epilogue::Relu => s.max(s.splat(0.0), x),
            Epilogue::GeluGated => {
                let value = s.add(s.at(sums, 16 + i), s.at(bias, 16 + i));
                s.mul(math::gelu(s, x), value)
            }
        };
        s.put(sums, i, x);
    }
}

/// Stores one row of one panel.
///
/// # Safety
///
/// As [`crate::bf16::product::run`].
#[inline(always)]
unsafe fn store<S: Simd>(
    s: S,
    product: &Product<'_>,
    panel: usize,
    row: usize,
    values: &[f32; panels::PANEL],
) {
    let (columns, width) = (product.columns(), product.panel_columns());
    let first = panel * width;
    let exist = width.min(columns - first);
    let (halves, count) = match product.out {
        Out::F32 { start, stride } => {
            // SAFETY: the columns of the panel in a row of the output.
            let to =
                unsafe { std::slice::from_raw_parts_mut(start.add(row * stride + first), exist) };
            let mut i = 0;
            while i < exist {
                let value = s.at(values, i);
                let value = match product.epilogue {
                    Epilogue::Residual => s.add(s.at(to, i), value),
                    _ => value,
                };
                s.put(to, i, value);
                i += S::LANES;
            }
            return;
        }
        Out::Rows { start, stride } => (start.wrapping_add(row * stride + first), exist),
        // An operand has whole steps.
        Out::Operand { start } => {
            let at = operand::index(row, first, operand::steps(columns));
            (start.wrapping_add(at), width)
        }
    };
    let mut rounded = [0; panels::PANEL];
    halves::narrow(s, values, &mut rounded);
    // SAFETY: the columns of the panel in a row of the output.
    unsafe { std::ptr::copy_nonoverlapping(rounded.as_ptr(), halves, count) };
}
