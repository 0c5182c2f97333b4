//! One head's columns, rotated and laid out for the tiles.

use std::ops::Range;

use super::Head;
use crate::rows::Rows;
use crate::simd::{self, Simd};

/// Queries or keys on their way to the tiles.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) rows: Rows<'a>,
    /// What they are multiplied by.
    pub(super) factor: f32,
    /// Rows of a group.
    pub(super) group: usize,
}

/// The rows of `positions` into `to` as `[group][column of the head][row of the group]`. `turned`
/// is memory for a group of rows.
#[inline(always)]
pub(super) fn transposed<S: Simd>(
    s: S,
    head: &Head<'_>,
    side: Side<'_>,
    positions: Range<usize>,
    turned: &mut [f32],
    to: &mut [f32],
) {
    let dim = head.spec.head_dim;
    let groups = to.chunks_exact_mut(side.group * dim);
    for (first, to) in positions.clone().step_by(side.group).zip(groups) {
        let count = side.group.min(positions.end - first);
        for (index, to) in turned.chunks_exact_mut(dim).take(count).enumerate() {
            rotated(s, head, side, first + index, to);
        }
        simd::interleave(s, Rows::new(turned, count, dim, dim), side.group, to);
    }
}

/// One row of a head, rotated by its position and multiplied.
#[inline(always)]
fn rotated<S: Simd>(s: S, head: &Head<'_>, side: Side<'_>, position: usize, to: &mut [f32]) {
    let dim = head.spec.head_dim;
    let from = &side.rows.row(head.rows.start + position)[head.head * dim..][..dim];
    let factor = s.splat(side.factor);
    let Some(table) = head.spec.rotary else {
        let mut i = 0;
        while i < dim {
            s.put(to, i, s.mul(s.at(from, i), factor));
            i += S::LANES;
        }
        return;
    };
    let half = dim / 2;
    let (low, high) = from.split_at(half);
    let (cos, sin) = table.row(position).split_at(half);
    let (to_low, to_high) = to.split_at_mut(half);
    let mut i = 0;
    while i < half {
        let (a, b) = (s.mul(s.at(low, i), factor), s.mul(s.at(high, i), factor));
        let (cos, sin) = (s.at(cos, i), s.at(sin, i));
        s.put(to_low, i, s.sub(s.mul(a, cos), s.mul(b, sin)));
        s.put(to_high, i, s.fma(b, cos, s.mul(a, sin)));
        i += S::LANES;
    }
}

/// The values of `keys` into `to` as panels `[vectors][key][columns]`, the columns beyond the
/// head's zero.
#[inline(always)]
pub(super) fn values<S: Simd>(
    s: S,
    head: &Head<'_>,
    keys: Range<usize>,
    block: usize,
    to: &mut [f32],
) {
    let dim = head.spec.head_dim;
    for (index, key) in keys.enumerate() {
        let from = &head.input.v.row(head.rows.start + key)[head.head * dim..][..dim];
        let mut panel = 0;
        for (first, width) in panels::<S>(dim) {
            let to = &mut to[panel + index * width..][..width];
            let mut col = 0;
            while col < width {
                let value = if first + col < dim {
                    s.at(from, first + col)
                } else {
                    s.splat(0.0)
                };
                s.put(to, col, value);
                col += S::LANES;
            }
            panel += block * width;
        }
    }
}

/// The panels of a head's values: first column and width, two vectors or one.
#[inline(always)]
pub(super) fn panels<S: Simd>(dim: usize) -> impl Iterator<Item = (usize, usize)> {
    let cols = S::SHAPE.tile_cols();
    (0..dim).step_by(cols).map(move |first| {
        let width = if dim - first > S::LANES {
            cols
        } else {
            S::LANES
        };
        (first, width)
    })
}
