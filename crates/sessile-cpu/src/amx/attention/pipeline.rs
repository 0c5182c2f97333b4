//! Three groups of keys in the works at once.
//!
//! The steps of one group: tile products make its scores (A), vector instructions turn them into
//! weights (B), tile products add up the weighted values (C). While B of one group runs, A of the
//! next and C of the previous stand between its instructions; none of the three waits for another,
//! so the tile unit works through the time that the weights take.

use super::layout::{ROW_TILES, ROWS, TILE, UNIT, VALUE_TILES};
use super::tiles::{
    add_more_values, add_values, keep_ones, keep_queries, load_sums, scores, store_scores,
    store_sums,
};
use super::{Job, exact, finish};

/// Some units of keys with one row tile of queries.
#[derive(Clone, Copy, Default)]
struct Group {
    /// Row tile, and its place among those that share the keys in the cache.
    tile: usize,
    slot: usize,
    first_unit: usize,
    /// 0: no group at all.
    units: usize,
    /// Whether it is the first, or the last, of its row tile.
    first: bool,
    last: bool,
}

/// The groups of a head in the order of the work.
struct Groups<'a> {
    job: &'a Job<'a>,
    next: Group,
    /// Units that the current block of row tiles sees.
    visible: (usize, usize),
}

impl<'a> Groups<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        let visible = visible(job, 0);
        let next = Group {
            first_unit: visible.0,
            ..Group::default()
        };
        Groups { job, next, visible }
    }

    /// The next group, or one without units.
    #[inline(always)]
    fn next(&mut self) -> Group {
        let existing = self.job.layout.len.div_ceil(ROWS);
        let at = self.next;
        if at.tile >= existing {
            return Group::default();
        }
        let units = self.job.layout.group.min(self.visible.1 - at.first_unit);
        let group = Group {
            units,
            first: at.first_unit == self.visible.0,
            last: at.first_unit + units == self.visible.1,
            ..at
        };
        if at.slot + 1 < ROW_TILES && at.tile + 1 < existing {
            self.next.slot += 1;
            self.next.tile += 1;
        } else if !group.last {
            self.next.tile -= at.slot;
            self.next.slot = 0;
            self.next.first_unit += units;
        } else {
            self.next.tile += 1;
            self.next.slot = 0;
            if self.next.tile < existing {
                self.visible = visible(self.job, self.next.tile);
            }
            self.next.first_unit = self.visible.0;
        }
        group
    }
}

/// The units that the block of row tiles from `tile` on sees.
fn visible(job: &Job<'_>, tile: usize) -> (usize, usize) {
    let first = tile * ROWS;
    let last = (first + ROW_TILES * ROWS).min(job.layout.len) - 1;
    let keys = job.head.spec.visible(&(first..last + 1), job.layout.len);
    (keys.start / UNIT, keys.end.div_ceil(UNIT))
}

/// Computes all rows of a head.
///
/// # Safety
///
/// As [`super::run`]; the head is packed.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
pub(super) unsafe fn run<const STEPS: usize, const DISTANCES: bool>(job: &Job<'_>) {
    let (layout, places) = (job.layout, job.places);
    let score_place = |turn: usize, unit: usize| {
        places
            .scores
            .wrapping_add((turn * (layout.group + 1) + unit) * 512)
    };
    let weight_place = |turn: usize, unit: usize| {
        places
            .weights
            .wrapping_add((turn * (layout.group + 2) + unit) * TILE)
    };
    let sum_place = |group: &Group| {
        places
            .sums
            .wrapping_add(group.slot * layout.sum_tiles() * 256)
    };
    let first_values = layout.value_tiles.min(VALUE_TILES);
    let more_values = layout.value_tiles - first_values;
    let ones = |unit: usize| {
        if !layout.ones_apart() {
            std::ptr::null()
        } else if unit + 1 == layout.units {
            places.ones.wrapping_add(TILE).cast_const()
        } else {
            places.ones.cast_const()
        }
    };
    // The ones go with the last values.
    let first_ones = |unit: usize| {
        if more_values == 0 {
            ones(unit)
        } else {
            std::ptr::null()
        }
    };

    let mut groups = Groups::new(job);
    let mut previous = Group::default();
    let mut current = groups.next();
    // By value: through a reference, every store of weights would have them loaded again.
    let constants = *job.weights;
    let sum_ones = layout.ones_apart() && more_values == 0;
    // SAFETY: every place is that of a unit, a tile or a row tile that exists.
    unsafe {
        if STEPS == 1 {
            keep_queries(job.tiles, places.q);
        }
        for unit in 0..current.units {
            for half in 0..2 {
                make_scores::<STEPS>(job, &current, unit, half);
                store_scores(job.tiles, score_place(0, unit).wrapping_add(half * 256));
            }
        }
        let mut turn = 0;
        while current.units + previous.units > 0 {
            let next = groups.next();
            let sums = sum_place(&previous);
            if STEPS == 1 {
                keep_queries(job.tiles, places.q.wrapping_add(next.tile * TILE));
            }
            for unit in 0..current.units.max(next.units).max(previous.units) {
                let scores = score_place(turn, unit).cast_const();
                let weights = weight_place(turn, unit);
                let key = (current.first_unit + unit) * UNIT;
                let distances = places
                    .distances
                    .wrapping_add(layout.middle() + key)
                    .wrapping_sub(current.tile * ROWS);
                let next_scores = score_place(turn ^ 1, unit);
                let at = previous.first_unit + unit;
                let weighted = weight_place(turn ^ 1, unit);
                let values = places.v.wrapping_add(at * layout.value_tiles * TILE);

                if unit < next.units {
                    make_scores::<STEPS>(job, &next, unit, 0);
                }
                if unit < previous.units {
                    if unit == 0 {
                        load_sums(job.tiles, first_values, sum_ones, sums, previous.first);
                    }
                    if STEPS == 1 && sum_ones && (unit == 0 || at + 1 == layout.units) {
                        keep_ones(job.tiles, ones(at));
                    }
                    add_values::<STEPS>(job.tiles, first_values, sum_ones, weighted, values);
                }
                if unit < current.units {
                    constants.eight_rows::<DISTANCES, 0>(scores, distances, weights);
                }
                if unit < next.units {
                    store_scores(job.tiles, next_scores);
                    make_scores::<STEPS>(job, &next, unit, 1);
                }
                if STEPS != 1 && unit < previous.units {
                    let ones = first_ones(at);
                    add_more_values(job.tiles, first_values, weighted, values, ones);
                }
                if unit < current.units {
                    constants.eight_rows::<DISTANCES, 8>(scores, distances, weights);
                }
                if unit < next.units {
                    store_scores(job.tiles, next_scores.wrapping_add(256));
                }
                if unit + 1 == previous.units {
                    store_sums(job.tiles, first_values, sum_ones, sums);
                }
            }
            if previous.units > 0 {
                if more_values > 0 {
                    let sums = sums.wrapping_add(VALUE_TILES * 256);
                    load_sums(
                        job.tiles,
                        more_values,
                        layout.ones_apart(),
                        sums,
                        previous.first,
                    );
                    for unit in 0..previous.units {
                        let at = previous.first_unit + unit;
                        let values = places
                            .v
                            .wrapping_add((at * layout.value_tiles + VALUE_TILES) * TILE);
                        let weights = weight_place(turn ^ 1, unit);
                        add_values::<STEPS>(job.tiles, more_values, false, weights, values);
                        add_more_values(job.tiles, more_values, weights, values, ones(at));
                    }
                    store_sums(job.tiles, more_values, layout.ones_apart(), sums);
                }
                if previous.last && !(job.tame && finish::tile(job, previous.tile, sums, true)) {
                    let seen = visible(job, previous.tile - previous.slot);
                    exact::tile::<STEPS, DISTANCES>(job, previous.tile, seen, sums);
                }
            }
            previous = current;
            current = next;
            turn ^= 1;
        }
    }
}

/// The scores of a row tile with half a unit, in tile 5.
///
/// # Safety
///
/// As [`run`].
#[inline(always)]
unsafe fn make_scores<const STEPS: usize>(job: &Job<'_>, group: &Group, unit: usize, half: usize) {
    let steps = if STEPS == 0 { job.layout.steps } else { STEPS };
    let q = job.places.q.wrapping_add(group.tile * steps * TILE);
    let unit = group.first_unit + unit;
    let k = job.places.k.wrapping_add((unit * 2 + half) * steps * TILE);
    // SAFETY: the tiles of a row tile and of half a unit that exist.
    unsafe { scores::<STEPS>(job.tiles, steps, q, k) };
}
