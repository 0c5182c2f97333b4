//! 256-bit vectors with fused multiply-add: 8 lanes, 16 registers.

use std::arch::x86_64::*;

use super::{Kernel, Shape, Simd};
use crate::isa::Isa;

/// The proof that this machine has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn new() -> Option<Self> {
        Isa::Avx2.available().then_some(Avx2(()))
    }
}

/// Wraps an intrinsic. The value `Avx2` is the proof that it exists here.
macro_rules! op {
    ($(fn $name:ident($($arg:ident),+) -> V = $body:expr;)+) => {
        $(#[inline(always)]
        fn $name(self, $($arg: Self::V),+) -> Self::V {
            // SAFETY: a value of `Avx2` exists only where the machine has the instructions.
            unsafe { $body }
        })+
    };
}

impl Simd for Avx2 {
    type V = __m256;

    const SHAPE: Shape = Shape::of(Isa::Avx2);

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        fn inner<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: a value of `Avx2` exists only where the machine has the instructions.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        // SAFETY: as in `enter`.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Self::V) {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::V {
        // SAFETY: as in `enter`; lanes that are masked out are not read.
        unsafe { _mm256_maskload_ps(from, mask(count)) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: Self::V, count: usize) {
        // SAFETY: as in `enter`; lanes that are masked out are not written.
        unsafe { _mm256_maskstore_ps(to, mask(count), v) }
    }

    op! {
        fn add(a, b) -> V = _mm256_add_ps(a, b);
        fn sub(a, b) -> V = _mm256_sub_ps(a, b);
        fn mul(a, b) -> V = _mm256_mul_ps(a, b);
        fn div(a, b) -> V = _mm256_div_ps(a, b);
        fn fma(a, b, c) -> V = _mm256_fmadd_ps(a, b, c);
        fn max(a, b) -> V = _mm256_max_ps(a, b);
        fn min(a, b) -> V = _mm256_min_ps(a, b);
        fn abs(a) -> V = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        fn copysign(a, b) -> V = _mm256_or_ps(
            _mm256_andnot_ps(_mm256_set1_ps(-0.0), a),
            _mm256_and_ps(b, _mm256_set1_ps(-0.0)),
        );
        fn round(a) -> V =
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        fn ldexp(a, n) -> V = {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        };
        fn select_gt(a, b, yes, no) -> V =
            _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b));
    }

    #[inline(always)]
    fn first(self, a: Self::V, count: usize, rest: Self::V) -> Self::V {
        // SAFETY: as in `enter`.
        unsafe { _mm256_blendv_ps(rest, a, _mm256_castsi256_ps(mask(count))) }
    }

    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        // SAFETY: as in `enter`.
        unsafe {
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        }
    }

    #[inline(always)]
    fn top(self, a: Self::V) -> f32 {
        // SAFETY: as in `enter`.
        unsafe {
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        }
    }

    #[inline(always)]
    fn transpose(self, square: &mut [Self::V]) {
        let mut a: [__m256; 8] = std::array::from_fn(|i| square[i]);
        let b = &mut [a[0]; 8];
        // SAFETY: as in `enter`.
        unsafe {
            // Pairs of rows, then pairs of pairs: squares of 4 × 4 in both halves.
            for i in (0..8).step_by(2) {
                b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
                b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
            }
            for i in (0..8).step_by(4) {
                for j in 0..2 {
                    let (low, high) = (_mm256_castps_pd(b[i + j]), _mm256_castps_pd(b[i + 2 + j]));
                    a[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
                    a[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
                }
            }
            for j in 0..4 {
                b[j] = _mm256_permute2f128_ps::<0x20>(a[j], a[4 + j]);
                b[4 + j] = _mm256_permute2f128_ps::<0x31>(a[j], a[4 + j]);
            }
        }
        square.copy_from_slice(b);
    }

    #[inline(always)]
    unsafe fn load_halves(self, from: *const u16) -> Self::V {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe {
            let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
        }
    }

    #[inline(always)]
    unsafe fn load_pairs(self, from: *const u16) -> [Self::V; 2] {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe {
            let pairs = _mm256_loadu_si256(from.cast());
            let second = _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            [_mm256_slli_epi32::<16>(pairs), second].map(|x| _mm256_castsi256_ps(x))
        }
    }

    #[inline(always)]
    unsafe fn store_halves(self, to: *mut u16, v: Self::V) {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe {
            let bits = _mm256_castps_si256(v);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let nearest = _mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff));
            let nearest = _mm256_add_epi32(nearest, odd);
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
            let rounded = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(nearest, quiet, nan));
            // Both halves of a register are packed by themselves: lanes 0–3 end up in the first
            // quarter, lanes 4–7 in the third.
            let packed = _mm256_packus_epi32(rounded, rounded);
            let halves = _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(packed));
            _mm_storeu_si128(to.cast(), halves);
        }
    }
}

/// All bits of the first `count` lanes.
#[inline(always)]
fn mask(count: usize) -> __m256i {
    const BITS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let skip = 8 - count.min(8);
    // SAFETY: eight of the sixteen values lie at and after `skip ≤ 8`; the instructions exist
    // wherever this module's vectors do.
    unsafe { _mm256_loadu_si256(BITS.as_ptr().add(skip).cast()) }
}
