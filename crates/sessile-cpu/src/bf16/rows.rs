//! Rows of f32 to bf16 and back.
//!
//! The AVX512-BF16 form rounds as [`to_bf16`](crate::bf16::to_bf16) does, but for subnormal values, which they may set to
//! zero.

use crate::bf16::from_bf16;
use crate::bf16::operand::{BLOCK, STEP};
use crate::bf16::product::Kernel;
#[cfg(test)]
use crate::bf16::to_bf16;
use crate::isa::Isa;
use crate::simd::{self, Simd, halves};

/// Rounds `row` into an operand row that starts at `to`, with zeros up to a whole step.
///
/// # Safety
///
/// - The processor has `kernel`.
/// - `to` is the start of a row of an operand with as many columns, and nobody else uses that row.
pub(crate) unsafe fn write(kernel: Kernel, row: &[f32], to: *mut u16) {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: passed on to the caller.
        Kernel::Amx | Kernel::Pairs => unsafe { write_avx512(row, to) },
        Kernel::Widened(isa) => simd::run(isa, Write { row, to }),
        #[cfg(test)]
        // SAFETY: passed on to the caller.
        Kernel::Twin => unsafe { write_portable(row, to) },
    }
}

/// A row on its way, in some vectors.
struct Write<'a> {
    row: &'a [f32],
    to: *mut u16,
}

impl simd::Kernel for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (step, values) in self.row.chunks(STEP).enumerate() {
            // SAFETY: step `step` of the row, as the caller of `write` promises.
            let to = unsafe { std::slice::from_raw_parts_mut(self.to.add(step * BLOCK), STEP) };
            let (exist, beyond) = to.split_at_mut(values.len());
            halves::narrow(s, values, exist);
            beyond.fill(0);
        }
    }
}

/// The scalar twin.
#[cfg(test)]
unsafe fn write_portable(row: &[f32], to: *mut u16) {
    for (step, values) in row.chunks(STEP).enumerate() {
        // SAFETY: step `step` of the row.
        let to = unsafe { std::slice::from_raw_parts_mut(to.add(step * BLOCK), STEP) };
        for (at, to) in to.iter_mut().enumerate() {
            *to = values.get(at).map_or(0, |&value| to_bf16(value));
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn write_avx512(row: &[f32], to: *mut u16) {
    use std::arch::x86_64::*;
    for (step, values) in row.chunks(STEP).enumerate() {
        let mask = u32::MAX >> (STEP - values.len());
        let from = values.as_ptr();
        // SAFETY: loads are masked to the values that exist; a whole step of the row is stored.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask as u16, from);
            let high = _mm512_maskz_loadu_ps((mask >> 16) as u16, from.wrapping_add(16));
            let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(to.add(step * BLOCK).cast(), rounded);
        }
    }
}

/// `to = from`, rounded.
pub(crate) fn narrow(isa: Isa, from: &[f32], to: &mut [u16]) {
    simd::run(isa, Narrow { from, to });
}

struct Narrow<'a> {
    from: &'a [f32],
    to: &'a mut [u16],
}

impl simd::Kernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        halves::narrow(s, self.from, self.to);
    }
}

/// `to = scale × from`.
pub(crate) fn widen(from: &[u16], scale: f32, to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from_bf16(from) * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16::operand;
    use crate::bf16::testing::{Guarded, Random, kernels};

    #[test]
    fn kernels_write_the_same_bits() {
        for cols in [1, 15, 16, 17, 31, 32, 33, 48, 64, 320] {
            let mut row = Random(cols as u64).values(cols);
            row[cols / 2] = 1e30;
            for kernel in kernels() {
                let mut out = Guarded::new(vec![0xffff; operand::len(1, cols)]);
                // SAFETY: the machine has the kernel; the operand has one panel.
                unsafe { write(kernel, &row, out.start()) };
                let out = out.check();
                let steps = operand::steps(cols);
                for col in 0..steps * STEP {
                    let want = row.get(col).map_or(0, |&value| to_bf16(value));
                    assert_eq!(out[operand::index(0, col, steps)], want, "{kernel:?} {col}");
                }
            }
        }
    }
}
