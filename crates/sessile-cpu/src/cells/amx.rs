//! Attention over cells in bf16 with tiles: sixteen cells times all query rows of a group in one
//! tile product, and values two cells at a time in pairs of bf16.
//!
//! Keys are the rows of the left tile as they lie in the cache, so nothing is transposed but the
//! small result. What bounds it is memory: while one block of cells is worked on, the next is asked
//! for, cell by cell as they lie in memory (`ahead`).
//!
//! Scalar twin: [`crate::scalar::attention_cells`].

mod ahead;
mod scores;
mod values;

use std::arch::x86_64::*;

use super::{BLOCK, Heads};
use crate::isa::Isa;
use crate::simd::{self, Kernel, Simd};
use ahead::Ahead;

/// Cells, or query rows, of a tile.
const TILE: usize = 16;

/// Floats that a tile takes; elements of bf16 are twice as many.
const TILE_FLOATS: usize = 256;

/// Columns of a step: what one tile product adds up.
const STEP: usize = 32;

/// How much there is of everything.
#[derive(Clone, Copy)]
struct Extent {
    steps: usize,
    heads: usize,
    rows: usize,
    /// Cells of the longest list, in whole blocks.
    cells: usize,
}

impl Extent {
    fn new(dim: usize, heads: usize, rows: usize, cells: usize) -> Self {
        Extent {
            steps: dim.div_ceil(STEP),
            heads,
            rows,
            cells: cells.next_multiple_of(BLOCK),
        }
    }

    /// Floats of: keys of a block, queries, the product of a block, scores, weights, sums of values.
    fn sizes(&self) -> [usize; 6] {
        [
            2 * self.steps * TILE_FLOATS,
            self.heads * self.steps * TILE_FLOATS,
            2 * TILE_FLOATS,
            self.heads * self.rows * self.cells,
            self.heads * self.rows * self.cells / 2,
            self.heads * self.rows * self.steps * STEP,
        ]
    }

    /// Where the scores, or the weights, of a row of a head begin.
    fn row(&self, at: usize, row: usize) -> usize {
        (at * self.rows + row) * self.cells
    }

    /// Where the sums of a step of a row of a head begin.
    fn sums(&self, at: usize, row: usize, step: usize) -> usize {
        ((at * self.rows + row) * self.steps + step) * STEP
    }
}

/// Floats of scratch for such a task, with some to align.
pub(super) fn scratch_floats(dim: usize, heads: usize, rows: usize, cells: usize) -> usize {
    let sizes = Extent::new(dim, heads, rows, cells).sizes();
    sizes.iter().sum::<usize>() + 16
}

/// Where everything lies in the scratch, each part at a cache line.
struct Places {
    /// Of one head, `[tile][step][16 cells][32]`.
    keys: *mut u16,
    /// `[head][step][16 pairs of columns][16 rows][2]`.
    queries: *mut u16,
    /// `[tile][16 cells][16 rows]`.
    product: *mut f32,
    /// `[head][row][cell]`.
    scores: *mut f32,
    /// `[head][row][cell]`.
    weights: *mut u16,
    /// `[head][row][step][2][16]`, in the order of the interleaved values.
    sums: *mut f32,
}

/// Some heads of a group.
struct Task<'a, 's> {
    heads: Heads<'a, 's, u16>,
    extent: Extent,
    to: Places,
}

/// Computes some heads of a group.
///
/// # Safety
///
/// AMX is available ([`crate::amx::available`]), and no `Tiles` lives on this thread.
pub(super) unsafe fn run(mut heads: Heads<'_, '_, u16>) {
    let extent = Extent::new(
        heads.spec.head_dim,
        heads.heads.len(),
        heads.group.lists().len(),
        heads.group.longest(),
    );
    let sizes = extent.sizes();
    let scratch = std::mem::take(&mut heads.scratch);
    assert!(sizes.iter().sum::<usize>() + 16 <= scratch.len());
    let start = scratch.as_mut_ptr();
    let mut next = start.wrapping_add(start.align_offset(64));
    // All sizes are multiples of 16, so that every part is aligned.
    let [keys, queries, product, scores, weights, sums] = sizes.map(|size| {
        let place = next;
        next = next.wrapping_add(size);
        place
    });
    let to = Places {
        keys: keys.cast(),
        queries: queries.cast(),
        product,
        scores,
        weights: weights.cast(),
        sums,
    };
    let mut ahead = Ahead::new(&heads);
    let task = Task { heads, extent, to };
    // SAFETY: AMX comes with AVX-512 and its bf16; the places are parts of the scratch that do not
    // overlap, which is what the steps ask for, in this order.
    unsafe {
        task.queries();
        task.scores(&mut ahead);
        task.weights(&mut ahead);
        task.values(&mut ahead);
        task.store();
    }
}

impl Task<'_, '_> {
    /// The columns of step `step` of a head that there are.
    fn mask(&self, step: usize) -> u32 {
        let columns = self.heads.spec.head_dim - step * STEP;
        u32::MAX >> (STEP - columns.min(STEP))
    }

    /// Turns scores into weights that add up to one, in bf16, with zeros up to a whole block.
    ///
    /// # Safety
    ///
    /// AVX-512 with bf16; the scores are there.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn weights(&self, ahead: &mut Ahead<'_>) {
        let extent = &self.extent;
        for (at, head) in self.heads.heads.clone().enumerate() {
            for (row, list) in self.heads.group.lists().iter().enumerate() {
                (0..4 * extent.steps).for_each(|_| ahead.ask::<2>());
                let place = extent.row(at, row);
                // SAFETY: a row of scores, and a row of weights of whole blocks.
                unsafe {
                    let scores =
                        std::slice::from_raw_parts_mut(self.to.scores.add(place), extent.cells);
                    let (scores, beyond) = scores.split_at_mut(list.len());
                    simd::run(
                        Isa::Avx512,
                        Weights {
                            heads: &self.heads,
                            head,
                            scores,
                        },
                    );
                    beyond.fill(0.0);
                    let from = self.to.scores.add(place);
                    let to = self.to.weights.add(place);
                    for cell in (0..extent.cells).step_by(BLOCK) {
                        let low = _mm512_load_ps(from.add(cell));
                        let high = _mm512_load_ps(from.add(cell + TILE));
                        let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
                        _mm512_store_si512(to.add(cell).cast(), rounded);
                    }
                }
            }
        }
    }
}

/// The weights of one row, in f32.
struct Weights<'h, 'a, 's> {
    heads: &'h Heads<'a, 's, u16>,
    head: usize,
    scores: &'h mut [f32],
}

impl Kernel for Weights<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.heads.weights(s, self.head, self.scores);
    }
}
