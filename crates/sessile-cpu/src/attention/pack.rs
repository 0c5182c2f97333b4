//! One head's columns, rotated and laid out for the tiles.

use super::Head;
use crate::rows::Rows;
use crate::simd::Simd;

/// The rows `first..` of `x` (queries or keys), times `factor`, into `to` as
/// `[group][column of the head][row of the group]`; groups of `group` rows.
#[inline(always)]
pub(super) fn transposed<S: Simd>(
    s: S,
    head: &Head<'_>,
    x: Rows<'_>,
    positions: std::ops::Range<usize>,
    factor: f32,
    group: usize,
    row: &mut [f32],
    to: &mut [f32],
) {
    let dim = head.spec.head_dim;
    for (index, position) in positions.enumerate() {
        rotated(s, head, x, position, factor, row);
        let to = &mut to[index / group * group * dim..][..group * dim];
        let column = to[index % group..].iter_mut().step_by(group);
        for (to, &value) in column.zip(&row[..dim]) {
            *to = value;
        }
    }
}

/// One row of a head, rotated by its position, times `factor`.
#[inline(always)]
fn rotated<S: Simd>(
    s: S,
    head: &Head<'_>,
    x: Rows<'_>,
    position: usize,
    factor: f32,
    to: &mut [f32],
) {
    let dim = head.spec.head_dim;
    let from = &x.row(head.rows.start + position)[head.head * dim..][..dim];
    let factor = s.splat(factor);
    let Some(table) = head.spec.rotary else {
        let mut i = 0;
        while i < dim {
            s.put(&mut to[..dim], i, s.mul(s.at(from, i), factor));
            i += S::LANES;
        }
        return;
    };
    let half = dim / 2;
    let (low, high) = from.split_at(half);
    let (cos, sin) = table.row(position).split_at(half);
    let (to_low, to_high) = to[..dim].split_at_mut(half);
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
    keys: std::ops::Range<usize>,
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
