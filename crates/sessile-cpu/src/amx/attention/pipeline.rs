//! Three groups of keys in the works at once.
//!
//! The steps of one group: tile products make its scores (A), vector instructions turn them into
//! weights (B), tile products add up the weighted values (C). While B of one group runs, A of the
//! next and C of the previous stand between its instructions; none of the three waits for another,
//! so the tile unit works through the time that the weights take.

use super::rows::Rows;
use super::tiles::{add_values, keep_queries, load_sums, scores, store_scores, store_sums};
use super::{Job, exact};
use crate::bf16::attention::finish;
use crate::bf16::attention::layout::{ROW_TILES, ROWS, TILE, UNIT};

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

/// The products that add up the values of a group, in the order of the work: part by part, so that
/// the sums of one part are in tiles while all units go by.
struct Sums<'a> {
    job: &'a Job<'a>,
    group: Group,
    /// Weights of the group's first unit, and sums of its row tile.
    weights: *const u16,
    sums: *mut f32,
    part: usize,
    unit: usize,
}

impl Sums<'_> {
    /// The next `count` products.
    ///
    /// # Safety
    ///
    /// As [`run`].
    #[inline(always)]
    unsafe fn add<const STEPS: usize>(&mut self, count: usize, mut between: impl FnMut(usize)) {
        for _ in 0..count {
            if self.part == self.job.layout.parts() {
                return;
            }
            let weights = self.weights.wrapping_add(self.unit * TILE);
            // SAFETY: a part and a unit that exist.
            unsafe {
                if self.unit == 0 {
                    load_sums(self.job, self.part, self.sums, self.group.first);
                }
                add_values::<STEPS>(
                    self.job,
                    self.part,
                    self.group.first_unit + self.unit,
                    weights,
                    &mut between,
                );
                self.unit += 1;
                if self.unit == self.group.units {
                    store_sums(self.job, self.part, self.sums);
                    self.part += 1;
                    self.unit = 0;
                }
            }
        }
    }
}

/// Scores that are still in tiles. They are stored when the tile is needed again, a whole unit
/// later: a product takes 52 cycles, and a store that waits for it holds up what is behind it.
struct Unstored([*mut f32; 2]);

impl Unstored {
    /// # Safety
    ///
    /// As [`run`].
    #[inline(always)]
    unsafe fn store<const HALF: usize>(&mut self, job: &Job<'_>) {
        if !self.0[HALF].is_null() {
            // SAFETY: a place of scores.
            unsafe { store_scores::<HALF>(job.tiles, self.0[HALF]) };
            self.0[HALF] = std::ptr::null_mut();
        }
    }
}

/// Computes all rows of a head.
///
/// # Safety
///
/// As [`super::run`]; the head is packed.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
pub(super) unsafe fn run<const STEPS: usize, const DISTANCES: bool>(job: &Job<'_>) {
    let (layout, places) = (job.layout, job.places);
    // Two turns lie half a page apart, not whole pages: loads are not to be taken for the stores
    // of the other turn.
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
    // By value: through a reference, every store of weights would have them loaded again.
    let constants = *job.weights;
    let mut groups = Groups::new(job);
    let mut previous = Group::default();
    let mut current = groups.next();
    let mut unstored = Unstored([std::ptr::null_mut(); 2]);
    // SAFETY: every place is that of a unit, a tile or a row tile that exists.
    unsafe {
        if STEPS == 1 {
            keep_queries(job.tiles, places.q);
        }
        for unit in 0..current.units {
            let to = score_place(0, unit);
            make_scores::<STEPS, 0>(job, &current, unit, |_| {});
            store_scores::<0>(job.tiles, to);
            make_scores::<STEPS, 1>(job, &current, unit, |_| {});
            store_scores::<1>(job.tiles, to.wrapping_add(256));
        }
        let mut turn = 0;
        while current.units + previous.units > 0 {
            let next = groups.next();
            let sums = places
                .sums
                .wrapping_add(previous.slot * layout.sum_tiles() * 256);
            let mut adding = Sums {
                job,
                group: previous,
                weights: weight_place(turn ^ 1, 0),
                sums,
                part: if previous.units == 0 {
                    layout.parts()
                } else {
                    0
                },
                unit: 0,
            };
            let slots = current.units.max(next.units).max(previous.units);
            let share = (layout.parts() * previous.units).div_ceil(slots);
            if STEPS == 1 {
                keep_queries(job.tiles, places.q.wrapping_add(next.tile * TILE));
            }
            for unit in 0..slots {
                let scores = score_place(turn, unit).cast_const();
                let weights = weight_place(turn, unit);
                let key = (current.first_unit + unit) * UNIT;
                let distances = places
                    .distances
                    .wrapping_add(layout.middle() + key)
                    .wrapping_sub(current.tile * ROWS);
                let next_scores = score_place(turn ^ 1, unit);

                let left = if unit < current.units { ROWS } else { 0 };
                let mut rows = Rows::<DISTANCES>::new(&constants, scores, distances, weights, left);

                unstored.store::<0>(job);
                rows.take(2);
                if unit < next.units {
                    make_scores::<STEPS, 0>(job, &next, unit, |count| rows.take(count));
                    unstored.0[0] = next_scores;
                }
                adding.add::<STEPS>(share.div_ceil(2), |count| rows.take(count));
                unstored.store::<1>(job);
                rows.take(2);
                if unit < next.units {
                    make_scores::<STEPS, 1>(job, &next, unit, |count| rows.take(count));
                    unstored.0[1] = next_scores.wrapping_add(256);
                }
                adding.add::<STEPS>(share / 2, |count| rows.take(count));
                rows.take(ROWS);
            }
            let done = !previous.last
                || job.tame && finish::tile(job.head, layout, previous.tile, sums, true);
            // The scores of a group of one unit are wanted at once, and the other way needs all
            // tiles.
            if next.units == 1 || !done {
                unstored.store::<0>(job);
                unstored.store::<1>(job);
            }
            if !done {
                let seen = visible(job, previous.tile - previous.slot);
                exact::tile::<STEPS, DISTANCES>(job, previous.tile, seen, sums);
            }
            previous = current;
            current = next;
            turn ^= 1;
        }
    }
}

/// The scores of a row tile with half `HALF` of a unit.
///
/// # Safety
///
/// As [`run`].
#[inline(always)]
unsafe fn make_scores<const STEPS: usize, const HALF: usize>(
    job: &Job<'_>,
    group: &Group,
    unit: usize,
    between: impl FnMut(usize),
) {
    let steps = if STEPS == 0 { job.layout.steps } else { STEPS };
    let q = job.places.q.wrapping_add(group.tile * steps * TILE);
    let unit = group.first_unit + unit;
    let k = job.places.k.wrapping_add((unit * 2 + HALF) * steps * TILE);
    // SAFETY: the tiles of a row tile and of half a unit that exist.
    unsafe { scores::<STEPS, HALF>(job.tiles, steps, q, k, between) };
}
