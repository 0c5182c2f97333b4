//! Attention of some queries over all keys of their sequence.

use std::ops::Range;

use super::scores::{Block, Layout, Scratch};
use super::{Head, KEY_BLOCK, pack};
use crate::linear::{Ahead, Left, ROW_STRIDE, Sums, tile};
use crate::rows::RowsMut;
use crate::simd::{Kernel, Simd, math};
use crate::softmax;

/// Some queries of one head of one sequence.
pub(super) struct Flash<'a> {
    pub(super) head: Head<'a>,
    pub(super) queries: Range<usize>,
    pub(super) out: RowsMut<'a>,
    pub(super) scratch: &'a mut [f32],
}

impl Kernel for Flash<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Flash {
            head,
            queries,
            out,
            scratch,
        } = self;
        if queries.is_empty() {
            return;
        }
        let (dim, len) = (head.spec.head_dim, head.rows.len());
        let step = S::SHAPE.tile_rows;
        let mut scratch = Layout::new(S::SHAPE, dim).divide(scratch);
        // Lower than any score and yet finite, so that the first difference is a number.
        scratch.tops[..queries.len()].fill(f32::MIN);
        scratch.totals[..queries.len()].fill(0.0);

        let seen = head.spec.visible(&queries, len);
        for number in seen.start / KEY_BLOCK..seen.end.div_ceil(KEY_BLOCK) {
            let keys = number * KEY_BLOCK..len.min((number + 1) * KEY_BLOCK);
            let block = Block::pack(s, &head, keys.clone(), queries.clone(), &mut scratch);
            pack::values(s, &head, keys, KEY_BLOCK, scratch.values);
            for first in queries.clone().step_by(step) {
                let tile = first..queries.end.min(first + step);
                let range = block.visible::<S>(&head, &tile);
                if range.is_empty() {
                    continue;
                }
                block.scores(s, &head, tile.clone(), range.clone(), &mut scratch);
                let seen = head.spec.visible(&tile, len);
                let ends = Ends {
                    first: number == seen.start / KEY_BLOCK,
                    last: number == (seen.end - 1) / KEY_BLOCK,
                };
                let state = first - queries.start;
                for (row, query) in tile.clone().enumerate() {
                    let scores = &mut scratch.scores[row * ROW_STRIDE..][range.clone()];
                    let top = softmax::top(s, scores, scratch.tops[state + row]);
                    let share = softmax::weigh(s, scores, top);
                    let shrink = power(s, scratch.tops[state + row] - top);
                    scratch.tops[state + row] = top;
                    scratch.totals[state + row] = scratch.totals[state + row] * shrink + share;
                    if !ends.first {
                        // SAFETY: this head's part of this row is this task's alone.
                        let before = unsafe { part(out, &head, query) };
                        resume::<S>(s, before, shrink, row, scratch.sums);
                    }
                }
                mix(s, dim, tile.len(), range, !ends.first, &mut scratch);
                for (row, query) in tile.enumerate() {
                    let factor = if ends.last {
                        1.0 / scratch.totals[state + row]
                    } else {
                        1.0
                    };
                    // SAFETY: as above.
                    let to = unsafe { part(out, &head, query) };
                    settle::<S>(s, scratch.sums, row, factor, to);
                }
            }
        }
    }
}

/// Whether a block is the first or the last one that a tile sees.
struct Ends {
    first: bool,
    last: bool,
}

/// The head's columns of a query's row in the result.
///
/// # Safety
///
/// Nobody else has them at the same time.
#[inline(always)]
unsafe fn part<'a>(out: RowsMut<'a>, head: &Head<'_>, query: usize) -> &'a mut [f32] {
    let first = head.head * head.spec.head_dim;
    // SAFETY: the caller's promise.
    unsafe { out.part(head.rows.start + query, first..first + head.spec.head_dim) }
}

/// `2ˣ` of one value, in the same way as of many.
#[inline(always)]
fn power<S: Simd>(s: S, x: f32) -> f32 {
    s.top(math::exp2(s, s.splat(x)))
}

/// Takes up the sums of earlier blocks.
#[inline(always)]
fn resume<S: Simd>(s: S, before: &[f32], shrink: f32, row: usize, sums: &mut [f32]) {
    let width = before.len().next_multiple_of(S::SHAPE.tile_cols());
    let sums = &mut sums[row * width..][..width];
    let mut i = 0;
    while i < before.len() {
        s.put(sums, i, s.mul(s.at(before, i), s.splat(shrink)));
        i += S::LANES;
    }
}

/// Values weighted by `weights[query][range]`, to `sums[query][column]`.
#[inline(always)]
fn mix<S: Simd>(
    s: S,
    dim: usize,
    rows: usize,
    range: Range<usize>,
    resume: bool,
    scratch: &mut Scratch<'_>,
) {
    let Scratch {
        scores: weights,
        values,
        sums,
        ..
    } = scratch;
    let width = dim.next_multiple_of(S::SHAPE.tile_cols());
    assert!(weights.len() >= rows * ROW_STRIDE && range.end <= KEY_BLOCK);
    assert!(sums.len() >= rows * width && rows <= S::SHAPE.tile_rows);
    let mut panel = 0;
    for (first, cols) in pack::panels::<S>(dim) {
        let right = &values[panel + range.start * cols..][..range.len() * cols];
        // SAFETY: the weights hold `rows` rows with `range` in each, `right` one row of columns
        // for every key of `range`, and the sums `rows` rows of `width ≥ first + cols`.
        unsafe {
            let left = Left::Rows(weights.as_ptr().add(range.start));
            let ahead = Ahead::nothing(right.as_ptr());
            let sums = Sums {
                start: sums.as_mut_ptr().add(first),
                stride: width,
                resume,
            };
            if cols == S::LANES {
                tile::<S, 1>(s, rows, range.len(), left, right.as_ptr(), sums, ahead);
            } else {
                tile::<S, 2>(s, rows, range.len(), left, right.as_ptr(), sums, ahead);
            }
        }
        panel += KEY_BLOCK * cols;
    }
}

/// Sums times `factor` into the result.
#[inline(always)]
fn settle<S: Simd>(s: S, sums: &[f32], row: usize, factor: f32, to: &mut [f32]) {
    let width = to.len().next_multiple_of(S::SHAPE.tile_cols());
    let sums = &sums[row * width..][..width];
    let mut i = 0;
    while i < to.len() {
        s.put(to, i, s.mul(s.at(sums, i), s.splat(factor)));
        i += S::LANES;
    }
}
