//! Attention over bf16 heads, by whichever kernel the machine has.
//!
//! The portable kernel in this file is the scalar twin of the one on AMX tiles, and stands in for
//! it on machines without them.

use std::ops::Range;

use crate::attention::Attention;
use crate::bf16::operand;
use crate::bf16::product::Kernel;
use crate::bf16::{from_bf16, to_bf16};
use crate::rows::Rows;

/// Queries, keys and values of all sequences in bf16.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    pub(crate) q: Rows<'a, u16>,
    pub(crate) k: Rows<'a, u16>,
    pub(crate) v: Rows<'a, u16>,
}

/// One head of one sequence, and where its result goes.
pub(crate) struct Head<'a> {
    /// `[len, dim]` each: the columns of the head in the rows of the sequence.
    pub(crate) q: Rows<'a, u16>,
    pub(crate) k: Rows<'a, u16>,
    pub(crate) v: Rows<'a, u16>,
    pub(crate) spec: Attention<'a>,
    /// Number of the head.
    pub(crate) index: usize,
    /// The operand that takes the result of all heads, and its steps.
    out: *mut u16,
    steps: usize,
    first_row: usize,
}

impl<'a> Head<'a> {
    /// Head `index` of the sequence in `rows`. `out` is an operand of `spec.heads × spec.head_dim`
    /// columns.
    pub(crate) fn new(
        input: Heads<'a>,
        spec: Attention<'a>,
        rows: Range<usize>,
        index: usize,
        out: *mut u16,
    ) -> Self {
        let dim = spec.head_dim;
        let cut = |x: Rows<'a, u16>| x.range(rows.start, rows.len()).columns(index * dim, dim);
        Head {
            q: cut(input.q),
            k: cut(input.k),
            v: cut(input.v),
            spec,
            index,
            out,
            steps: operand::steps(spec.heads * dim),
            first_row: rows.start,
        }
    }

    /// Tokens of the sequence.
    pub(crate) fn len(&self) -> usize {
        self.q.rows()
    }

    /// Columns of the head.
    pub(crate) fn dim(&self) -> usize {
        self.spec.head_dim
    }

    /// Whether a score depends on anything but its query and key.
    pub(crate) fn has_distances(&self) -> bool {
        !self.spec.is_plain()
    }

    /// Where the operand's row of `query` starts; its pieces of 32 columns are
    /// [`operand::BLOCK`] apart.
    #[inline]
    pub(crate) fn out_row(&self, query: usize) -> *mut u16 {
        self.out
            .wrapping_add(operand::row(self.first_row + query, self.steps))
    }

    /// First column of the head in the operand.
    pub(crate) fn out_column(&self) -> usize {
        self.index * self.dim()
    }

    /// The keys that `query` sees.
    fn visible(&self, query: usize) -> Range<usize> {
        match self.spec.window {
            None => 0..self.len(),
            Some(window) => {
                query.saturating_sub(window)..query.saturating_add(window + 1).min(self.len())
            }
        }
    }
}

/// Floats of scratch that a thread needs for a sequence of `len`.
pub(crate) fn scratch_floats(kernel: Kernel, len: usize, dim: usize) -> usize {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Amx if dim <= WIDEST => crate::amx::attention::scratch_floats(len, dim),
        _ => 2 * len * dim + len + dim,
    }
}

/// Most columns of a head that the kernel on tiles takes.
#[cfg(target_arch = "x86_64")]
const WIDEST: usize = 128;

/// Computes one head of one sequence.
///
/// # Safety
///
/// - The processor has `kernel`.
/// - Nobody else reads or writes the result's columns of this head in the rows of this sequence.
pub(crate) unsafe fn run(kernel: Kernel, head: &Head<'_>, scratch: &mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe {
        match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx if head.dim() <= WIDEST => crate::amx::attention::run(head, scratch),
            _ => portable(head, scratch),
        }
    }
}

/// Weight bits by which a score of one (in natural units) moves a weight: 128 steps for a power
/// of two.
pub(crate) const BITS_PER_UNIT: f32 = 128.0 * std::f32::consts::LOG2_E;

/// The bits of 1.0 in bf16.
pub(crate) const ONE_BITS: f32 = 127.0 * 128.0;

/// The mantissa of a power of two: `round(128 (2^(i / 128) − 1))`.
#[rustfmt::skip]
pub(crate) static MANTISSA: [u8; 128] = [
    0, 1, 1, 2, 3, 4, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11,
    12, 12, 13, 14, 15, 15, 16, 17, 18, 19, 19, 20, 21, 22, 23, 23,
    24, 25, 26, 27, 28, 28, 29, 30, 31, 32, 33, 34, 34, 35, 36, 37,
    38, 39, 40, 41, 42, 43, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
    53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68,
    69, 70, 72, 73, 74, 75, 76, 77, 78, 79, 80, 82, 83, 84, 85, 86,
    87, 88, 90, 91, 92, 93, 94, 96, 97, 98, 99, 100, 102, 103, 104, 105,
    107, 108, 109, 111, 112, 113, 115, 116, 117, 118, 120, 121, 123, 124, 125, 127,
];

/// Greatest relative error of a weight: half a step of the score (0.27 %) and half a step of the
/// mantissa (0.39 %).
#[cfg(test)]
pub(crate) const WEIGHT_ERROR: f64 = 0.0067;

/// The bf16 weight `2^s` for `bits = 128 s + ONE_BITS`.
#[inline]
pub(crate) fn weight(bits: f32) -> u16 {
    // A cast rounds towards zero, saturates, and makes 0 of NaN.
    let linear = bits.round_ties_even().clamp(0.0, 32640.0) as u16;
    linear & !127 | u16::from(MANTISSA[usize::from(linear % 128)])
}

/// The scalar twin.
///
/// # Safety
///
/// As [`run`].
pub(crate) unsafe fn portable(head: &Head<'_>, scratch: &mut [f32]) {
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
fn rotated(head: &Head<'_>, x: &[u16], position: usize, to: &mut [f32]) {
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

#[cfg(test)]
#[path = "attention/tests.rs"]
mod tests;
