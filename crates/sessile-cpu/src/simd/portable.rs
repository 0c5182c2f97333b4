//! Plain Rust over arrays. The compiler makes of it what the target's baseline has.

use super::{Kernel, Shape, Simd};
use crate::isa::Isa;

/// Four lanes in an array.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

const LANES: usize = 4;

#[inline(always)]
fn map(a: [f32; LANES], f: impl Fn(f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(a[i]))
}

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Portable {
    type V = [f32; LANES];

    const SHAPE: Shape = Shape::of(Isa::Portable);

    #[inline(never)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: the caller's promise; an array of f32 has the alignment of f32.
        unsafe { from.cast::<Self::V>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Self::V) {
        // SAFETY: as above.
        unsafe { to.cast::<Self::V>().write(v) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::V {
        let mut values = [0.0; LANES];
        for (i, value) in values.iter_mut().enumerate().take(count) {
            // SAFETY: one of the `count` values that the caller promises.
            *value = unsafe { *from.add(i) };
        }
        values
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: Self::V, count: usize) {
        for (i, x) in v.into_iter().enumerate().take(count) {
            // SAFETY: only the `count` values that the caller promises are written.
            unsafe { *to.add(i) = x };
        }
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a / b)
    }

    // Rounded twice: without the instruction, one rounding is a call into a library.
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn abs(self, a: Self::V) -> Self::V {
        map(a, f32::abs)
    }

    #[inline(always)]
    fn copysign(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, f32::copysign)
    }

    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        // Above 2²³ there is no room for a fraction: adding and taking away rounds.
        const SHIFT: f32 = 12_582_912.0;
        map(a, |a| (a + SHIFT) - SHIFT)
    }

    #[inline(always)]
    fn ldexp(self, a: Self::V, n: Self::V) -> Self::V {
        zip(a, n, |a, n| {
            let exponent = (n as i32).wrapping_add(127) as u32;
            a * f32::from_bits(exponent << 23)
        })
    }

    #[inline(always)]
    fn select_gt(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] > b[i] { yes[i] } else { no[i] })
    }

    #[inline(always)]
    fn first(self, a: Self::V, count: usize, rest: Self::V) -> Self::V {
        std::array::from_fn(|i| if i < count { a[i] } else { rest[i] })
    }

    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }

    #[inline(always)]
    fn top(self, a: Self::V) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn transpose(self, square: &mut [Self::V]) {
        let rows: [Self::V; LANES] = std::array::from_fn(|i| square[i]);
        for (i, column) in square.iter_mut().enumerate() {
            *column = rows.map(|row| row[i]);
        }
    }
}
