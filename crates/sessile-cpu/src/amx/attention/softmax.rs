//! Scores to weights: `2^s` as bf16, by a table of 128 mantissas.
//!
//! A scaled score times 128, rounded to an integer, is already a bf16 whose mantissa is linear
//! between powers of two. What the true mantissa lacks is looked up by the lowest seven bits. A
//! weight is off by at most [`ERROR`].
//!
//! Scalar twin: [`crate::bf16::attention::weight`].

use std::arch::asm;
use std::arch::x86_64::*;

use super::layout::ROWS;
use crate::bf16::attention::{BITS_PER_UNIT, Head, LACK, ONE_BITS};

/// What is added to a score at this distance, in units of weight bits, with the bits of 2⁰.
/// Beyond the window the weight's bits come out below zero, and so zero.
pub(super) fn added(head: &Head<'_>, distance: isize) -> f32 {
    let outside = head
        .spec
        .window
        .is_some_and(|window| distance.unsigned_abs() > window);
    if outside {
        -1e30
    } else {
        head.spec.bias.at(head.index, distance) * BITS_PER_UNIT + ONE_BITS
    }
}

/// Looks up the lowest seven bits of every 16-bit number in a table of 128 bytes.
///
/// As assembly, because the compiler makes an instruction of its own of the mask, and loads it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up(bits: __m512i, table: [__m512i; 2]) -> __m512i {
    let mut found = bits;
    // SAFETY: AVX-512 BW and VBMI are there; no memory is touched.
    unsafe {
        asm!(
            "vpermi2b {found}{{{even}}}{{z}}, {low}, {high}",
            found = inout(zmm_reg) found,
            even = in(kreg) 0x5555_5555_5555_5555_u64,
            low = in(zmm_reg) table[0],
            high = in(zmm_reg) table[1],
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    found
}

/// The constants of the weights of one head.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    factor: __m512,
    offset: __m512,
    lack: [__m512i; 2],
}

impl Weights {
    /// # Safety
    ///
    /// AVX-512F.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn new(head: &Head<'_>) -> Self {
        // SAFETY: the table has 128 bytes.
        let lack = unsafe {
            [
                _mm512_loadu_si512(LACK.as_ptr().cast()),
                _mm512_loadu_si512(LACK.as_ptr().add(64).cast()),
            ]
        };
        Weights {
            factor: _mm512_set1_ps(head.spec.scale * BITS_PER_UNIT),
            offset: _mm512_set1_ps(ONE_BITS),
            lack,
        }
    }

    /// The bits of two vectors of scores before they are rounded. `distances` points to what is
    /// added to the first of them.
    ///
    /// # Safety
    ///
    /// AVX-512F; `scores` points to a row of two tiles, `distances` to 32 values.
    #[inline(always)]
    pub(super) unsafe fn linear<const DISTANCES: bool>(
        &self,
        scores: *const f32,
        distances: *const f32,
    ) -> [__m512; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let add = |at: usize| {
                if DISTANCES {
                    _mm512_loadu_ps(distances.wrapping_add(at))
                } else {
                    self.offset
                }
            };
            [
                _mm512_fmadd_ps(_mm512_load_ps(scores), self.factor, add(0)),
                _mm512_fmadd_ps(_mm512_load_ps(scores.add(256)), self.factor, add(16)),
            ]
        }
    }

    /// The weights of 32 scores. The order is that of `vpackusdw`: four of the first vector, four
    /// of the second, and so on.
    ///
    /// # Safety
    ///
    /// AVX-512 F, BW and VBMI.
    #[inline(always)]
    pub(super) unsafe fn weights(&self, bits: [__m512; 2]) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe {
            let low = _mm512_cvtps_epi32(bits[0]);
            let high = _mm512_cvtps_epi32(bits[1]);
            let bits = _mm512_packus_epi32(low, high);
            // Above the largest weight: infinity, which the sum of the row will show.
            let bits = _mm512_min_epu16(bits, _mm512_set1_epi16(0x7f80));
            let lack = look_up(bits, self.lack);
            _mm512_sub_epi16(bits, lack)
        }
    }

    /// The weights of rows `FIRST..FIRST + 8` of one unit.
    ///
    /// # Safety
    ///
    /// AVX-512 F, BW and VBMI; `scores` points to two tiles and `weights` to one; `distances` to
    /// what is added to the first score of row 0, with 32 values from there and 16 before.
    #[inline(always)]
    pub(super) unsafe fn eight_rows<const DISTANCES: bool, const FIRST: usize>(
        &self,
        scores: *const f32,
        distances: *const f32,
        weights: *mut u16,
    ) {
        for row in FIRST..FIRST + 8 {
            // SAFETY: the caller's promise.
            unsafe {
                let bits = self.linear::<DISTANCES>(
                    scores.wrapping_add(row * ROWS),
                    distances.wrapping_sub(row),
                );
                _mm512_store_si512(weights.wrapping_add(row * 32).cast(), self.weights(bits));
            }
        }
    }
}
