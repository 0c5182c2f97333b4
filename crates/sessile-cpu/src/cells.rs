//! Attention of single queries over cells of a cache, for decoding.
//!
//! There is one kernel for all instruction sets, here, and one for bf16 with AMX in `amx`.
//!
//! One task is some heads of one group of rows. The keys of a block of cells are widened to f32 once
//! and serve all query rows of the group that read them, then the values likewise. A row's bytes
//! depend on its own query and its own list alone: neither on the other rows nor on where in the
//! cache the cells are.

#[cfg(target_arch = "x86_64")]
mod amx;
mod groups;
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
use groups::Group;
pub(crate) use groups::Lists;

/// Cells whose keys or values are read together. With 64 columns they take 8 KiB in f32, and two
/// tiles in bf16.
const BLOCK: usize = 32;

/// What a cell's columns are made of.
pub(crate) trait Element: Copy + Sync {
    /// As f32.
    fn widen(self) -> f32;

    /// Computes some heads of a list with the best kernel for these elements.
    fn run(isa: Isa, heads: Heads<'_, '_, Self>);
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    fn run(isa: Isa, heads: Heads<'_, '_, Self>) {
        simd::run(isa, heads);
    }
}

impl Element for u16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        from_bf16(self)
    }

    fn run(isa: Isa, heads: Heads<'_, '_, Self>) {
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Amx && isa.available() {
            // SAFETY: AMX is available, and no tiles outlive a kernel.
            unsafe { amx::run(heads) };
            return;
        }
        simd::run(isa, heads);
    }
}

/// Queries, and the cells of a cache.
#[derive(Clone, Copy)]
pub(crate) struct Cached<'a, T> {
    pub(crate) q: Rows<'a, T>,
    pub(crate) keys: Rows<'a, T>,
    pub(crate) values: Rows<'a, T>,
}

impl Lists<'_> {
    /// Floats of scratch that a task needs.
    pub(crate) fn scratch_floats(&self, heads: usize, head_dim: usize, threads: usize) -> usize {
        let groups = self.groups();
        let heads = heads_of_task(groups.len(), heads, threads);
        let floats = |group: &Group<'_>| {
            let (rows, cells) = (group.lists().len(), group.longest());
            let plain = BLOCK * head_dim + heads * rows * (cells + head_dim);
            #[cfg(target_arch = "x86_64")]
            let plain = plain.max(amx::scratch_floats(head_dim, heads, rows, cells));
            plain
        };
        groups.iter().map(floats).max().unwrap_or(0)
    }
}

/// Heads of a task: a cell's columns of neighbouring heads lie side by side in memory, and memory
/// is what this waits for. Every thread should get four tasks.
fn heads_of_task(groups: usize, heads: usize, threads: usize) -> usize {
    (groups * heads / (4 * threads)).clamp(1, heads)
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
    let groups = lists.groups();
    let heads = heads_of_task(groups.len(), spec.heads, team.threads());
    let parts = spec.heads.div_ceil(heads);
    team.share(groups.len() * parts, |task, scratch| {
        let first = task % parts * heads;
        let kernel = Heads {
            input,
            group: &groups[task / parts],
            spec,
            heads: first..spec.heads.min(first + heads),
            out,
            scratch,
        };
        T::run(isa, kernel);
    });
}

/// Neighbouring heads of one group.
pub(crate) struct Heads<'a, 's, T> {
    input: Cached<'a, T>,
    group: &'a Group<'a>,
    spec: &'a Attention<'a>,
    heads: Range<usize>,
    out: RowsMut<'a>,
    scratch: &'s mut [f32],
}

impl<T: Element> Heads<'_, '_, T> {
    /// The columns of a head.
    fn columns(&self, head: usize) -> Range<usize> {
        head * self.spec.head_dim..(head + 1) * self.spec.head_dim
    }

    /// The columns of a head in the query of a row of the group.
    fn query(&self, row: usize, head: usize) -> &[T] {
        &self.input.q.row(self.group.first_row() + row)[self.columns(head)]
    }

    /// The results of a head in a row of the group.
    #[allow(clippy::mut_from_ref, reason = "other rows and heads are other memory")]
    fn to(&self, row: usize, head: usize) -> &mut [f32] {
        // SAFETY: these columns of this row are this task's alone, and it holds one of these at a
        // time for each row.
        unsafe {
            self.out
                .part(self.group.first_row() + row, self.columns(head))
        }
    }
}

impl<T: Element> Kernel for Heads<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (dim, group) = (self.spec.head_dim, self.group);
        let (rows, cells) = (group.lists().len(), group.longest());
        let scratch = std::mem::take(&mut self.scratch);
        let (block, rest) = scratch.split_at_mut(BLOCK * dim);
        let (queries, scores) = rest.split_at_mut(self.heads.len() * rows * dim);

        // Weights are powers of two: exp(x) = 2^(x · log2 e).
        let scale = self.spec.scale * std::f32::consts::LOG2_E;
        let mut query = queries.chunks_exact_mut(dim);
        for head in self.heads.clone() {
            for (row, query) in (0..rows).zip(&mut query) {
                widen(self.query(row, head), query);
                softmax::scale(s, query, scale);
            }
        }
        // Of a head and a row, the scores of so many cells from a position on.
        let part = |at: usize, row: usize, first: usize, count: usize| {
            let start = (at * rows + row) * cells + first;
            start..start + count
        };
        for first in (0..cells).step_by(BLOCK) {
            for share in group.shares(first) {
                for (at, head) in self.heads.clone().enumerate() {
                    take(self.input.keys, share.cells, self.columns(head), block);
                    for row in share.rows() {
                        let query = &queries[(at * rows + row) * dim..][..dim];
                        let scores = &mut scores[part(at, row, first, share.cells.len())];
                        dots(s, query, block, scores);
                    }
                }
            }
        }
        for (at, head) in self.heads.clone().enumerate() {
            for (row, list) in group.lists().iter().enumerate() {
                self.to(row, head).fill(0.0);
                if !list.is_empty() {
                    self.weights(s, head, &mut scores[part(at, row, 0, list.len())]);
                }
            }
        }
        for first in (0..cells).step_by(BLOCK) {
            for share in group.shares(first) {
                let count = share.cells.len();
                for (at, head) in self.heads.clone().enumerate() {
                    take(self.input.values, share.cells, self.columns(head), block);
                    let weights = |row: usize| &scores[part(at, row, first, count)];
                    let mut done = 0;
                    while done < share.count() {
                        let four = share.four(done);
                        done += if done + 4 <= share.count() {
                            let to = four.map(|row| self.to(row, head));
                            add_weighted(s, four.map(weights), block, to)
                        } else {
                            add_weighted(s, [weights(four[0])], block, [self.to(four[0], head)])
                        };
                    }
                }
            }
        }
    }
}

impl<T: Element> Heads<'_, '_, T> {
    /// Turns the scores of a row into weights that add up to one.
    #[inline(always)]
    fn weights<S: Simd>(&self, s: S, head: usize, scores: &mut [f32]) {
        if !self.spec.is_plain() {
            let last = scores.len() as isize - 1;
            for (at, score) in scores.iter_mut().enumerate() {
                let bias = self.spec.bias.at(head, at as isize - last);
                *score += bias * std::f32::consts::LOG2_E;
            }
        }
        let top = softmax::top(s, scores, f32::MIN);
        let sum = softmax::weigh(s, scores, top);
        softmax::scale(s, scores, sum.recip());
    }
}

/// Widens columns of some cells, one cell after the other.
#[inline(always)]
fn take<T: Element>(from: Rows<'_, T>, cells: &[u32], columns: Range<usize>, to: &mut [f32]) {
    for (&cell, to) in cells.iter().zip(to.chunks_exact_mut(columns.len())) {
        widen(&from.row(cell as usize)[columns.clone()], to);
    }
}

#[inline(always)]
fn widen<T: Element>(from: &[T], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.widen();
    }
}

/// `to[i] = query · keys[i]`. The lanes of a whole group of keys are added up together: one by one
/// that costs as much as the products.
#[inline(always)]
fn dots<S: Simd>(s: S, query: &[f32], keys: &[f32], to: &mut [f32]) {
    let dim = query.len();
    let mut group = [s.splat(0.0); 16];
    let group = &mut group[..S::LANES];
    for (to, keys) in to.chunks_mut(S::LANES).zip(keys.chunks(S::LANES * dim)) {
        for (sums, key) in group.iter_mut().zip(keys.chunks_exact(dim)) {
            *sums = s.splat(0.0);
            let mut i = 0;
            while i < dim {
                *sums = s.fma(s.at(query, i), s.at(key, i), *sums);
                i += S::LANES;
            }
        }
        s.put(to, 0, s.sums(group));
    }
}

/// `to[r] += Σ weights[r][i] × rows[i]`, summed in the order of the rows. Returns `R`.
#[inline(always)]
fn add_weighted<S: Simd, const R: usize>(
    s: S,
    weights: [&[f32]; R],
    rows: &[f32],
    mut to: [&mut [f32]; R],
) -> usize {
    let dim = to[0].len();
    let mut column = 0;
    while column + 2 * S::LANES <= dim {
        // Two vectors of columns: eight sums in progress, which hides how long an addition takes.
        let mut sums: [[S::V; 2]; R] =
            std::array::from_fn(|r| [s.at(to[r], column), s.at(to[r], column + S::LANES)]);
        for (i, row) in rows.chunks_exact(dim).take(weights[0].len()).enumerate() {
            let values = [s.at(row, column), s.at(row, column + S::LANES)];
            for (sums, weights) in sums.iter_mut().zip(&weights) {
                let weight = s.splat(weights[i]);
                *sums = [0, 1].map(|half| s.fma(weight, values[half], sums[half]));
            }
        }
        for (to, sums) in to.iter_mut().zip(sums) {
            s.put(to, column, sums[0]);
            s.put(to, column + S::LANES, sums[1]);
        }
        column += 2 * S::LANES;
    }
    while column < dim {
        for (to, weights) in to.iter_mut().zip(&weights) {
            let mut sums = s.at(to, column);
            for (&weight, row) in weights.iter().zip(rows.chunks_exact(dim)) {
                sums = s.fma(s.splat(weight), s.at(row, column), sums);
            }
            s.put(to, column, sums);
        }
        column += S::LANES;
    }
    R
}
