//! The attention probabilities themselves, for those who want to see them.

use std::ops::Range;

use super::scores::{Block, Layout};
use super::{Head, KEY_BLOCK, pack};
use crate::linear::ROW_STRIDE;
use crate::rows::RowsMut;
use crate::simd::{Kernel, Simd, math};

/// Some queries of one head of one sequence.
pub(super) struct Map<'a> {
    pub(super) head: Head<'a>,
    pub(super) queries: Range<usize>,
    pub(super) out: RowsMut<'a>,
    pub(super) scratch: &'a mut [f32],
}

impl Kernel for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Map {
            head,
            queries,
            out,
            scratch,
        } = self;
        let (dim, len) = (head.spec.head_dim, head.rows.len());
        let step = S::SHAPE.tile_rows;
        let scratch = Layout::new(S::SHAPE, dim).divide(scratch);
        let factor = head.spec.scale * std::f32::consts::LOG2_E;
        for start in (0..len).step_by(KEY_BLOCK) {
            let keys = start..len.min(start + KEY_BLOCK);
            let block = Block::pack(
                s,
                &head,
                keys.clone(),
                queries.clone(),
                scratch.keys,
                &mut *scratch.strip,
                scratch.row,
            );
            for first in queries.clone().step_by(step) {
                let tile = first..queries.end.min(first + step);
                pack::transposed(
                    s,
                    &head,
                    head.input.q,
                    tile.clone(),
                    factor,
                    step,
                    scratch.row,
                    scratch.queries,
                );
                let range = 0..keys.len();
                block.scores(
                    s,
                    dim,
                    tile.clone(),
                    scratch.queries,
                    scratch.keys,
                    range.clone(),
                    scratch.scores,
                );
                for (row, query) in tile.enumerate() {
                    // SAFETY: the rows of these queries are this task's alone.
                    let to = unsafe { out.part(query, keys.clone()) };
                    to.copy_from_slice(&scratch.scores[row * ROW_STRIDE..][range.clone()]);
                }
            }
        }
        for query in queries {
            // SAFETY: as above.
            softmax(s, unsafe { out.row(query) });
        }
    }
}

/// Softmax of a row of powers of two, in place.
#[inline(always)]
fn softmax<S: Simd>(s: S, row: &mut [f32]) {
    let mut tops = s.splat(f32::MIN);
    let mut i = 0;
    while i < row.len() {
        tops = s.max(tops, s.first_of(row, i, s.splat(f32::MIN)));
        i += S::LANES;
    }
    let (top, mut sums) = (s.splat(s.top(tops)), s.splat(0.0));
    let mut i = 0;
    while i < row.len() {
        let scores = s.first_of(row, i, s.splat(f32::NEG_INFINITY));
        let weights = math::exp2(s, s.sub(scores, top));
        s.put(row, i, weights);
        sums = s.add(sums, weights);
        i += S::LANES;
    }
    let factor = s.splat(1.0 / s.sum(sums));
    let mut i = 0;
    while i < row.len() {
        s.put(row, i, s.mul(s.at(row, i), factor));
        i += S::LANES;
    }
}
