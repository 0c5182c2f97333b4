//! Vectors of f32: one vocabulary, spoken by every instruction set.
//!
//! A kernel is written once, over [`Simd`], and compiled once for each instruction set: [`run`]
//! enters a function that has the set's target features enabled, and everything below it is
//! inlined there. A value of a `Simd` type is the proof that the machine has the instructions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod halves;
mod interleave;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use interleave::interleave;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;

use crate::bf16::{from_bf16, to_bf16};
use crate::isa::Isa;

/// Lanes of the widest vectors.
const MOST_LANES: usize = 16;

/// Something to compute with the vectors of whatever machine this is.
pub(crate) trait Kernel {
    type Output;

    /// The computation. Implementations are `#[inline(always)]`, and so is what they call, or
    /// they would be compiled without the instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs a kernel with the vectors of `isa`, or with lesser ones that the machine has.
pub(crate) fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if isa >= Isa::Avx512
            && let Some(simd) = Avx512::new()
        {
            return simd.enter(kernel);
        }
        if isa >= Isa::Avx2
            && let Some(simd) = Avx2::new()
        {
            return simd.enter(kernel);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if isa >= Isa::Neon {
        return Neon::new().enter(kernel);
    }
    let _ = isa;
    Portable.enter(kernel)
}

/// The shape of the product tiles of an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Elements of a vector.
    pub(crate) lanes: usize,
    /// Rows of a tile of a product.
    pub(crate) tile_rows: usize,
}

impl Shape {
    /// What [`run`] computes with for `isa`, whether or not this machine has it.
    pub(crate) const fn of(isa: Isa) -> Shape {
        match isa {
            // Two vectors of columns and 14 rows of sums, which leaves four of 32 registers.
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => Shape {
                lanes: 16,
                tile_rows: 14,
            },
            // 12 of 16 registers hold sums.
            Isa::Avx2 => Shape {
                lanes: 8,
                tile_rows: 6,
            },
            Isa::Neon => Shape {
                lanes: 4,
                tile_rows: 12,
            },
            Isa::Portable => Shape {
                lanes: 4,
                tile_rows: 4,
            },
        }
    }

    /// Columns of a tile: two vectors.
    pub(crate) const fn tile_cols(self) -> usize {
        2 * self.lanes
    }
}

/// The vector operations that the kernels are made of.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of `LANES` f32.
    type V: Copy;

    /// The shape of tiles.
    const SHAPE: Shape;

    /// Elements of a vector.
    const LANES: usize = Self::SHAPE.lanes;

    /// Runs a kernel with these instructions enabled, in a function of its own.
    fn enter<K: Kernel>(self, kernel: K) -> K::Output;

    /// Every lane `x`.
    fn splat(self, x: f32) -> Self::V;

    /// `LANES` values from memory.
    ///
    /// # Safety
    ///
    /// They are readable.
    unsafe fn load(self, from: *const f32) -> Self::V;

    /// `LANES` values to memory.
    ///
    /// # Safety
    ///
    /// They are writable.
    unsafe fn store(self, to: *mut f32, v: Self::V);

    /// The first `count < LANES` values from memory, and zeros.
    ///
    /// # Safety
    ///
    /// These `count` values are readable.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::V;

    /// The first `count < LANES` values to memory.
    ///
    /// # Safety
    ///
    /// These `count` values are writable.
    unsafe fn store_first(self, to: *mut f32, v: Self::V, count: usize);

    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a × b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a ÷ b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a × b + c`, rounded once where the machine can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The greater one; a NaN in `b` stays.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The lesser one; a NaN in `b` stays.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `|a|`.
    fn abs(self, a: Self::V) -> Self::V;
    /// The magnitude of `a` with the sign of `b`.
    fn copysign(self, a: Self::V, b: Self::V) -> Self::V;
    /// The nearest whole numbers, even at a tie, for magnitudes below 2²².
    fn round(self, a: Self::V) -> Self::V;
    /// `a × 2ⁿ` for whole numbers `n` in −126..=128; anything at all beyond.
    fn ldexp(self, a: Self::V, n: Self::V) -> Self::V;
    /// `yes` where `a > b`, else `no`.
    fn select_gt(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// The first `count` lanes of `a`, and `rest` in the others.
    fn first(self, a: Self::V, count: usize, rest: Self::V) -> Self::V;
    /// The sum of the lanes, in one order for each instruction set.
    fn sum(self, a: Self::V) -> f32;
    /// The greatest lane.
    fn top(self, a: Self::V) -> f32;

    /// Turns rows into columns: lane *i* of vector *j* and lane *j* of vector *i* change places.
    /// There are LANES vectors.
    fn transpose(self, square: &mut [Self::V]);

    /// Lane *i* becomes the sum of the lanes of vector *i*, in one order for each instruction set.
    /// There are LANES vectors; what is left in them is of no use.
    #[inline(always)]
    fn sums(self, square: &mut [Self::V]) -> Self::V {
        self.transpose(square);
        let mut left = square.len();
        while left > 1 {
            left /= 2;
            for i in 0..left {
                square[i] = self.add(square[i], square[i + left]);
            }
        }
        square[0]
    }

    /// `LANES` bf16 values from memory.
    ///
    /// # Safety
    ///
    /// They are readable.
    #[inline(always)]
    unsafe fn load_halves(self, from: *const u16) -> Self::V {
        let mut values = [0.0; MOST_LANES];
        for (i, value) in values.iter_mut().enumerate().take(Self::LANES) {
            // SAFETY: one of the values that the caller promises.
            *value = from_bf16(unsafe { *from.add(i) });
        }
        // SAFETY: there are as many values.
        unsafe { self.load(values.as_ptr()) }
    }

    /// `LANES` pairs of bf16 from memory: the first of each pair, and the second.
    ///
    /// # Safety
    ///
    /// They are readable.
    #[inline(always)]
    unsafe fn load_pairs(self, from: *const u16) -> [Self::V; 2] {
        [0, 1].map(|which| {
            let mut values = [0.0; MOST_LANES];
            for (i, value) in values.iter_mut().enumerate().take(Self::LANES) {
                // SAFETY: one of the values that the caller promises.
                *value = from_bf16(unsafe { *from.add(2 * i + which) });
            }
            // SAFETY: there are as many values.
            unsafe { self.load(values.as_ptr()) }
        })
    }

    /// `LANES` values to memory as the bf16 nearest to each, ties to even; a NaN stays.
    ///
    /// # Safety
    ///
    /// They are writable.
    #[inline(always)]
    unsafe fn store_halves(self, to: *mut u16, v: Self::V) {
        let mut values = [0.0; MOST_LANES];
        // SAFETY: there is room for as many values, and the caller's promise.
        unsafe {
            self.store(values.as_mut_ptr(), v);
            for (i, &value) in values.iter().enumerate().take(Self::LANES) {
                *to.add(i) = to_bf16(value);
            }
        }
    }

    /// Asks for a cache line that will be read soon. Any address will do.
    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch reads nothing and can not fault.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

    /// Asks for a cache line that will be read later, into the L2 cache. Any address will do.
    #[inline(always)]
    fn prefetch_far(self, address: *const f32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch reads nothing and can not fault.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

    /// The values of `slice` from `index` on; zeros beyond its end.
    #[inline(always)]
    fn at(self, slice: &[f32], index: usize) -> Self::V {
        let rest = &slice[index..];
        if rest.len() >= Self::LANES {
            // SAFETY: there are LANES values.
            unsafe { self.load(rest.as_ptr()) }
        } else {
            // SAFETY: there are as many values as that.
            unsafe { self.load_first(rest.as_ptr(), rest.len()) }
        }
    }

    /// The values of `slice` from `index` on; `rest` beyond its end.
    #[inline(always)]
    fn first_of(self, slice: &[f32], index: usize, rest: Self::V) -> Self::V {
        let count = slice.len() - index;
        let values = self.at(slice, index);
        if count >= Self::LANES {
            values
        } else {
            self.first(values, count, rest)
        }
    }

    /// Puts `v` into `slice` from `index` on, as far as it goes.
    #[inline(always)]
    fn put(self, slice: &mut [f32], index: usize, v: Self::V) {
        let rest = &mut slice[index..];
        if rest.len() >= Self::LANES {
            // SAFETY: there is room for LANES values.
            unsafe { self.store(rest.as_mut_ptr(), v) }
        } else {
            // SAFETY: there is room for as many values as that.
            unsafe { self.store_first(rest.as_mut_ptr(), v, rest.len()) }
        }
    }
}
