//! Rows of bf16 to f32 and back.

use super::{MOST_LANES, Simd};
use crate::bf16::to_bf16;

/// `to = from`.
#[inline(always)]
pub(crate) fn widen<S: Simd>(s: S, from: &[u16], to: &mut [f32]) {
    assert!(from.len() == to.len());
    let mut i = 0;
    while i + S::LANES <= from.len() {
        // SAFETY: there are as many values from here on.
        let v = unsafe { s.load_halves(from.as_ptr().add(i)) };
        s.put(to, i, v);
        i += S::LANES;
    }
    if i < from.len() {
        let mut rest = [0; MOST_LANES];
        rest[..from.len() - i].copy_from_slice(&from[i..]);
        // SAFETY: there are as many values as any vector has.
        s.put(to, i, unsafe { s.load_halves(rest.as_ptr()) });
    }
}

/// `to = from`, rounded to the nearest, ties to even.
#[inline(always)]
pub(crate) fn narrow<S: Simd>(s: S, from: &[f32], to: &mut [u16]) {
    assert!(from.len() == to.len());
    let mut i = 0;
    while i + S::LANES <= from.len() {
        // SAFETY: there is room for as many values from here on.
        unsafe { s.store_halves(to.as_mut_ptr().add(i), s.at(from, i)) };
        i += S::LANES;
    }
    for (to, &from) in to[i..].iter_mut().zip(&from[i..]) {
        *to = to_bf16(from);
    }
}
