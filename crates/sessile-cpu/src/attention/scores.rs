//! The scores of a tile of queries against a block of keys.

use std::ops::Range;

use super::pack::{Side, transposed};
use super::{Head, KEY_BLOCK, QUERY_CHUNK};
use crate::linear::{Ahead, Left, ROW_STRIDE, Sums, tile as product};
use crate::simd::{Shape, Simd};

/// Where things lie in a thread's scratch, in floats.
pub(super) struct Layout {
    tile_rows: usize,
    /// Rows that are packed side by side, at most.
    group: usize,
    head_dim: usize,
    /// Columns of a head in panels of values.
    width: usize,
}

/// A thread's scratch, divided.
pub(super) struct Scratch<'a> {
    /// `[panel][column][key of the panel]`.
    pub(super) keys: &'a mut [f32],
    /// `[panel][key][column of the panel]`.
    pub(super) values: &'a mut [f32],
    /// `[column][query of the tile]`.
    pub(super) queries: &'a mut [f32],
    /// `[query of the tile][key]`, rows `ROW_STRIDE` apart.
    pub(super) scores: &'a mut [f32],
    /// `[query of the tile][column]`.
    pub(super) sums: &'a mut [f32],
    /// What is added to scores, by distance.
    pub(super) strip: &'a mut [f32],
    /// Of every query: the greatest score so far.
    pub(super) tops: &'a mut [f32],
    /// Of every query: the sum of weights so far.
    pub(super) totals: &'a mut [f32],
    /// Rows on their way to the tiles.
    pub(super) turned: &'a mut [f32],
}

impl Layout {
    pub(super) fn new(shape: Shape, head_dim: usize) -> Self {
        Layout {
            tile_rows: shape.tile_rows,
            group: shape.tile_rows.max(shape.tile_cols()),
            head_dim,
            width: head_dim.next_multiple_of(shape.tile_cols()),
        }
    }

    fn sizes(&self) -> [usize; 9] {
        [
            KEY_BLOCK * self.head_dim,
            KEY_BLOCK * self.width,
            self.tile_rows * self.head_dim,
            self.tile_rows * ROW_STRIDE,
            self.tile_rows * self.width,
            KEY_BLOCK + QUERY_CHUNK,
            QUERY_CHUNK,
            QUERY_CHUNK,
            self.group * self.head_dim,
        ]
        // Every part starts on a cache line.
        .map(|size| size.next_multiple_of(16))
    }

    pub(super) fn floats(&self) -> usize {
        self.sizes().iter().sum()
    }

    pub(super) fn divide<'a>(&self, scratch: &'a mut [f32]) -> Scratch<'a> {
        let mut rest = scratch;
        let [
            keys,
            values,
            queries,
            scores,
            sums,
            strip,
            tops,
            totals,
            turned,
        ] = self.sizes().map(|size| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(size);
            rest = after;
            part
        });
        Scratch {
            keys,
            values,
            queries,
            scores,
            sums,
            strip,
            tops,
            totals,
            turned,
        }
    }
}

/// What the scores of some queries against one block of keys are made of.
pub(super) struct Block {
    /// The block's keys, counted in the sequence.
    pub(super) keys: Range<usize>,
    /// All queries of the task, which the strip is for.
    pub(super) queries: Range<usize>,
    /// Whether `strip[last query − query + key − first key]` is added.
    pub(super) biased: bool,
}

impl Block {
    /// Packs the keys of a block and what is added to scores.
    #[inline(always)]
    pub(super) fn pack<S: Simd>(
        s: S,
        head: &Head<'_>,
        keys: Range<usize>,
        queries: Range<usize>,
        scratch: &mut Scratch<'_>,
    ) -> Self {
        let side = Side {
            rows: head.input.k,
            factor: 1.0,
            group: S::SHAPE.tile_cols(),
        };
        transposed(s, head, side, keys.clone(), scratch.turned, scratch.keys);
        let biased = !head.spec.is_plain();
        if biased {
            let furthest = keys.start as isize - (queries.end as isize - 1);
            let count = queries.len() - 1 + keys.len();
            for (index, to) in scratch.strip[..count].iter_mut().enumerate() {
                let distance = furthest + index as isize;
                let window = head.spec.window;
                *to = if window.is_none_or(|w| distance.unsigned_abs() <= w) {
                    // In powers of two, as the products are.
                    head.spec.bias.at(head.head, distance) * std::f32::consts::LOG2_E
                } else {
                    f32::NEG_INFINITY
                };
            }
        }
        Block {
            keys,
            queries,
            biased,
        }
    }

    /// The keys of this block that some of `queries` see, from the start of a panel on; counted
    /// in the block.
    #[inline(always)]
    pub(super) fn visible<S: Simd>(&self, head: &Head<'_>, queries: &Range<usize>) -> Range<usize> {
        let seen = head.spec.visible(queries, head.rows.len());
        let first = seen.start.clamp(self.keys.start, self.keys.end) - self.keys.start;
        let end = seen.end.clamp(self.keys.start, self.keys.end) - self.keys.start;
        first / S::SHAPE.tile_cols() * S::SHAPE.tile_cols()..end
    }

    /// The scores of the queries `tile` against the keys `range` of the block, as powers of two,
    /// to `scores[query][range]`.
    #[inline(always)]
    pub(super) fn scores<S: Simd>(
        &self,
        s: S,
        head: &Head<'_>,
        tile: Range<usize>,
        range: Range<usize>,
        scratch: &mut Scratch<'_>,
    ) {
        let Scratch {
            keys,
            queries: packed,
            scores,
            strip,
            turned,
            ..
        } = scratch;
        let side = Side {
            rows: head.input.q,
            // The softmax is in powers of two.
            factor: head.spec.scale * std::f32::consts::LOG2_E,
            group: S::SHAPE.tile_rows,
        };
        transposed(s, head, side, tile.clone(), turned, packed);
        let (dim, cols, rows) = (head.spec.head_dim, S::SHAPE.tile_cols(), tile.len());
        assert!(packed.len() >= dim * S::SHAPE.tile_rows && rows <= S::SHAPE.tile_rows);
        assert!(scores.len() >= rows * ROW_STRIDE && range.end <= KEY_BLOCK);
        for first in range.clone().step_by(cols) {
            let panel = &keys[first * dim..][..cols * dim];
            // SAFETY: `packed` holds `dim` steps of a tile's rows, the panel `dim` steps of a
            // tile's columns; the tile ends below KEY_BLOCK < ROW_STRIDE in each of its rows.
            unsafe {
                product::<S, 2>(
                    s,
                    rows,
                    dim,
                    Left::Packed(packed.as_ptr()),
                    panel.as_ptr(),
                    Sums {
                        start: scores.as_mut_ptr().add(first),
                        stride: ROW_STRIDE,
                        resume: false,
                    },
                    Ahead::nothing(panel.as_ptr()),
                );
            }
        }
        if !self.biased {
            return;
        }
        for (query, scores) in tile.zip(scores.chunks_mut(ROW_STRIDE)) {
            let scores = &mut scores[range.clone()];
            let strip = &strip[self.queries.end - 1 - query + range.start..][..range.len()];
            let mut i = 0;
            while i < scores.len() {
                s.put(scores, i, s.add(s.at(scores, i), s.at(strip, i)));
                i += S::LANES;
            }
        }
    }
}
