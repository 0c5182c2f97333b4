//! Attention of single queries over cells of a cache, for decoding.
//!
//! One task is one head of one list of cells. The keys of a block of cells are widened to f32 once
//! and serve all query rows of the list (the beams of a source share its cells), then the values
//! likewise. A row's bytes depend on its own query and its own list alone: neither on the other
//! rows of the list nor on where in the cache the cells are.

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::attention::Attention;
use crate::bf16::from_bf16;
use crate::isa::Isa;
use crate::rows::{Rows, RowsMut};
use crate::simd::{self, Kernel, Simd};
use crate::softmax;
use crate::team::Team;

/// Cells whose keys or values are widened together. With 64 columns they take 8 KiB.
const BLOCK: usize = 32;

/// What a cell's columns are made of.
pub(crate) trait Element: Copy + Sync {
    /// As f32.
    fn widen(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

impl Element for u16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        from_bf16(self)
    }
}

/// Queries, and the cells of a cache.
#[derive(Clone, Copy)]
pub(crate) struct Cached<'a, T> {
    pub(crate) q: Rows<'a, T>,
    pub(crate) keys: Rows<'a, T>,
    pub(crate) values: Rows<'a, T>,
}

impl<T> Cached<'_, T> {
    fn columns(self, first: usize, count: usize) -> Self {
        Cached {
            q: self.q.columns(first, count),
            keys: self.keys.columns(first, count),
            values: self.values.columns(first, count),
        }
    }
}

/// Which cells belong to which list, and which query rows attend to it.
#[derive(Clone, Copy)]
pub(crate) struct Lists<'a> {
    pub(crate) cells: &'a [u32],
    pub(crate) cell_offsets: &'a [u32],
    pub(crate) row_offsets: &'a [u32],
}

impl<'a> Lists<'a> {
    fn len(&self) -> usize {
        self.cell_offsets.len() - 1
    }

    fn cells(&self, list: usize) -> &'a [u32] {
        &self.cells[self.cell_offsets[list] as usize..self.cell_offsets[list + 1] as usize]
    }

    fn rows(&self, list: usize) -> Range<usize> {
        self.row_offsets[list] as usize..self.row_offsets[list + 1] as usize
    }

    /// Floats of scratch that a task needs.
    pub(crate) fn scratch_floats(&self, head_dim: usize) -> usize {
        let scores = (0..self.len())
            .map(|list| self.rows(list).len() * (self.cells(list).len() + head_dim))
            .max();
        BLOCK * head_dim + scores.unwrap_or(0)
    }
}

/// Attention of every query row over the cells of its list.
pub(crate) fn attention<T: Element>(
    isa: Isa,
    team: &mut Team,
    input: Cached<'_, T>,
    lists: Lists<'_>,
    spec: &Attention<'_>,
    out: RowsMut<'_>,
) {
    spec.check([input.q.cols(), input.keys.cols(), input.values.cols()]);
    assert!(spec.rotary.is_none() && spec.window.is_none());
    assert!(out.cols() == spec.heads * spec.head_dim && out.rows() == input.q.rows());
    assert!(lists.row_offsets.last() == Some(&(input.q.rows() as u32)));
    team.share(lists.len() * spec.heads, |task, scratch| {
        let (list, head) = (task / spec.heads, task % spec.heads);
        let kernel = Head {
            input: input.columns(head * spec.head_dim, spec.head_dim),
            cells: lists.cells(list),
            rows: lists.rows(list),
            spec,
            head,
            out,
            scratch,
        };
        simd::run(isa, kernel);
    });
}

/// One head of one list.
struct Head<'a, 's, T> {
    /// The columns of the head.
    input: Cached<'a, T>,
    cells: &'a [u32],
    rows: Range<usize>,
    spec: &'a Attention<'a>,
    head: usize,
    out: RowsMut<'a>,
    scratch: &'s mut [f32],
}

impl<T: Element> Kernel for Head<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (dim, cells) = (self.spec.head_dim, self.cells);
        let (block, rest) = self.scratch.split_at_mut(BLOCK * dim);
        let (queries, rest) = rest.split_at_mut(self.rows.len() * dim);
        let scores = &mut rest[..self.rows.len() * cells.len()];

        // Weights are powers of two: exp(x) = 2^(x · log2 e).
        let scale = self.spec.scale * std::f32::consts::LOG2_E;
        for (row, query) in self.rows.clone().zip(queries.chunks_exact_mut(dim)) {
            widen(self.input.q.row(row), query);
            softmax::scale(s, query, scale);
        }
        for (index, some) in cells.chunks(BLOCK).enumerate() {
            take(self.input.keys, some, block, dim);
            for (row, query) in queries.chunks_exact(dim).enumerate() {
                let scores = &mut scores[row * cells.len() + index * BLOCK..][..some.len()];
                for (score, key) in scores.iter_mut().zip(block.chunks_exact(dim)) {
                    *score = dot(s, query, key);
                }
            }
        }
        if !self.spec.is_plain() && !cells.is_empty() {
            for scores in scores.chunks_exact_mut(cells.len()) {
                for (at, score) in scores.iter_mut().enumerate() {
                    let distance = at as isize - (cells.len() as isize - 1);
                    *score += self.spec.bias.at(self.head, distance) * std::f32::consts::LOG2_E;
                }
            }
        }
        let columns = self.head * dim..(self.head + 1) * dim;
        for (index, row) in self.rows.clone().enumerate() {
            let scores = &mut scores[index * cells.len()..][..cells.len()];
            let top = softmax::top(s, scores, f32::MIN);
            let sum = softmax::weigh(s, scores, top);
            if !cells.is_empty() {
                softmax::scale(s, scores, sum.recip());
            }
            // SAFETY: these columns of this row are this task's alone.
            unsafe { self.out.part(row, columns.clone()) }.fill(0.0);
        }
        for (index, some) in cells.chunks(BLOCK).enumerate() {
            take(self.input.values, some, block, dim);
            for (at, row) in self.rows.clone().enumerate() {
                let weights = &scores[at * cells.len() + index * BLOCK..][..some.len()];
                // SAFETY: as above.
                let to = unsafe { self.out.part(row, columns.clone()) };
                add_weighted(s, weights, block, to);
            }
        }
    }
}

/// Widens the rows of some cells, one after the other.
#[inline(always)]
fn take<T: Element>(from: Rows<'_, T>, cells: &[u32], to: &mut [f32], dim: usize) {
    for (&cell, to) in cells.iter().zip(to.chunks_exact_mut(dim)) {
        widen(from.row(cell as usize), to);
    }
}

#[inline(always)]
fn widen<T: Element>(from: &[T], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.widen();
    }
}

#[inline(always)]
fn dot<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sums = s.splat(0.0);
    let mut i = 0;
    while i < a.len() {
        sums = s.fma(s.at(a, i), s.at(b, i), sums);
        i += S::LANES;
    }
    s.sum(sums)
}

/// `to += Σ weights[i] × rows[i]`, summed in the order of the rows.
#[inline(always)]
fn add_weighted<S: Simd>(s: S, weights: &[f32], rows: &[f32], to: &mut [f32]) {
    let dim = to.len();
    let mut column = 0;
    while column < dim {
        let mut sums = s.at(to, column);
        for (&weight, row) in weights.iter().zip(rows.chunks_exact(dim)) {
            sums = s.fma(s.splat(weight), s.at(row, column), sums);
        }
        s.put(to, column, sums);
        column += S::LANES;
    }
}
