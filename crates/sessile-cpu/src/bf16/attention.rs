//! Attention over bf16 heads, by whichever kernel the machine has: on AMX tiles
//! ([`crate::amx::attention`]), on pairs ([`pairs`]), or widened to f32 ([`widened`]).
//!
//! Scalar twin: `crate::scalar::bf16::attention`.

#[cfg(target_arch = "x86_64")]
pub(crate) mod finish;
#[cfg(target_arch = "x86_64")]
pub(crate) mod layout;
#[cfg(target_arch = "x86_64")]
pub(crate) mod pack;
#[cfg(target_arch = "x86_64")]
mod pairs;
#[cfg(target_arch = "x86_64")]
pub(crate) mod softmax;
mod widened;

use std::ops::Range;

use crate::attention::Attention;
use crate::bf16::operand;
use crate::bf16::product::Kernel;
#[cfg(target_arch = "x86_64")]
use crate::isa::Isa;
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
    #[cfg(target_arch = "x86_64")]
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
    #[cfg(test)]
    pub(crate) fn visible(&self, query: usize) -> Range<usize> {
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
        Kernel::Amx | Kernel::Pairs if dim <= WIDEST => layout::scratch_floats(len, dim),
        #[cfg(target_arch = "x86_64")]
        Kernel::Amx | Kernel::Pairs => widened::scratch_floats(Isa::Avx512, len, dim),
        Kernel::Widened(isa) => widened::scratch_floats(isa, len, dim),
        #[cfg(test)]
        Kernel::Twin => 2 * len * dim + len + dim,
    }
}

/// Most columns of a head that the kernels on tiles and pairs take.
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
            #[cfg(target_arch = "x86_64")]
            Kernel::Pairs if head.dim() <= WIDEST => pairs::run(head, scratch),
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx | Kernel::Pairs => widened::run(Isa::Avx512, head, scratch),
            Kernel::Widened(isa) => widened::run(isa, head, scratch),
            #[cfg(test)]
            Kernel::Twin => crate::scalar::bf16::attention(head, scratch),
        }
    }
}

/// Weight bits by which a score of one (in natural units) moves a weight: 128 steps for a power
/// of two.
#[cfg(any(target_arch = "x86_64", test))]
pub(crate) const BITS_PER_UNIT: f32 = 128.0 * std::f32::consts::LOG2_E;

/// The bits of 1.0 in bf16.
#[cfg(any(target_arch = "x86_64", test))]
pub(crate) const ONE_BITS: f32 = 127.0 * 128.0;

/// The mantissa of a power of two: `round(128 (2^(i / 128) − 1))`.
#[cfg(any(target_arch = "x86_64", test))]
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

#[cfg(test)]
#[path = "attention/tests.rs"]
mod tests;
