//! The attention probabilities themselves, for those who want to see them.

use std::ops::Range;

use super::scores::{Block, Layout};
use super::{Head, KEY_BLOCK};
use crate::linear::ROW_STRIDE;
use crate::rows::RowsMut;
use crate::simd::{Kernel, Simd};
use crate::softmax;

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
        let mut scratch = Layout::new(S::SHAPE, dim).divide(scratch);
        for start in (0..len).step_by(KEY_BLOCK) {
            let keys = start..len.min(start + KEY_BLOCK);
            let block = Block::pack(s, &head, keys.clone(), queries.clone(), &mut scratch);
            for first in queries.clone().step_by(step) {
                let tile = first..queries.end.min(first + step);
                let range = 0..keys.len();
                block.scores(s, &head, tile.clone(), range.clone(), &mut scratch);
                for (row, query) in tile.enumerate() {
                    // SAFETY: the rows of these queries are this task's alone.
                    let to = unsafe { out.part(query, keys.clone()) };
                    to.copy_from_slice(&scratch.scores[row * ROW_STRIDE..][range.clone()]);
                }
            }
        }
        for query in queries {
            // SAFETY: as above.
            let row = unsafe { out.row(query) };
            let top = softmax::top(s, row, f32::MIN);
            let total = softmax::weigh(s, row, top);
            softmax::scale(s, row, 1.0 / total);
        }
    }
}
