//! The tile instructions of attention: scores of a unit, and sums of weighted values.
//!
//! Tiles 0–3 hold sums of values, 4 the sums of weights; 5, 6 and 7 are for operands and scores.

use super::layout::{TILE, VALUE_TILES};
use crate::amx::tile::{Tiles, tile_load, tile_mul, tile_store, tile_zero};

/// The scores of 16 queries with 32 keys, into two tiles at `scores`. `STEPS` of 0: `steps`.
///
/// # Safety
///
/// `q` points to `steps` tiles, `k` to twice as many, `scores` to two.
#[inline(always)]
pub(super) unsafe fn scores<const STEPS: usize>(
    tiles: &Tiles,
    steps: usize,
    q: *const u16,
    k: *const u16,
    scores: *mut f32,
) {
    let steps = if STEPS == 0 { steps } else { STEPS };
    // SAFETY: the caller's promise.
    unsafe {
        for half in 0..2 {
            tile_zero!(tiles, 5);
            for step in 0..steps {
                tile_load!(tiles, 6, q.add(step * TILE), 64);
                tile_load!(tiles, 7, k.add((half * steps + step) * TILE), 64);
                tile_mul!(tiles, 5, 6, 7);
            }
            tile_store!(tiles, 5, scores.add(half * 256), 64);
        }
    }
}

/// Adds the weighted values of one unit to the sums in tiles 0–4.
///
/// # Safety
///
/// `weights` points to a tile, `values` to `count` tiles, `ones` to a tile or is null.
#[inline(always)]
pub(super) unsafe fn add_values(
    tiles: &Tiles,
    count: usize,
    weights: *const u16,
    values: *const u16,
    ones: *const u16,
) {
    // SAFETY: the caller's promise.
    unsafe {
        tile_load!(tiles, 5, weights, 64);
        tile_load!(tiles, 6, values, 64);
        tile_mul!(tiles, 0, 5, 6);
        if count > 1 {
            tile_load!(tiles, 7, values.add(TILE), 64);
            tile_mul!(tiles, 1, 5, 7);
        }
        if count > 2 {
            tile_load!(tiles, 6, values.add(2 * TILE), 64);
            tile_mul!(tiles, 2, 5, 6);
        }
        if count > 3 {
            tile_load!(tiles, 7, values.add(3 * TILE), 64);
            tile_mul!(tiles, 3, 5, 7);
        }
        if !ones.is_null() {
            tile_load!(tiles, 6, ones, 64);
            tile_mul!(tiles, 4, 5, 6);
        }
    }
}

/// Loads the sums of `count` value tiles, and of the weights when `ones`; zeros when `fresh`.
///
/// # Safety
///
/// `sums` points to as many tiles.
#[inline(always)]
pub(super) unsafe fn load_sums(
    tiles: &Tiles,
    count: usize,
    ones: bool,
    sums: *const f32,
    fresh: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if fresh {
            tile_zero!(tiles, 0);
            tile_zero!(tiles, 1);
            tile_zero!(tiles, 2);
            tile_zero!(tiles, 3);
            tile_zero!(tiles, 4);
            return;
        }
        tile_load!(tiles, 0, sums, 64);
        if count > 1 {
            tile_load!(tiles, 1, sums.add(256), 64);
        }
        if count > 2 {
            tile_load!(tiles, 2, sums.add(512), 64);
        }
        if count > 3 {
            tile_load!(tiles, 3, sums.add(768), 64);
        }
        if ones {
            tile_load!(tiles, 4, sums.add(count * 256), 64);
        }
    }
}

/// Stores what [`load_sums`] loads.
///
/// # Safety
///
/// As there.
#[inline(always)]
pub(super) unsafe fn store_sums(tiles: &Tiles, count: usize, ones: bool, sums: *mut f32) {
    debug_assert!(count <= VALUE_TILES);
    // SAFETY: the caller's promise.
    unsafe {
        tile_store!(tiles, 0, sums, 64);
        if count > 1 {
            tile_store!(tiles, 1, sums.add(256), 64);
        }
        if count > 2 {
            tile_store!(tiles, 2, sums.add(512), 64);
        }
        if count > 3 {
            tile_store!(tiles, 3, sums.add(768), 64);
        }
        if ones {
            tile_store!(tiles, 4, sums.add(count * 256), 64);
        }
    }
}
