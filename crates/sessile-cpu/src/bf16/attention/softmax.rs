//! Scores to weights: `2^s` as bf16, by a table of 128 mantissas.
//!
//! A scaled score times 128, rounded to an integer, is already a bf16 whose mantissa is linear
//! between powers of two. The true mantissa is looked up by the linear one. A weight is off by at
//! most 0.67 %: half a step of the score (0.27 %) and half a step of the mantissa (0.39 %).
//!
//! Scalar twin: `crate::scalar::bf16::weight`.

use std::arch::x86_64::*;

use crate::bf16::attention::{BITS_PER_UNIT, Head, MANTISSA, ONE_BITS};

/// What is added to a score at this distance, in units of weight bits, with the bits of 2⁰.
/// Beyond the window the weight's bits come out below zero, and so zero.
pub(crate) fn added(head: &Head<'_>, distance: isize) -> f32 {
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

/// The constants of the weights of one head.
#[derive(Clone, Copy)]
pub(crate) struct Weights {
    factor: __m512,
    offset: __m512,
    mantissas: [__m512i; 2],
}

impl Weights {
    /// # Safety
    ///
    /// AVX-512F.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) unsafe fn new(head: &Head<'_>) -> Self {
        // SAFETY: the table has 128 bytes.
        let mantissas = unsafe {
            [
                _mm512_loadu_si512(MANTISSA.as_ptr().cast()),
                _mm512_loadu_si512(MANTISSA.as_ptr().add(64).cast()),
            ]
        };
        Weights {
            factor: _mm512_set1_ps(head.spec.scale * BITS_PER_UNIT),
            offset: _mm512_set1_ps(ONE_BITS),
            mantissas,
        }
    }

    /// The bits of two vectors of scores before they are rounded. `distances` points to what is
    /// added to the first of them.
    ///
    /// # Safety
    ///
    /// AVX-512F; `distances` points to 32 values.
    #[inline(always)]
    pub(crate) unsafe fn linear<const DISTANCES: bool>(
        &self,
        scores: [__m512; 2],
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
                _mm512_fmadd_ps(scores[0], self.factor, add(0)),
                _mm512_fmadd_ps(scores[1], self.factor, add(16)),
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
    pub(crate) unsafe fn weights(&self, bits: [__m512; 2]) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe {
            let low = _mm512_cvtps_epi32(bits[0]);
            let high = _mm512_cvtps_epi32(bits[1]);
            let bits = _mm512_packus_epi32(low, high);
            // Above the largest weight: infinity, which the sum of the row will show.
            let bits = _mm512_min_epu16(bits, _mm512_set1_epi16(0x7f80));
            let found = _mm512_permutex2var_epi8(self.mantissas[0], bits, self.mantissas[1]);
            // Seven bits of what was found, the others of what they were.
            const SELECT: i32 = 0xca;
            let mantissa = _mm512_set1_epi16(0x7f);
            _mm512_ternarylogic_epi32::<SELECT>(mantissa, found, bits)
        }
    }
}
