//! Scores of a group of rows by tile products.

use std::arch::x86_64::*;

use super::super::groups::Share;
use super::{Ahead, BLOCK, STEP, TILE, TILE_FLOATS, Task};
use crate::amx::tile::{Tiles, tile_load, tile_mul, tile_store, tile_zero};

/// The keys of up to sixteen cells of a head, as left tiles.
struct Keys {
    start: *const u16,
    /// Elements from step to step.
    step: usize,
    /// Bytes from cell to cell.
    stride: isize,
}

impl Task<'_, '_> {
    /// Puts the queries into tiles of pairs of columns.
    ///
    /// # Safety
    ///
    /// AVX-512 F and BW; the places are those of the extent.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn queries(&self) {
        let extent = &self.extent;
        // SAFETY: the queries of the extent.
        unsafe {
            let len = extent.heads * extent.steps * 2 * TILE_FLOATS;
            self.to.queries.write_bytes(0, len);
        }
        for (at, head) in self.heads.heads.clone().enumerate() {
            for row in 0..extent.rows {
                let query = self.heads.query(row, head);
                for step in 0..extent.steps {
                    let tile = (at * extent.steps + step) * TILE_FLOATS;
                    let mut pairs = [0_u32; TILE];
                    // SAFETY: the load is masked to the columns that exist, 16 pairs fit `pairs`,
                    // and the tile is inside its place.
                    unsafe {
                        let from = query.as_ptr().add(step * STEP).cast();
                        let columns = _mm512_maskz_loadu_epi16(self.mask(step), from);
                        _mm512_storeu_si512(pairs.as_mut_ptr().cast(), columns);
                        let to = self.to.queries.cast::<u32>().add(tile + row);
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
    /// AMX as in [`super::run`]; the queries are in their tiles.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(super) unsafe fn scores(&self, ahead: &mut Ahead<'_>) {
        let extent = &self.extent;
        // SAFETY: the caller's promise.
        let tiles = unsafe { Tiles::configure() };
        for first in (0..extent.cells).step_by(BLOCK) {
            ahead.go_to(first + BLOCK);
            for share in self.heads.group.shares(first) {
                let (low, high) = share.cells.split_at(TILE.min(share.cells.len()));
                let distances = [low, high].map(|cells| self.distance(cells));
                for (at, head) in self.heads.heads.clone().enumerate() {
                    let queries = at * extent.steps * 2 * TILE_FLOATS;
                    // SAFETY: all tiles are inside their places or in the cache.
                    unsafe {
                        let keys = self.keys(low, distances[0], head, 0);
                        tile_zero!(tiles, 0);
                        for step in 0..extent.steps {
                            let queries = self.to.queries.add(queries + step * 2 * TILE_FLOATS);
                            tile_load!(tiles, 4, queries, 64);
                            tile_load!(tiles, 2, keys.start.add(step * keys.step), keys.stride);
                            tile_mul!(tiles, 0, 2, 4);
                            ahead.ask::<8>();
                        }
                        tile_store!(tiles, 0, self.to.product, 64);
                    }
                    if !high.is_empty() {
                        // SAFETY: as above.
                        unsafe {
                            let keys = self.keys(high, distances[1], head, 1);
                            tile_zero!(tiles, 1);
                            for step in 0..extent.steps {
                                let queries = self.to.queries.add(queries + step * 2 * TILE_FLOATS);
                                tile_load!(tiles, 4, queries, 64);
                                tile_load!(tiles, 3, keys.start.add(step * keys.step), keys.stride);
                                tile_mul!(tiles, 1, 3, 4);
                                ahead.ask::<8>();
                            }
                            tile_store!(tiles, 1, self.to.product.add(TILE_FLOATS), 64);
                        }
                    }
                    (0..4 * extent.steps).for_each(|_| ahead.ask::<4>());
                    // SAFETY: the product of the share is there.
                    unsafe { self.take_product(at, &share, first) };
                }
            }
        }
    }

    /// Bytes from cell to cell where sixteen of them are a tile as they lie in the cache.
    fn distance(&self, cells: &[u32]) -> Option<isize> {
        if cells.len() != TILE || !self.heads.spec.head_dim.is_multiple_of(STEP) {
            return None;
        }
        let cells: &[u32; TILE] = cells.try_into().ok()?;
        let distance = i64::from(cells[1]) - i64::from(cells[0]);
        let is_even = |pair: &[u32]| i64::from(pair[1]) - i64::from(pair[0]) == distance;
        if !cells.windows(2).all(is_even) {
            return None;
        }
        // All are between the first and the last.
        let row = |cell: u32| self.heads.input.keys.row(cell as usize).as_ptr().addr();
        let bytes = row(cells[TILE - 1]).wrapping_sub(row(cells[0])) as isize;
        Some(bytes / (TILE as isize - 1))
    }

    /// The keys of a head in up to sixteen cells; of a tile's rows beyond them, whatever was there.
    ///
    /// # Safety
    ///
    /// AVX-512 F and BW; the places are those of the extent, and `distance` is that of the cells.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn keys(
        &self,
        cells: &[u32],
        distance: Option<isize>,
        head: usize,
        tile: usize,
    ) -> Keys {
        let (from, columns) = (self.heads.input.keys, self.heads.columns(head));
        if let Some(stride) = distance {
            return Keys {
                start: from.row(cells[0] as usize)[columns].as_ptr(),
                step: STEP,
                stride,
            };
        }
        let steps = self.extent.steps;
        // SAFETY: the loads are masked to the columns that exist, and the stores are rows of the
        // tiles of a head.
        unsafe {
            let start = self.to.keys.add(tile * steps * 2 * TILE_FLOATS);
            for (at, &cell) in cells.iter().enumerate() {
                let keys = &from.row(cell as usize)[columns.clone()];
                for step in 0..steps {
                    let from = keys.as_ptr().add(step * STEP).cast();
                    let keys = _mm512_maskz_loadu_epi16(self.mask(step), from);
                    let to = start.add(step * 2 * TILE_FLOATS + at * STEP);
                    _mm512_store_si512(to.cast(), keys);
                }
            }
            Keys {
                start,
                step: 2 * TILE_FLOATS,
                stride: 64,
            }
        }
    }

    /// Puts a product, cells by rows, into the scores, rows by cells.
    ///
    /// # Safety
    ///
    /// AVX-512; the places are those of the extent.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn take_product(&self, at: usize, share: &Share<'_>, first: usize) {
        let extent = &self.extent;
        let scale = _mm512_set1_ps(self.heads.spec.scale * std::f32::consts::LOG2_E);
        for half in 0..share.cells.len().div_ceil(TILE) {
            let mut rows = share.rows().peekable();
            while let Some(&row) = rows.peek() {
                let quad = row / 4;
                // SAFETY: a whole tile, and whole groups of 16 scores of rows that exist.
                unsafe {
                    let product = self.to.product.add(half * TILE_FLOATS + quad * 4);
                    let columns = four_columns(product);
                    while let Some(row) = rows.next_if(|row| row / 4 == quad) {
                        let to = extent.row(at, row) + first + half * TILE;
                        let scores = _mm512_mul_ps(columns[row % 4], scale);
                        _mm512_store_ps(self.to.scores.add(to), scores);
                    }
                }
            }
        }
    }
}

/// Four columns of a tile of 16 × 16, each a vector.
///
/// # Safety
///
/// AVX-512; `tile` is the first of four neighbouring columns, at 16 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn four_columns(tile: *const f32) -> [__m512; 4] {
    // A vector of the four columns of the rows `first`, 4 + `first`, 8 + `first` and 12 + `first`.
    let rows = |first: usize| {
        // SAFETY: four columns of rows of the tile.
        let four = |row: usize| unsafe { _mm_load_ps(tile.add(row * TILE)) };
        let all = _mm512_broadcast_f32x4(four(first));
        let all = _mm512_mask_broadcast_f32x4(all, 0x00f0, four(4 + first));
        let all = _mm512_mask_broadcast_f32x4(all, 0x0f00, four(8 + first));
        _mm512_mask_broadcast_f32x4(all, 0xf000, four(12 + first))
    };
    let [a, b, c, d] = [0, 1, 2, 3].map(rows);
    let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
    let [ab, cd] = [ab, cd].map(|x| _mm512_castps_pd(x));
    let (ab2, cd2) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
    let [ab2, cd2] = [ab2, cd2].map(|x| _mm512_castps_pd(x));
    [
        _mm512_unpacklo_pd(ab, cd),
        _mm512_unpackhi_pd(ab, cd),
        _mm512_unpacklo_pd(ab2, cd2),
        _mm512_unpackhi_pd(ab2, cd2),
    ]
    .map(|x| _mm512_castpd_ps(x))
}
