//! 512-bit vectors: 16 lanes, 32 registers, masks for the rest of a row.

use std::arch::x86_64::*;

use super::{Kernel, Shape, Simd};
use crate::isa::Isa;

/// The proof that this machine has AVX-512 (F, BW, VL, DQ).
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn new() -> Option<Self> {
        Isa::Avx512.available().then_some(Avx512(()))
    }
}

/// Wraps an intrinsic. The value `Avx512` is the proof that it exists here.
macro_rules! op {
    ($(fn $name:ident($($arg:ident),+) -> V = $body:expr;)+) => {
        $(#[inline(always)]
        fn $name(self, $($arg: Self::V),+) -> Self::V {
            // SAFETY: a value of `Avx512` exists only where the machine has the instructions.
            unsafe { $body }
        })+
    };
}

impl Simd for Avx512 {
    type V = __m512;

    const SHAPE: Shape = Shape::of(Isa::Avx512);

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
        #[inline(never)]
        fn inner<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: a value of `Avx512` exists only where the machine has the instructions.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        // SAFETY: as in `enter`.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Self::V) {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe { _mm512_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::V {
        // SAFETY: as in `enter`; lanes that are masked out are not read.
        unsafe { _mm512_maskz_loadu_ps(mask(count), from) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: Self::V, count: usize) {
        // SAFETY: as in `enter`; lanes that are masked out are not written.
        unsafe { _mm512_mask_storeu_ps(to, mask(count), v) }
    }

    op! {
        fn add(a, b) -> V = _mm512_add_ps(a, b);
        fn sub(a, b) -> V = _mm512_sub_ps(a, b);
        fn mul(a, b) -> V = _mm512_mul_ps(a, b);
        fn div(a, b) -> V = _mm512_div_ps(a, b);
        fn fma(a, b, c) -> V = _mm512_fmadd_ps(a, b, c);
        fn max(a, b) -> V = _mm512_max_ps(a, b);
        fn min(a, b) -> V = _mm512_min_ps(a, b);
        fn abs(a) -> V = _mm512_abs_ps(a);
        fn copysign(a, b) -> V = _mm512_or_ps(
            _mm512_abs_ps(a),
            _mm512_and_ps(b, _mm512_set1_ps(-0.0)),
        );
        fn round(a) -> V = _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(a);
        fn ldexp(a, n) -> V = _mm512_scalef_ps(a, n);
        fn select_gt(a, b, yes, no) -> V =
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), no, yes);
    }

    #[inline(always)]
    fn first(self, a: Self::V, count: usize, rest: Self::V) -> Self::V {
        // SAFETY: as in `enter`.
        unsafe { _mm512_mask_blend_ps(mask(count), rest, a) }
    }

    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        // SAFETY: as in `enter`.
        unsafe {
            let a = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        }
    }

    #[inline(always)]
    fn top(self, a: Self::V) -> f32 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_reduce_max_ps(a) }
    }

    #[inline(always)]
    fn transpose(self, square: &mut [Self::V]) {
        let mut a: [__m512; 16] = std::array::from_fn(|i| square[i]);
        let b = &mut [a[0]; 16];
        // SAFETY: as in `enter`.
        unsafe {
            // Pairs of rows, then pairs of pairs: squares of 4 × 4 in every quarter.
            for i in (0..16).step_by(2) {
                b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
                b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
            }
            for i in (0..16).step_by(4) {
                for j in 0..2 {
                    let (low, high) = (_mm512_castps_pd(b[i + j]), _mm512_castps_pd(b[i + 2 + j]));
                    a[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
                    a[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
                }
            }
            // Then the quarters: rows 4i + j hold column j of their quarters.
            for j in 0..4 {
                let low = _mm512_shuffle_f32x4::<0x88>(a[j], a[4 + j]);
                let high = _mm512_shuffle_f32x4::<0x88>(a[8 + j], a[12 + j]);
                b[j] = _mm512_shuffle_f32x4::<0x88>(low, high);
                b[8 + j] = _mm512_shuffle_f32x4::<0xdd>(low, high);
                let low = _mm512_shuffle_f32x4::<0xdd>(a[j], a[4 + j]);
                let high = _mm512_shuffle_f32x4::<0xdd>(a[8 + j], a[12 + j]);
                b[4 + j] = _mm512_shuffle_f32x4::<0x88>(low, high);
                b[12 + j] = _mm512_shuffle_f32x4::<0xdd>(low, high);
            }
        }
        square.copy_from_slice(b);
    }

    #[inline(always)]
    unsafe fn load_halves(self, from: *const u16) -> Self::V {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        }
    }

    #[inline(always)]
    unsafe fn load_pairs(self, from: *const u16) -> [Self::V; 2] {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe {
            let pairs = _mm512_loadu_si512(from.cast());
            let second = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            [_mm512_slli_epi32::<16>(pairs), second].map(|x| _mm512_castsi512_ps(x))
        }
    }

    #[inline(always)]
    unsafe fn store_halves(self, to: *mut u16, v: Self::V) {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe {
            let bits = _mm512_castps_si512(v);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let nearest = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
            let nearest = _mm512_add_epi32(nearest, odd);
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
            let quiet = _mm512_set1_epi32(0x40_0000);
            let rounded = _mm512_mask_or_epi32(nearest, nan, bits, quiet);
            let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
            _mm256_storeu_si256(to.cast(), halves);
        }
    }

    /// Half the vectors after every addition: 30 shuffles instead of the 64 of a transposition.
    #[inline(always)]
    fn sums(self, square: &mut [Self::V]) -> Self::V {
        let a: [__m512; 16] = std::array::from_fn(|i| square[i]);
        // SAFETY: as in `enter`.
        unsafe {
            let pairs: [__m512d; 8] = std::array::from_fn(|i| {
                let (x, y) = (a[2 * i], a[2 * i + 1]);
                let sums = _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
                _mm512_castps_pd(sums)
            });
            // In every quarter the sums of four vectors over that quarter.
            let fours: [__m512; 4] = std::array::from_fn(|i| {
                let (x, y) = (pairs[2 * i], pairs[2 * i + 1]);
                _mm512_add_ps(
                    _mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)),
                )
            });
            let quarters = |x, y| {
                _mm512_add_ps(
                    _mm512_shuffle_f32x4::<0x88>(x, y),
                    _mm512_shuffle_f32x4::<0xdd>(x, y),
                )
            };
            quarters(quarters(fours[0], fours[1]), quarters(fours[2], fours[3]))
        }
    }
}

/// The first `count` lanes.
#[inline(always)]
fn mask(count: usize) -> __mmask16 {
    ((1u32 << count.min(16)) - 1) as __mmask16
}
