//! Products and attention in bf16, value by value, with sums in f32.

use std::ops::Range;

use sessile_device::Epilogue;

use crate::bf16::attention::{BITS_PER_UNIT, Head, MANTISSA, ONE_BITS};
use crate::bf16::product::{Out, Product};
use crate::bf16::{from_bf16, operand, panels, to_bf16};

/// A product: sums `k` in steps of 32, each step in pairs, as the tile instruction does.
///
/// # Safety
///
/// As [`crate::bf16::product::run`].
pub(crate) unsafe fn product(product: &Product<'_>, range: Range<usize>) {
    let steps = operand::steps(product.k);
    for panel in range {
        for row in 0..product.rows {
            let mut sums = [0.0_f32; panels::PANEL];
            for step in 0..steps {
                let block = (panel * steps + step) * panels::BLOCK;
                let weights = &product.weight[block..block + panels::BLOCK];
                // SAFETY: `x` holds whole panels of `steps` steps.
                let x = unsafe {
                    let at = operand::row(row, steps) + step * operand::BLOCK;
                    std::slice::from_raw_parts(product.x.add(at), operand::STEP)
                };
                for (half, sums) in sums.chunks_exact_mut(16).enumerate() {
                    for (pair, x) in x.chunks_exact(2).enumerate() {
                        let (x0, x1) = (from_bf16(x[0]), from_bf16(x[1]));
                        let weights = &weights[half * 512 + pair * 32..][..32];
                        for (sum, w) in sums.iter_mut().zip(weights.chunks_exact(2)) {
                            *sum += x0 * from_bf16(w[0]);
                            *sum += x1 * from_bf16(w[1]);
                        }
                    }
                }
            }
            let values = activate(product, panel, &sums);
            // SAFETY: passed on to the caller.
            unsafe { store(product, panel, row, &values) };
        }
    }
}

/// Bias and activation of 32 sums; columns beyond the last come out as zeros.
fn activate(product: &Product<'_>, panel: usize, sums: &[f32; 32]) -> [f32; 32] {
    let (columns, width) = (product.columns(), product.panel_columns());
    let bias = |at: usize| product.bias.map_or(0.0, |bias| bias[at]);
    std::array::from_fn(|i| {
        let column = panel * width + i;
        if i >= width || column >= columns {
            return 0.0;
        }
        let x = sums[i] + bias(column);
        match product.epilogue {
            Epilogue::Store | Epilogue::Residual => x,
            Epilogue::Gelu => gelu(x),
            Epilogue::Relu => x.max(0.0),
            Epilogue::GeluGated => gelu(x) * (sums[16 + i] + bias(columns + column)),
        }
    })
}

/// Stores one row of one panel.
///
/// # Safety
///
/// As [`crate::bf16::product::run`].
unsafe fn store(product: &Product<'_>, panel: usize, row: usize, values: &[f32; 32]) {
    let (columns, width) = (product.columns(), product.panel_columns());
    let first = panel * width;
    let exist = width.min(columns - first);
    // SAFETY: all places are inside the output: columns beyond the last are written only in an
    // operand, which has whole steps.
    unsafe {
        match product.out {
            Out::Operand { start } => {
                let to = start.add(operand::index(row, first, operand::steps(columns)));
                for (i, &value) in values[..width].iter().enumerate() {
                    *to.add(i) = to_bf16(value);
                }
            }
            Out::Rows { start, stride } => {
                let to = start.add(row * stride + first);
                for (i, &value) in values[..exist].iter().enumerate() {
                    *to.add(i) = to_bf16(value);
                }
            }
            Out::F32 { start, stride } => {
                let to = start.add(row * stride + first);
                let adds = product.epilogue == Epilogue::Residual;
                for (i, &value) in values[..exist].iter().enumerate() {
                    *to.add(i) = if adds { *to.add(i) + value } else { value };
                }
            }
        }
    }
}

/// The exact GELU, `x · Φ(x)`.
pub(crate) fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)) as f32
}

/// `1 − erf(x)` with a relative error below 1.2e-7 (the Chebyshev fit of Numerical Recipes §6.2).
fn erfc(x: f64) -> f64 {
    const TERMS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let series = TERMS.iter().rev().fold(0.0, |sum, term| sum * t + term);
    let tail = t * (-x * x + series).exp();
    if x >= 0.0 { tail } else { 2.0 - tail }
}

/// The bf16 weight `2^s` for `bits = 128 s + ONE_BITS`.
#[inline]
pub(crate) fn weight(bits: f32) -> u16 {
    // A cast rounds towards zero, saturates, and makes 0 of NaN.
    let linear = bits.round_ties_even().clamp(0.0, 32640.0) as u16;
    linear & !127 | u16::from(MANTISSA[usize::from(linear % 128)])
}

/// Attention of one head of one sequence, with the weights of the table.
///
/// # Safety
///
/// As [`crate::bf16::attention::run`].
pub(crate) unsafe fn attention(head: &Head<'_>, scratch: &mut [f32]) {
    let (len, dim) = (head.len(), head.dim());
    let (keys, rest) = scratch.split_at_mut(len * dim);
    let (values, rest) = rest.split_at_mut(len * dim);
    let (scores, rest) = rest.split_at_mut(len);
    let sums = &mut rest[..dim];
    for at in 0..len {
        rotated(head, head.k.row(at), at, &mut keys[at * dim..][..dim]);
        for (to, &from) in values[at * dim..][..dim].iter_mut().zip(head.v.row(at)) {
            *to = from_bf16(from);
        }
    }
    for query in 0..len {
        rotated(head, head.q.row(query), query, sums);
        let visible = head.visible(query);
        let mut top = f32::NEG_INFINITY;
        for key in visible.clone() {
            let products = sums.iter().zip(&keys[key * dim..][..dim]);
            let dot: f32 = products.map(|(q, k)| q * k).sum();
            let distance = key as isize - query as isize;
            let added = head.spec.bias.at(head.index, distance);
            scores[key] = dot * (head.spec.scale * BITS_PER_UNIT) + added * BITS_PER_UNIT;
            // Not `max`, which would pass over a NaN.
            if !top.is_nan() && (scores[key] > top || scores[key].is_nan()) {
                top = scores[key];
            }
        }
        sums.fill(0.0);
        let mut total = 0.0;
        for key in visible {
            let weight = from_bf16(weight(scores[key] - top + ONE_BITS));
            total += weight;
            for (sum, value) in sums.iter_mut().zip(&values[key * dim..][..dim]) {
                *sum += weight * value;
            }
        }
        let row = head.out_row(query);
        for (at, sum) in sums.iter().enumerate() {
            let column = head.out_column() + at;
            // SAFETY: a column of this head in a row of this sequence.
            unsafe {
                *row.add(column / operand::STEP * operand::BLOCK + column % operand::STEP) =
                    to_bf16(sum / total);
            }
        }
    }
}

/// A row of queries or keys, rotated and rounded to bf16.
pub(crate) fn rotated(head: &Head<'_>, x: &[u16], position: usize, to: &mut [f32]) {
    let Some(table) = head.spec.rotary else {
        for (to, &from) in to.iter_mut().zip(x) {
            *to = from_bf16(from);
        }
        return;
    };
    let half = head.dim() / 2;
    let (cosines, sines) = table.row(position).split_at(half);
    for i in 0..half {
        let (x, y) = (from_bf16(x[i]), from_bf16(x[half + i]));
        to[i] = from_bf16(to_bf16(x * cosines[i] - y * sines[i]));
        to[half + i] = from_bf16(to_bf16(y * cosines[i] + x * sines[i]));
    }
}
