//! Softmax of rows: of scores in powers of two, and the logarithm of one of its values.

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::isa::Isa;
use crate::rows::{Rows, RowsMut};
use crate::simd::{self, Kernel, Simd, math};
use crate::team::Team;

/// Rows of a task.
const CHUNK: usize = 16;

/// The greatest value of a row and of `before`.
#[inline(always)]
pub(crate) fn top<S: Simd>(s: S, row: &[f32], before: f32) -> f32 {
    let mut tops = s.splat(before);
    let mut i = 0;
    while i < row.len() {
        tops = s.max(tops, s.first_of(row, i, s.splat(f32::MIN)));
        i += S::LANES;
    }
    s.top(tops)
}

/// Turns scores into weights, `2^(score − top)`, and returns their sum.
#[inline(always)]
pub(crate) fn weigh<S: Simd>(s: S, row: &mut [f32], top: f32) -> f32 {
    let (top, mut sums) = (s.splat(top), s.splat(0.0));
    let mut i = 0;
    while i < row.len() {
        let scores = s.first_of(row, i, s.splat(f32::NEG_INFINITY));
        let weights = math::exp2(s, s.sub(scores, top));
        s.put(row, i, weights);
        sums = s.add(sums, weights);
        i += S::LANES;
    }
    s.sum(sums)
}

/// Multiplies a row.
#[inline(always)]
pub(crate) fn scale<S: Simd>(s: S, row: &mut [f32], factor: f32) {
    let mut i = 0;
    while i < row.len() {
        s.put(row, i, s.mul(s.at(row, i), s.splat(factor)));
        i += S::LANES;
    }
}

/// `out[i] = log softmax(x[i])[columns[i]]`, with an absolute error below 1e-6 and a relative one
/// below 5e-7 of the distance to the greatest value.
pub(crate) fn log_softmax_at(
    isa: Isa,
    team: &mut Team,
    x: Rows<'_>,
    columns: &[u32],
    out: RowsMut<'_>,
) {
    assert!(columns.len() == x.rows() && out.rows() == x.rows() && out.cols() == 1);
    team.share(x.rows().div_ceil(CHUNK), |chunk, _| {
        let first = chunk * CHUNK;
        let rows = first..x.rows().min(first + CHUNK);
        simd::run(
            isa,
            LogSoftmax {
                x,
                columns,
                out,
                rows,
            },
        );
    });
}

/// `out[i] = log Σ exp x[i]`, with the errors of [`log_softmax_at`].
pub(crate) fn log_sum_exp(isa: Isa, team: &mut Team, x: Rows<'_>, out: RowsMut<'_>) {
    assert!(out.rows() == x.rows() && out.cols() == 1);
    team.share(x.rows(), |row, _| simd::run(isa, LogSumExp { x, out, row }));
}

struct LogSumExp<'a> {
    x: Rows<'a>,
    out: RowsMut<'a>,
    row: usize,
}

impl Kernel for LogSumExp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let row = self.x.row(self.row);
        let top = top(s, row, f32::MIN);
        // SAFETY: this row is this task's alone.
        let to = unsafe { self.out.row(self.row) };
        to[0] = top + sum_exp(s, row, top).ln();
    }
}

/// `Σ exp(x − top)`.
#[inline(always)]
fn sum_exp<S: Simd>(s: S, row: &[f32], top: f32) -> f32 {
    let (shift, mut sums) = (s.splat(top), s.splat(0.0));
    let mut i = 0;
    while i < row.len() {
        let x = s.first_of(row, i, s.splat(f32::NEG_INFINITY));
        sums = s.add(sums, math::exp(s, s.sub(x, shift)));
        i += S::LANES;
    }
    s.sum(sums)
}

struct LogSoftmax<'a> {
    x: Rows<'a>,
    columns: &'a [u32],
    out: RowsMut<'a>,
    rows: Range<usize>,
}

impl Kernel for LogSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for index in self.rows {
            let row = self.x.row(index);
            let top = top(s, row, f32::MIN);
            // SAFETY: this row is this task's alone.
            let to = unsafe { self.out.row(index) };
            to[0] = row[self.columns[index] as usize] - top - sum_exp(s, row, top).ln();
        }
    }
}
