//! The tile instructions of attention: scores of half a unit, and sums of weighted values.
//!
//! Tiles 0 and 1 hold sums of values, 4 the sums of weights; 5 and 2 the scores of the two halves
//! of a unit; 3 the queries, where one tile holds them all; 6 and 7 are operands.
//!
//! Every few tile instructions, `between` is called with a number of rows: vector work that fits
//! there. In longer turns the two units wait for each other (16 rows at once, or 8: a unit takes
//! 55 ns, where one or two at a time take 42).

use super::Job;
use crate::amx::tile::{Tiles, tile_load, tile_mul, tile_store, tile_zero};
use crate::bf16::attention::layout::{TILE, VALUE_TILES};

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

macro_rules! scores {
    ($tile:literal, $tiles:expr, $steps:expr, $q:expr, $k:expr, $between:expr) => {{
        tile_zero!($tiles, $tile);
        if STEPS == 1 {
            // SAFETY: the caller's promise.
            unsafe { tile_load!($tiles, 7, $k, 64) };
            $between(1);
            tile_mul!($tiles, $tile, 3, 7);
            $between(1);
            return;
        }
        let steps = if STEPS == 0 { $steps } else { STEPS };
        for step in 0..steps {
            // SAFETY: the caller's promise.
            unsafe {
                tile_load!($tiles, 6, $q.wrapping_add(step * TILE), 64);
                tile_load!($tiles, 7, $k.wrapping_add(step * TILE), 64);
            }
            tile_mul!($tiles, $tile, 6, 7);
            $between(1);
        }
    }};
}

/// The scores of 16 queries with 16 keys, half `HALF` of a unit. `STEPS` of 0: `steps`; of 1: with
/// the queries that were kept.
///
/// # Safety
///
/// `q` and `k` point to `steps` tiles.
#[inline(always)]
pub(super) unsafe fn scores<const STEPS: usize, const HALF: usize>(
    tiles: &Tiles,
    steps: usize,
    q: *const u16,
    k: *const u16,
    mut between: impl FnMut(usize),
) {
    if HALF == 0 {
        scores!(5, tiles, steps, q, k, between);
    } else {
        scores!(2, tiles, steps, q, k, between);
    }
}

/// Stores what [`scores`] made.
///
/// # Safety
///
/// `to` points to a tile.
#[inline(always)]
pub(super) unsafe fn store_scores<const HALF: usize>(tiles: &Tiles, to: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        if HALF == 0 {
            tile_store!(tiles, 5, to, 64);
        } else {
            tile_store!(tiles, 2, to, 64);
        }
    }
}

/// Adds the weighted values of a part of a unit to the sums, and the weights where they go with
/// the part.
///
/// # Safety
///
/// `weights` points to a tile; the unit and the part exist.
#[inline(always)]
pub(super) unsafe fn add_values<const STEPS: usize>(
    job: &Job<'_>,
    part: usize,
    unit: usize,
    weights: *const u16,
    mut between: impl FnMut(usize),
) {
    let (layout, tiles) = (job.layout, job.tiles);
    let first = part * VALUE_TILES;
    let values = job
        .places
        .v
        .wrapping_add((unit * layout.value_tiles + first) * TILE);
    // With more steps there are more products to stand between.
    let load = usize::from(STEPS == 1);
    // SAFETY: the caller's promise.
    unsafe {
        tile_load!(tiles, 6, weights, 64);
        between(load);
        tile_load!(tiles, 7, values, 64);
        between(load);
        tile_mul!(tiles, 0, 6, 7);
        between(1);
        if layout.part_tiles(part) > 1 {
            tile_load!(tiles, 7, values.wrapping_add(TILE), 64);
            between(load);
            tile_mul!(tiles, 1, 6, 7);
            between(1);
        }
        if layout.part_has_ones(part) {
            let last = usize::from(unit + 1 == layout.units);
            tile_load!(tiles, 7, job.places.ones.wrapping_add(last * TILE), 64);
            between(load);
            tile_mul!(tiles, 4, 6, 7);
            between(1);
        }
    }
}

/// Loads the sums of a part of a row tile whose sums are at `sums`; zeros when `fresh`.
///
/// # Safety
///
/// `sums` points to the tiles of a row tile.
#[inline(always)]
pub(super) unsafe fn load_sums(job: &Job<'_>, part: usize, sums: *const f32, fresh: bool) {
    let tiles = job.tiles;
    // SAFETY: the caller's promise.
    unsafe {
        if fresh {
            tile_zero!(tiles, 0);
            tile_zero!(tiles, 1);
            tile_zero!(tiles, 4);
            return;
        }
        let sums = sums.wrapping_add(part * VALUE_TILES * 256);
        let count = job.layout.part_tiles(part);
        tile_load!(tiles, 0, sums, 64);
        if count > 1 {
            tile_load!(tiles, 1, sums.wrapping_add(256), 64);
        }
        if job.layout.part_has_ones(part) {
            tile_load!(tiles, 4, sums.wrapping_add(count * 256), 64);
        }
    }
}

/// Stores what [`load_sums`] loads.
///
/// # Safety
///
/// As there.
#[inline(always)]
pub(super) unsafe fn store_sums(job: &Job<'_>, part: usize, sums: *mut f32) {
    let tiles = job.tiles;
    let sums = sums.wrapping_add(part * VALUE_TILES * 256);
    let count = job.layout.part_tiles(part);
    // SAFETY: the caller's promise.
    unsafe {
        tile_store!(tiles, 0, sums, 64);
        if count > 1 {
            tile_store!(tiles, 1, sums.wrapping_add(256), 64);
        }
        if job.layout.part_has_ones(part) {
            tile_store!(tiles, 4, sums.wrapping_add(count * 256), 64);
        }
    }
}
