//! Attention over cells in bf16 with tiles: sixteen cells times all query rows of a list in one
//! tile product, and values two cells at a time in pairs of bf16.
//!
//! Keys are the rows of the left tile as they lie in the cache, so nothing is transposed but the
//! small result. A step of BART-large (32 sources of 400 tokens, 4 beams) is bound by memory like
//! this; with the kernel for all instruction sets it was not.
//!
//! Scalar twin: [`crate::scalar::attention_cells`].

use std::arch::x86_64::*;

use super::Heads;
use crate::amx::tile::{Tiles, tile_load, tile_mul, tile_store, tile_zero};
use crate::isa::Isa;
use crate::rows::Rows;
use crate::simd::{self, Avx512, Kernel, Simd};

/// Cells of a block: two tiles of keys.
const BLOCK: usize = 32;

/// Cells, or query rows, of a tile.
const TILE: usize = 16;

/// Floats that a tile takes, and elements of bf16.
const TILE_FLOATS: usize = 256;

/// Columns of a step: what one tile product adds up.
const STEP: usize = 32;

/// How much there is of everything.
#[derive(Clone, Copy)]
struct Extent {
    steps: usize,
    heads: usize,
    rows: usize,
    /// Tiles of query rows.
    row_tiles: usize,
    /// Cells, in whole blocks.
    cells: usize,
}

impl Extent {
    fn new(dim: usize, heads: usize, rows: usize, cells: usize) -> Self {
        Extent {
            steps: dim.div_ceil(STEP),
            heads,
            rows,
            row_tiles: rows.div_ceil(TILE),
            cells: cells.next_multiple_of(BLOCK),
        }
    }

    /// Floats of: keys or values of a block, queries, the product of a block, scores, weights, sums of values,
    /// two cells.
    fn sizes(&self) -> [usize; 7] {
        [
            self.heads * 2 * self.steps * TILE_FLOATS,
            self.heads * self.row_tiles * self.steps * TILE_FLOATS,
            2 * TILE_FLOATS,
            self.heads * self.rows * self.cells,
            self.heads * self.rows * self.cells / 2,
            self.heads * self.rows * self.steps * STEP,
            self.heads * self.steps * STEP,
        ]
    }
}

/// Floats of scratch for such a task, with some to align.
pub(super) fn scratch_floats(dim: usize, heads: usize, rows: usize, cells: usize) -> usize {
    let sizes = Extent::new(dim, heads, rows, cells).sizes();
    sizes.iter().sum::<usize>() + 16
}

/// Where everything lies in the scratch, each part at a cache line.
struct Places {
    /// Of keys `[tile][head][step][16 cells][32]`, of values `[head][step][16 pairs of cells]
    /// [2][16 columns][2]`.
    block: *mut u16,
    /// `[head][row tile][step][16 pairs of columns][16 rows][2]`.
    queries: *mut u16,
    /// `[tile][16 cells][16 rows]`.
    product: *mut f32,
    /// `[head][row][cell]`.
    scores: *mut f32,
    /// `[head][row][cell]`.
    weights: *mut u16,
    /// `[head][row][step][2][16]`, in the order of the interleaved values.
    sums: *mut f32,
    /// `[2][head][step][32]`.
    cells: *mut u16,
}

/// Some heads of a list.
struct Task<'a, 's> {
    heads: Heads<'a, 's, u16>,
    extent: Extent,
    to: Places,
}

/// Computes some heads of a list.
///
/// # Safety
///
/// AMX is available ([`crate::amx::available`]), and no `Tiles` lives on this thread.
pub(super) unsafe fn run(mut heads: Heads<'_, '_, u16>) {
    let extent = Extent::new(
        heads.spec.head_dim,
        heads.heads.len(),
        heads.rows.len(),
        heads.cells.len(),
    );
    let sizes = extent.sizes();
    let scratch = std::mem::take(&mut heads.scratch);
    assert!(sizes.iter().sum::<usize>() + 16 <= scratch.len());
    let start = scratch.as_mut_ptr();
    let mut next = start.wrapping_add(start.align_offset(64));
    // All sizes are multiples of 16, so that every part is aligned.
    let [block, queries, product, scores, weights, sums, cells] = sizes.map(|size| {
        let place = next;
        next = next.wrapping_add(size);
        place
    });
    let to = Places {
        block: block.cast(),
        queries: queries.cast(),
        product,
        scores,
        weights: weights.cast(),
        sums,
        cells: cells.cast(),
    };
    let task = Task { heads, extent, to };
    // SAFETY: AMX comes with AVX-512 and its bf16; the places are parts of the scratch that do not
    // overlap, which is what the steps ask for, in this order.
    unsafe {
        task.queries();
        task.scores();
        task.weights();
        task.values();
        task.store();
    }
}

impl Task<'_, '_> {
    /// The columns of a step of a head in a row, zeros beyond the head.
    ///
    /// # Safety
    ///
    /// AVX-512 F and BW.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn columns(&self, from: Rows<'_, u16>, row: usize, head: usize, step: usize) -> __m512i {
        let columns = &from.row(row)[self.heads.columns(head)][step * STEP..];
        let mask = u32::MAX >> (STEP - columns.len().min(STEP));
        // SAFETY: the load is masked to the columns that exist.
        unsafe { _mm512_maskz_loadu_epi16(mask, columns.as_ptr().cast()) }
    }

    /// Puts the queries into tiles of pairs of columns.
    ///
    /// # Safety
    ///
    /// AVX-512 F and BW; the places are those of the extent.
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn queries(&self) {
        let (steps, row_tiles) = (self.extent.steps, self.extent.row_tiles);
        for (at, head) in self.heads.heads.clone().enumerate() {
            for row in 0..row_tiles * TILE {
                for step in 0..steps {
                    let tile = (at * row_tiles + row / TILE) * steps + step;
                    let mut pairs = [0_u32; TILE];
                    // SAFETY: 16 pairs fit `pairs`; the tile is inside its place.
                    unsafe {
                        if row < self.extent.rows {
                            let row = self.heads.rows.start + row;
                            let columns = self.columns(self.heads.input.q, row, head, step);
                            _mm512_storeu_si512(pairs.as_mut_ptr().cast(), columns);
                        }
                        let to = self
                            .to
                            .queries
                            .cast::<u32>()
                            .add(tile * TILE_FLOATS + row % TILE);
                        for (pair, &columns) in pairs.iter().enumerate() {
                            *to.add(pair * TILE) = columns;
                        }
                    }
                }
            }
        }
    }

    /// Scores of all rows, in powers of two.
    ///
    /// # Safety
    ///
    /// AMX as in [`run`]; the queries are in their tiles.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn scores(&self) {
        let extent = &self.extent;
        // SAFETY: the caller's promise.
        let tiles = unsafe { Tiles::configure() };
        for first in (0..extent.cells).step_by(BLOCK) {
            // SAFETY: the places are those of the extent.
            unsafe { self.take_keys(first) };
            for at in 0..extent.heads {
                // SAFETY: all tiles are inside their places.
                unsafe {
                    for row_tile in 0..extent.row_tiles {
                        tile_zero!(tiles, 0);
                        tile_zero!(tiles, 1);
                        for step in 0..extent.steps {
                            let queries = (at * extent.row_tiles + row_tile) * extent.steps + step;
                            let queries = self.to.queries.add(queries * 2 * TILE_FLOATS);
                            let keys = at * extent.steps + step;
                            let keys = self.to.block.add(keys * 2 * TILE_FLOATS);
                            tile_load!(tiles, 4, queries, 64);
                            tile_load!(tiles, 2, keys, 64);
                            tile_load!(
                                tiles,
                                3,
                                keys.add(extent.heads * extent.steps * 2 * TILE_FLOATS),
                                64
                            );
                            tile_mul!(tiles, 0, 2, 4);
                            tile_mul!(tiles, 1, 3, 4);
                        }
                        tile_store!(tiles, 0, self.to.product, 64);
                        tile_store!(tiles, 1, self.to.product.add(TILE_FLOATS), 64);
                        self.take_product(at, row_tile, first);
                    }
                }
            }
        }
    }

    /// Copies the keys of a block of cells into tiles; zeros where there are no more cells.
    ///
    /// # Safety
    ///
    /// AVX-512 F and BW; the places are those of the extent.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn take_keys(&self, first: usize) {
        let columns = self.extent.heads * self.extent.steps;
        for cell in 0..BLOCK {
            // SAFETY: row `cell` of every tile of the block.
            unsafe {
                let keys = self.cell(self.heads.input.keys, first + cell, 0);
                let to = cell / TILE * columns * 2 * TILE_FLOATS + cell % TILE * STEP;
                let to = self.to.block.add(to);
                for column in 0..columns {
                    let keys = _mm512_loadu_si512(keys.add(column * STEP).cast());
                    _mm512_store_si512(to.add(column * 2 * TILE_FLOATS).cast(), keys);
                }
            }
        }
    }

    /// Interleaves the values of a block, two cells at a time.
    ///
    /// # Safety
    ///
    /// As [`Task::take_keys`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn take_values(&self, first: usize) {
        let columns = self.extent.heads * self.extent.steps;
        let values = self.heads.input.values;
        for pair in 0..BLOCK / 2 {
            let cell = first + 2 * pair;
            // SAFETY: pair `pair` of all columns of the block.
            unsafe {
                let even = self.cell(values, cell, 0);
                let odd = self.cell(values, cell + 1, 1);
                let to = self.to.block.add(pair * 2 * STEP);
                for column in 0..columns {
                    let even = _mm512_loadu_si512(even.add(column * STEP).cast());
                    let odd = _mm512_loadu_si512(odd.add(column * STEP).cast());
                    let to = to.add(column * 4 * TILE_FLOATS);
                    _mm512_store_si512(to.cast(), _mm512_unpacklo_epi16(even, odd));
                    _mm512_store_si512(to.add(STEP).cast(), _mm512_unpackhi_epi16(even, odd));
                }
            }
        }
    }

    /// All heads' columns of a cell of the list, in whole steps: where they lie, or as copy `copy`
    /// where heads end in the middle of a step or the list has ended.
    ///
    /// Nothing but loads and stores follows for a whole cell. Memory is waited for here, and what
    /// comes at once are the loads that the processor sees ahead: with addresses computed head by
    /// head it saw a third as many.
    ///
    /// # Safety
    ///
    /// AVX-512 F and BW; the places are those of the extent.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn cell(&self, from: Rows<'_, u16>, cell: usize, copy: usize) -> *const u16 {
        let (heads, extent) = (&self.heads, &self.extent);
        let columns = extent.heads * extent.steps * STEP;
        // SAFETY: all heads' columns are inside the row; a copy is inside its place.
        unsafe {
            let to = self.to.cells.add(copy * columns);
            let Some(&cell) = heads.cells.get(cell) else {
                to.write_bytes(0, columns);
                return to;
            };
            if heads.spec.head_dim.is_multiple_of(STEP) {
                let all =
                    heads.columns(heads.heads.start).start..heads.columns(heads.heads.end - 1).end;
                let row = from.row(cell as usize);
                assert!(all.end <= row.len());
                return row.as_ptr().add(all.start);
            }
            for (at, head) in heads.heads.clone().enumerate() {
                for step in 0..extent.steps {
                    let columns = self.columns(from, cell as usize, head, step);
                    let to = to.add((at * extent.steps + step) * STEP);
                    _mm512_storeu_si512(to.cast(), columns);
                }
            }
            to
        }
    }

    /// Puts a product, cells by rows, into the scores, rows by cells.
    ///
    /// # Safety
    ///
    /// AVX-512; the places are those of the extent.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn take_product(&self, at: usize, row_tile: usize, first: usize) {
        let extent = &self.extent;
        let Some(s) = Avx512::new() else { return };
        let scale = s.splat(self.heads.spec.scale * std::f32::consts::LOG2_E);
        let rows = extent.rows.min((row_tile + 1) * TILE) - row_tile * TILE;
        for half in 0..2 {
            // SAFETY: whole tiles, and whole groups of 16 scores of rows that exist.
            unsafe {
                let product = self.to.product.add(half * TILE_FLOATS);
                let mut square: [__m512; TILE] =
                    std::array::from_fn(|cell| s.load(product.add(cell * TILE)));
                s.transpose(&mut square);
                for (row, scores) in square.into_iter().enumerate().take(rows) {
                    let row = at * extent.rows + row_tile * TILE + row;
                    let to = row * extent.cells + first + half * TILE;
                    s.store(self.to.scores.add(to), s.mul(scores, scale));
                }
            }
        }
    }

    /// Turns scores into weights that add up to one, in bf16, with zeros up to a whole block.
    ///
    /// # Safety
    ///
    /// AVX-512 with bf16; the scores are there.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn weights(&self) {
        let extent = &self.extent;
        for (at, head) in self.heads.heads.clone().enumerate() {
            for row in 0..extent.rows {
                let place = (at * extent.rows + row) * extent.cells;
                // SAFETY: a row of scores, and a row of weights of whole blocks.
                unsafe {
                    let scores =
                        std::slice::from_raw_parts_mut(self.to.scores.add(place), extent.cells);
                    let (scores, beyond) = scores.split_at_mut(self.heads.cells.len());
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

    /// Sums of weighted values.
    ///
    /// # Safety
    ///
    /// AVX-512 with bf16; the weights are there.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn values(&self) {
        let extent = &self.extent;
        // SAFETY: the sums of the extent.
        unsafe {
            let sums = extent.heads * extent.rows * extent.steps * STEP;
            self.to.sums.write_bytes(0, sums);
        }
        for first in (0..self.heads.cells.len()).step_by(BLOCK) {
            // SAFETY: the places are those of the extent.
            unsafe { self.take_values(first) };
            for at in 0..extent.heads {
                for step in 0..extent.steps {
                    let mut row = 0;
                    while row < extent.rows {
                        // SAFETY: passed on; the rows exist.
                        row += unsafe {
                            if row + 4 <= extent.rows {
                                self.add_values::<4>(at, row, first, step)
                            } else {
                                self.add_values::<1>(at, row, first, step)
                            }
                        };
                    }
                }
            }
        }
    }

    /// Adds the weighted values of a block of cells to the sums of `R` rows of a head, in the order
    /// of the cells, whatever `R` is. Returns `R`.
    ///
    /// # Safety
    ///
    /// As [`Task::values`]; the block is there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn add_values<const R: usize>(
        &self,
        at: usize,
        row: usize,
        first: usize,
        step: usize,
    ) -> usize {
        let extent = &self.extent;
        let place = at * extent.rows + row;
        let cells = (self.heads.cells.len() - first).min(BLOCK);
        // SAFETY: sums and weights of rows that exist; two weights at an even cell; the vectors of
        // pairs of the block.
        unsafe {
            let to: [*mut f32; R] = std::array::from_fn(|row| {
                let row = (place + row) * extent.steps + step;
                self.to.sums.add(row * STEP)
            });
            let weights: [*const i32; R] = std::array::from_fn(|row| {
                let row = (place + row) * extent.cells + first;
                self.to.weights.add(row).cast_const().cast()
            });
            let values = (at * extent.steps + step) * 4 * TILE_FLOATS;
            let values: *const __m512i = self.to.block.add(values).cast_const().cast();
            let mut sums: [[__m512; 2]; R] =
                to.map(|to| [_mm512_load_ps(to), _mm512_load_ps(to.add(TILE))]);
            for pair in 0..cells.div_ceil(2) {
                let pairs: [__m512bh; 2] = [0, 1].map(|half| {
                    let values = _mm512_load_si512(values.add(2 * pair + half));
                    std::mem::transmute::<__m512i, __m512bh>(values)
                });
                for (sums, weights) in sums.iter_mut().zip(weights) {
                    let weight = _mm512_set1_epi32(weights.add(pair).read());
                    let weight: __m512bh = std::mem::transmute(weight);
                    *sums = [
                        _mm512_dpbf16_ps(sums[0], pairs[0], weight),
                        _mm512_dpbf16_ps(sums[1], pairs[1], weight),
                    ];
                }
            }
            for (to, sums) in to.into_iter().zip(sums) {
                _mm512_store_ps(to, sums[0]);
                _mm512_store_ps(to.add(TILE), sums[1]);
            }
        }
        R
    }

    /// Puts the sums where they belong, in the order of the columns.
    ///
    /// # Safety
    ///
    /// AVX-512; the sums are there.
    #[target_feature(enable = "avx512f")]
    unsafe fn store(&self) {
        let extent = &self.extent;
        // Interleaving works in quarters: a vector of sums holds four columns of each of them.
        let quarters = |first: i32| {
            let of = |half: i32, quarter: i32| [0, 1, 2, 3].map(|i| half * 16 + quarter * 4 + i);
            let [a, b, c, d] = [
                of(0, first),
                of(1, first),
                of(0, first + 1),
                of(1, first + 1),
            ];
            let all: [i32; 16] = std::array::from_fn(|i| [a, b, c, d][i / 4][i % 4]);
            // SAFETY: 16 numbers.
            unsafe { _mm512_loadu_si512(all.as_ptr().cast()) }
        };
        let order = [quarters(0), quarters(2)];
        for (at, head) in self.heads.heads.clone().enumerate() {
            for row in 0..extent.rows {
                let to = self.heads.to(row, head);
                for step in 0..extent.steps {
                    let place = ((at * extent.rows + row) * extent.steps + step) * STEP;
                    for (half, order) in order.into_iter().enumerate() {
                        let first = step * STEP + half * TILE;
                        let Some(to) = to.get_mut(first..).filter(|to| !to.is_empty()) else {
                            continue;
                        };
                        let mask = u16::MAX >> (TILE - to.len().min(TILE));
                        // SAFETY: sums of this row and step; the store is masked to the columns
                        // that exist.
                        unsafe {
                            let low = _mm512_load_ps(self.to.sums.add(place));
                            let high = _mm512_load_ps(self.to.sums.add(place + TILE));
                            let sums = _mm512_permutex2var_ps(low, order, high);
                            _mm512_mask_storeu_ps(to.as_mut_ptr(), mask, sums);
                        }
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
