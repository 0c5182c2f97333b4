//! The tile instructions of attention: scores of half a unit, and sums of weighted values.
//!
//! Tiles 0–3 hold sums of values, 4 the sums of weights, 5 scores; 6 and 7 are operands. With at
//! most 32 columns there are two tiles of values, and so tile 3 keeps the queries and tile 2 the
//! column of ones.

use super::layout::{TILE, VALUE_TILES};
use crate::amx::tile::{Tiles, tile_load, tile_mul, tile_store, tile_zero};

/// Keeps the queries of a row tile for [`scores`] (`STEPS` of 1).
///
/// # Safety
///
/// `q` points to a tile.
#[inline(always)]
pub(super) unsafe fn keep_queries(tiles: &Tiles, q: *const u16) {
    // SAFETY: the caller's promise.
    unsafe { tile_load!(tiles, 3, q, 64) };
}

/// Keeps a column of ones for [`add_values`] (`STEPS` of 1).
///
/// # Safety
///
/// `ones` points to a tile.
#[inline(always)]
pub(super) unsafe fn keep_ones(tiles: &Tiles, ones: *const u16) {
    // SAFETY: the caller's promise.
    unsafe { tile_load!(tiles, 2, ones, 64) };
}

/// The scores of 16 queries with 16 keys, in tile 5. `STEPS` of 0: `steps`; of 1: with the queries
/// that were kept.
///
/// # Safety
///
/// `q` and `k` point to `steps` tiles.
#[inline(always)]
pub(super) unsafe fn scores<const STEPS: usize>(
    tiles: &Tiles,
    steps: usize,
    q: *const u16,
    k: *const u16,
) {
    tile_zero!(tiles, 5);
    if STEPS == 1 {
        // SAFETY: the caller's promise.
        unsafe { tile_load!(tiles, 7, k, 64) };
        tile_mul!(tiles, 5, 3, 7);
        return;
    }
    let steps = if STEPS == 0 { steps } else { STEPS };
    for step in 0..steps {
        // SAFETY: the caller's promise.
        unsafe {
            tile_load!(tiles, 6, q.wrapping_add(step * TILE), 64);
            tile_load!(tiles, 7, k.wrapping_add(step * TILE), 64);
        }
        tile_mul!(tiles, 5, 6, 7);
    }
}

/// Stores what [`scores`] made.
///
/// # Safety
///
/// `to` points to a tile.
#[inline(always)]
pub(super) unsafe fn store_scores(tiles: &Tiles, to: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe { tile_store!(tiles, 5, to, 64) };
}

/// Adds the weighted values of one unit to the sums in tiles 0 and 1, and the weights to tile 4
/// with the ones that were kept (`STEPS` of 1).
///
/// # Safety
///
/// `weights` points to a tile, `values` to `count` tiles.
#[inline(always)]
pub(super) unsafe fn add_values<const STEPS: usize>(
    tiles: &Tiles,
    count: usize,
    ones: bool,
    weights: *const u16,
    values: *const u16,
) {
    // SAFETY: the caller's promise.
    unsafe {
        tile_load!(tiles, 6, weights, 64);
        tile_load!(tiles, 7, values, 64);
        tile_mul!(tiles, 0, 6, 7);
        if count > 1 {
            tile_load!(tiles, 7, values.wrapping_add(TILE), 64);
            tile_mul!(tiles, 1, 6, 7);
        }
        if STEPS == 1 && ones {
            tile_mul!(tiles, 4, 6, 2);
        }
    }
}

/// Adds the other weighted values of the unit to tiles 2 and 3, and the weights to tile 4
/// (`STEPS` other than 1).
///
/// # Safety
///
/// As [`add_values`]; `ones` points to a tile or is null.
#[inline(always)]
pub(super) unsafe fn add_more_values(
    tiles: &Tiles,
    count: usize,
    weights: *const u16,
    values: *const u16,
    ones: *const u16,
) {
    // SAFETY: the caller's promise.
    unsafe {
        tile_load!(tiles, 6, weights, 64);
        if count > 2 {
            tile_load!(tiles, 7, values.wrapping_add(2 * TILE), 64);
            tile_mul!(tiles, 2, 6, 7);
        }
        if count > 3 {
            tile_load!(tiles, 7, values.wrapping_add(3 * TILE), 64);
            tile_mul!(tiles, 3, 6, 7);
        }
        if !ones.is_null() {
            tile_load!(tiles, 7, ones, 64);
            tile_mul!(tiles, 4, 6, 7);
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
            if count > 2 {
                tile_zero!(tiles, 2);
                tile_zero!(tiles, 3);
            }
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
