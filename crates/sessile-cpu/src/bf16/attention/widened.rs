//! Attention over bf16 heads by f32 arithmetic, on any vectors: what machines without bf16
//! instructions do. Scalar twin: `crate::scalar::bf16::attention`.
//!
//! Queries, keys and values of a head are widened once, queries and keys rotated and rounded to bf16
//! as everywhere in this format; the f32 kernel does the rest.

use super::Head;
use crate::attention;
use crate::bf16::operand;
use crate::isa::Isa;
use crate::rows::{Rows, RowsMut};
use crate::simd::{self, Kernel, Simd, halves};

/// Floats of scratch that one head of a sequence of `len` needs.
pub(crate) fn scratch_floats(isa: Isa, len: usize, dim: usize) -> usize {
    4 * len * dim + attention::scratch_floats(isa, dim)
}

/// Computes one head of one sequence.
///
/// # Safety
///
/// Nobody else reads or writes the columns of this head in the rows of this sequence.
pub(crate) unsafe fn run(isa: Isa, head: &Head<'_>, scratch: &mut [f32]) {
    let (len, dim) = (head.len(), head.dim());
    let (queries, rest) = scratch.split_at_mut(len * dim);
    let (keys, rest) = rest.split_at_mut(len * dim);
    let (values, rest) = rest.split_at_mut(len * dim);
    let (out, rest) = rest.split_at_mut(len * dim);
    simd::run(
        isa,
        Widen {
            head,
            to: [&mut *queries, &mut *keys, &mut *values],
        },
    );
    let input = attention::Heads {
        q: Rows::new(queries, len, dim, dim),
        k: Rows::new(keys, len, dim, dim),
        v: Rows::new(values, len, dim, dim),
    };
    let spec = attention::Attention {
        // They have been rotated.
        rotary: None,
        ..head.spec.alone(head.index)
    };
    // SAFETY: `out` is this call's alone.
    let to = unsafe { RowsMut::from_ptr(out.as_mut_ptr(), len, dim, dim) };
    attention::one_head(isa, input, &spec, to, rest);
    simd::run(isa, Narrow { head, from: out });
}

/// Widens a head, rotated and rounded.
struct Widen<'a> {
    head: &'a Head<'a>,
    to: [&'a mut [f32]; 3],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let head = self.head;
        let [queries, keys, values] = self.to.map(|to| to.chunks_exact_mut(head.dim()));
        for (at, ((query, key), value)) in queries.zip(keys).zip(values).enumerate() {
            halves::widen(s, head.q.row(at), query);
            halves::widen(s, head.k.row(at), key);
            halves::widen(s, head.v.row(at), value);
            if let Some(table) = head.spec.rotary {
                rotate(s, table.row(at), query);
                rotate(s, table.row(at), key);
            }
        }
    }
}

/// Rotates a row of queries or keys and rounds it.
#[inline(always)]
fn rotate<S: Simd>(s: S, angles: &[f32], row: &mut [f32]) {
    let half = row.len() / 2;
    let (low, high) = row.split_at_mut(half);
    let (cosines, sines) = angles.split_at(half);
    // A vector, and what it is once rounded.
    let round = |v: S::V| {
        let mut rounded = [0; 16];
        // SAFETY: there is room for any vector.
        unsafe {
            s.store_halves(rounded.as_mut_ptr(), v);
            s.load_halves(rounded.as_ptr())
        }
    };
    let mut i = 0;
    while i < half {
        let (x, y) = (s.at(low, i), s.at(high, i));
        let (cos, sin) = (s.at(cosines, i), s.at(sines, i));
        s.put(low, i, round(s.sub(s.mul(x, cos), s.mul(y, sin))));
        s.put(high, i, round(s.add(s.mul(y, cos), s.mul(x, sin))));
        i += S::LANES;
    }
}

/// Rounds the results into the operand. Whoever makes one promises what [`run`] asks for.
struct Narrow<'a> {
    head: &'a Head<'a>,
    from: &'a [f32],
}

impl Kernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let first = self.head.out_column();
        for (query, from) in self.from.chunks_exact(self.head.dim()).enumerate() {
            let row = self.head.out_row(query);
            let mut done = 0;
            // In pieces, where the head's columns straddle the steps of the operand.
            while done < from.len() {
                let column = (first + done) % operand::STEP;
                let count = (operand::STEP - column).min(from.len() - done);
                let piece = (first + done) / operand::STEP * operand::BLOCK + column;
                // SAFETY: columns of this head in a row of this sequence.
                let to = unsafe { std::slice::from_raw_parts_mut(row.add(piece), count) };
                halves::narrow(s, &from[done..][..count], to);
                done += count;
            }
        }
    }
}
