//! The 128-bit vectors of AArch64: 4 lanes, 32 registers. Every AArch64 processor has them.

use std::arch::aarch64::*;

use super::{Kernel, Shape, Simd};
use crate::isa::Isa;

/// Four lanes.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    pub(crate) fn new() -> Self {
        Neon(())
    }
}

/// Wraps an intrinsic.
macro_rules! op {
    ($(fn $name:ident($($arg:ident),+) -> V = $body:expr;)+) => {
        $(#[inline(always)]
        fn $name(self, $($arg: Self::V),+) -> Self::V {
            // SAFETY: every AArch64 processor has these instructions.
            unsafe { $body }
        })+
    };
}

impl Simd for Neon {
    type V = float32x4_t;

    const SHAPE: Shape = Shape::of(Isa::Neon);

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        #[inline(never)]
        fn inner<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: every AArch64 processor has these instructions.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        // SAFETY: as in `enter`.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Self::V) {
        // SAFETY: as in `enter`, and the caller's promise.
        unsafe { vst1q_f32(to, v) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::V {
        let mut values = [0.0f32; 4];
        for (i, value) in values.iter_mut().enumerate().take(count) {
            // SAFETY: one of the `count` values that the caller promises.
            *value = unsafe { *from.add(i) };
        }
        // SAFETY: the array holds four values.
        unsafe { vld1q_f32(values.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: Self::V, count: usize) {
        let mut values = [0.0f32; 4];
        // SAFETY: the array has room for four values.
        unsafe { vst1q_f32(values.as_mut_ptr(), v) };
        for (i, value) in values.iter().enumerate().take(count) {
            // SAFETY: one of the `count` values that the caller promises.
            unsafe { *to.add(i) = *value };
        }
    }

    op! {
        fn add(a, b) -> V = vaddq_f32(a, b);
        fn sub(a, b) -> V = vsubq_f32(a, b);
        fn mul(a, b) -> V = vmulq_f32(a, b);
        fn div(a, b) -> V = vdivq_f32(a, b);
        fn fma(a, b, c) -> V = vfmaq_f32(c, a, b);
        fn max(a, b) -> V = vmaxq_f32(a, b);
        fn min(a, b) -> V = vminq_f32(a, b);
        fn abs(a) -> V = vabsq_f32(a);
        fn copysign(a, b) -> V = vbslq_f32(vdupq_n_u32(0x8000_0000), b, a);
        fn round(a) -> V = vrndnq_f32(a);
        fn ldexp(a, n) -> V = {
            let exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
            vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent)))
        };
        fn select_gt(a, b, yes, no) -> V = vbslq_f32(vcgtq_f32(a, b), yes, no);
    }

    #[inline(always)]
    fn first(self, a: Self::V, count: usize, rest: Self::V) -> Self::V {
        const LANE: [u32; 4] = [0, 1, 2, 3];
        // SAFETY: as in `enter`; the array holds four values.
        unsafe {
            let below = vcltq_u32(vld1q_u32(LANE.as_ptr()), vdupq_n_u32(count.min(4) as u32));
            vbslq_f32(below, a, rest)
        }
    }

    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        // SAFETY: as in `enter`.
        unsafe { vaddvq_f32(a) }
    }

    #[inline(always)]
    fn top(self, a: Self::V) -> f32 {
        // SAFETY: as in `enter`.
        unsafe { vmaxvq_f32(a) }
    }

    #[inline(always)]
    fn transpose(self, square: &mut [Self::V]) {
        // SAFETY: as in `enter`.
        unsafe {
            let (a, b) = (
                vtrnq_f32(square[0], square[1]),
                vtrnq_f32(square[2], square[3]),
            );
            square[0] = vcombine_f32(vget_low_f32(a.0), vget_low_f32(b.0));
            square[1] = vcombine_f32(vget_low_f32(a.1), vget_low_f32(b.1));
            square[2] = vcombine_f32(vget_high_f32(a.0), vget_high_f32(b.0));
            square[3] = vcombine_f32(vget_high_f32(a.1), vget_high_f32(b.1));
        }
    }
}
