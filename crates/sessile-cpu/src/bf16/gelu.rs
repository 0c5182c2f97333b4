//! The exact GELU, `x · Φ(x)`, on 16 values at once.
//!
//! `Φ` is cut into 16 stretches of 0.6, a cubic on each (Chebyshev interpolation), the outer two 0
//! and 1. The coefficients are looked up by `vpermps`, so there is no division and no exponential:
//! 11 instructions where a rational `erf` takes 22.
//!
//! Scalar twin: `crate::scalar::bf16::gelu`. The error is at most 6e-5, at any `x`.

use std::arch::x86_64::*;

/// Greatest absolute difference from the exact GELU, at any `x`.
#[cfg(test)]
pub(crate) const MAX_ERROR: f32 = 6e-5;

/// Width of a stretch.
const WIDTH: f32 = 0.6;

#[repr(align(64))]
struct Table([[f32; 16]; 4]);

/// `TABLE[j][s]` is the coefficient of `x^j` on `[0.6 (s − 8), 0.6 (s − 7))`.
#[rustfmt::skip]
static TABLE: Table = Table([
    [
        0.0, 0.036_449_015, 0.143_610_57, 0.354_352_68,
        0.546_271_15, 0.567_717_6, 0.512_656_1, 0.500_011_3,
        0.499_988_7, 0.487_343_94, 0.432_282_4, 0.453_728_88,
        0.645_647_3, 0.856_389_4, 0.963_551, 1.0,
    ],
    [
        0.0, 0.025_952_261, 0.116_734_89, 0.329_836_1,
        0.568_913_1, 0.597_880_6, 0.457_060_6, 0.399_536_34,
        0.399_536_34, 0.457_060_6, 0.597_880_6, 0.568_913_1,
        0.329_836_1, 0.116_734_89, 0.025_952_261, 0.0,
    ],
    [
        0.0, 0.006_179_978, 0.031_840_667, 0.103_782_75,
        0.203_303_29, 0.215_650_86, 0.094_402_53, 0.004_545_980_6,
        -0.004_545_980_6, -0.094_402_53, -0.215_650_86, -0.203_303_29,
        -0.103_782_75, -0.031_840_667, -0.006_179_978, 0.0,
    ],
    [
        0.0, 0.000_492_000_5, 0.002_912_007, 0.011_020_146,
        0.024_863_629, 0.026_458_582, -0.008_661_79, -0.057_143_74,
        -0.057_143_74, -0.008_661_79, 0.026_458_582, 0.024_863_629,
        0.011_020_146, 0.002_912_007, 0.000_492_000_5, 0.0,
    ],
]);

/// `gelu(x)` of 16 values.
///
/// # Safety
///
/// AVX-512F.
#[inline(always)]
pub(crate) unsafe fn gelu(x: __m512) -> __m512 {
    // SAFETY: AVX-512F is the caller's promise; the table has four rows of 16.
    unsafe {
        // Adding 1.5 · 2²³ puts the number, rounded down, into the lowest bits, where the look-up
        // reads it.
        const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
        let magic = _mm512_set1_ps(12_582_912.0 + 8.0);
        let inside = _mm512_min_ps(_mm512_set1_ps(7.9 * WIDTH), x);
        let inside = _mm512_max_ps(_mm512_set1_ps(-7.9 * WIDTH), inside);
        let stretch = _mm512_fmadd_round_ps::<DOWN>(inside, _mm512_set1_ps(1.0 / WIDTH), magic);
        let stretch = _mm512_castps_si512(stretch);
        let coefficient = |j: usize| {
            let row = _mm512_load_ps(TABLE.0[j].as_ptr());
            _mm512_permutexvar_ps(stretch, row)
        };
        let sum = _mm512_fmadd_ps(coefficient(3), x, coefficient(2));
        let sum = _mm512_fmadd_ps(sum, x, coefficient(1));
        let sum = _mm512_fmadd_ps(sum, x, coefficient(0));
        _mm512_mul_ps(sum, x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::bf16::gelu as exact;

    #[test]
    fn stays_within_its_bound() {
        if !is_x86_feature_detected!("avx512f") {
            return;
        }
        for i in -90_000..90_000 {
            let x = i as f32 * 1e-4;
            // SAFETY: AVX-512F was detected.
            let got = unsafe { _mm512_cvtss_f32(gelu(_mm512_set1_ps(x))) };
            assert!(
                (got - exact(x)).abs() <= MAX_ERROR,
                "{x}: {got} {}",
                exact(x)
            );
        }
    }

    #[test]
    fn far_values_and_nan() {
        if !is_x86_feature_detected!("avx512f") {
            return;
        }
        for (x, want) in [(1e30, 1e30), (-1e30, 0.0), (50.0, 50.0), (-50.0, 0.0)] {
            // SAFETY: AVX-512F was detected.
            let got = unsafe { _mm512_cvtss_f32(gelu(_mm512_set1_ps(x))) };
            assert_eq!(got, want);
        }
        // SAFETY: AVX-512F was detected.
        let got = unsafe { _mm512_cvtss_f32(gelu(_mm512_set1_ps(f32::NAN))) };
        assert!(got.is_nan());
    }
}
