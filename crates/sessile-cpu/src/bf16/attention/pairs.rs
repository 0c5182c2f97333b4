//! Attention of one head of one sequence by `vdpbf16ps` (AVX512-BF16). Scalar twin:
//! `crate::scalar::bf16::attention`.
//!
//! The head is packed as for tiles. For eight queries at a time the scores of 32 keys are 16
//! vectors of sums, which become weights without leaving the registers; the weights of up to 512
//! keys wait in L1 until their values are added up. There is no running maximum, for the reasons
//! that the kernel on tiles gives ([`crate::amx::attention`]): the sum of a row's weights tells
//! whether the range sufficed, and if it did not, the 16 rows are computed again relative to their
//! maxima. Which way they go depends on their own sequence alone.

use std::arch::x86_64::*;
use std::ops::Range;

use super::layout::{Layout, Places, ROWS, TILE, UNIT, VALUE_TILES};
use super::softmax::Weights;
use super::{Head, ONE_BITS, finish, pack};
use crate::bf16::pairs::as_pairs;

/// Queries that are worked on together: half a row tile.
const QUERIES: usize = ROWS / 2;

/// Units whose weights are made before values are added up.
const UNITS: usize = 16;

/// Weights of some units, `[unit][query][32]`.
#[repr(C, align(64))]
struct Room([u16; UNITS * QUERIES * UNIT]);

/// Computes one head of one sequence.
///
/// # Safety
///
/// - AVX-512 F, BW, VL, DQ, BF16 and VBMI.
/// - Nobody else reads or writes the columns of this head in the rows of this sequence.
/// - `scratch` has [`super::layout::scratch_floats`] values for this head.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
pub(crate) unsafe fn run(head: &Head<'_>, scratch: &mut [f32]) {
    if head.len() == 0 {
        return;
    }
    let layout = Layout::new(head.len(), head.dim(), head.has_distances());
    // SAFETY: the scratch is as large as the layout says, which all of the following stay inside;
    // the rest is the caller's promise.
    unsafe {
        let places = layout.place(scratch);
        let tame = pack::head(head, &layout, &places);
        let job = Job {
            head,
            layout,
            places,
            weights: Weights::new(head),
        };
        if head.has_distances() {
            job.run::<true>(tame);
        } else {
            job.run::<false>(tame);
        }
    }
}

struct Job<'a> {
    head: &'a Head<'a>,
    layout: Layout,
    places: Places,
    weights: Weights,
}

/// Half a row tile, and the units of keys that it sees.
struct Half {
    /// Number of the first query.
    query: usize,
    /// Its place in the row tile.
    row: usize,
    seen: Range<usize>,
}

impl Job<'_> {
    /// Computes all rows; `tame` says whether the fast way may be tried.
    ///
    /// # Safety
    ///
    /// As [`run`]; the head is packed.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
    unsafe fn run<const DISTANCES: bool>(&self, tame: bool) {
        let mut room = Room([0; UNITS * QUERIES * UNIT]);
        let room = room.0.as_mut_ptr();
        for tile in 0..self.layout.len.div_ceil(ROWS) {
            let queries = tile * ROWS..self.layout.len.min((tile + 1) * ROWS);
            let keys = self.head.spec.visible(&queries, self.layout.len);
            let halves = || {
                queries.clone().step_by(QUERIES).map(|query| Half {
                    query,
                    row: query % ROWS,
                    seen: keys.start / UNIT..keys.end.div_ceil(UNIT),
                })
            };
            // SAFETY: a row tile of the head; the rest is the caller's promise.
            unsafe {
                let done = tame && {
                    let none = [_mm512_setzero_ps(); QUERIES];
                    halves().for_each(|half| self.half::<DISTANCES, false>(&half, &none, room));
                    finish::tile(self.head, &self.layout, tile, self.places.sums, true)
                };
                if !done {
                    for half in halves() {
                        let tops = self.tops::<DISTANCES>(&half);
                        self.half::<DISTANCES, true>(&half, &tops, room);
                    }
                    finish::tile(self.head, &self.layout, tile, self.places.sums, false);
                }
            }
        }
    }

    /// The sums of weighted values of eight queries, and of their weights. `tops` are
    /// taken away from the bits of weights (`EXACT` only).
    ///
    /// # Safety
    ///
    /// As [`Job::run`].
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
    unsafe fn half<const DISTANCES: bool, const EXACT: bool>(
        &self,
        half: &Half,
        tops: &[__m512; QUERIES],
        room: *mut u16,
    ) {
        let layout = &self.layout;
        let constants = self.weights;
        let ones = as_pairs(_mm512_set1_epi16(0x3f80));
        let (one, nothing) = (_mm512_set1_ps(ONE_BITS), _mm512_set1_ps(-1e30));
        let mut totals = [_mm512_setzero_ps(); QUERIES];
        for first in half.seen.clone().step_by(UNITS) {
            let units = first..half.seen.end.min(first + UNITS);
            for unit in units.clone() {
                // SAFETY: a unit that exists; its weights have their place in the room.
                unsafe {
                    let scores = self.scores(half, unit);
                    let to = room.add((unit - first) * QUERIES * UNIT);
                    for (query, scores) in scores.into_iter().enumerate() {
                        let mut bits =
                            constants.linear::<DISTANCES>(scores, self.added(half, unit, query));
                        if EXACT {
                            bits = bits
                                .map(|bits| _mm512_add_ps(_mm512_sub_ps(bits, tops[query]), one));
                        }
                        if unit + 1 == layout.units {
                            let exist = self.exist(unit);
                            bits = [0, 1].map(|i| _mm512_mask_blend_ps(exist[i], nothing, bits[i]));
                        }
                        let weights = constants.weights(bits);
                        _mm512_store_si512(to.add(query * UNIT).cast(), weights);
                        totals[query] = _mm512_dpbf16_ps(totals[query], as_pairs(weights), ones);
                    }
                }
            }
            let fresh = first == half.seen.start;
            for part in 0..layout.parts() {
                // SAFETY: units and a part that exist, whose weights are in the room.
                unsafe {
                    match layout.part_tiles(part) {
                        1 => self.values::<1>(half, part, units.clone(), room, fresh),
                        _ => self.values::<2>(half, part, units.clone(), room, fresh),
                    }
                }
            }
        }
        let place = layout.dim / 16 * 256 + layout.dim % 16;
        for (query, total) in totals.into_iter().enumerate() {
            // SAFETY: the place of the row's sum of weights.
            unsafe {
                let to = self.places.sums.add(place + (half.row + query) * 16);
                *to = _mm512_reduce_add_ps(total);
            }
        }
    }

    /// The scores of eight queries with the keys of a unit.
    ///
    /// # Safety
    ///
    /// As [`Job::run`]; the unit exists.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn scores(&self, half: &Half, unit: usize) -> [[__m512; 2]; QUERIES] {
        let layout = &self.layout;
        let mut sums = [[_mm512_setzero_ps(); 2]; QUERIES];
        for step in 0..layout.steps {
            let tile = (half.query / ROWS * layout.steps + step) * TILE;
            let q = self.places.q.wrapping_add(tile + half.row * 32);
            let k = [0, 1].map(|half| {
                let tile = ((unit * 2 + half) * layout.steps + step) * TILE;
                self.places.k.wrapping_add(tile)
            });
            for pair in 0..(layout.dim - step * 32).min(32).div_ceil(2) {
                // SAFETY: inside the tiles of the queries and of the keys.
                unsafe {
                    let keys = k.map(|k| as_pairs(_mm512_load_si512(k.add(pair * 32).cast())));
                    for (query, sums) in sums.iter_mut().enumerate() {
                        let at = q.add(query * 32 + pair * 2).cast::<i32>();
                        let x = as_pairs(_mm512_set1_epi32(*at));
                        for (sum, keys) in sums.iter_mut().zip(keys) {
                            *sum = _mm512_dpbf16_ps(*sum, keys, x);
                        }
                    }
                }
            }
        }
        sums
    }

    /// Adds the weighted values of `T` tiles to their sums.
    ///
    /// # Safety
    ///
    /// As [`Job::run`]; the weights of the units are in the room.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn values<const T: usize>(
        &self,
        half: &Half,
        part: usize,
        units: Range<usize>,
        room: *const u16,
        fresh: bool,
    ) {
        let layout = &self.layout;
        let place = |query: usize, tile: usize| {
            let tile = (part * VALUE_TILES + tile) * 256;
            self.places
                .sums
                .wrapping_add(tile + (half.row + query) * 16)
        };
        let mut sums = [[_mm512_setzero_ps(); T]; QUERIES];
        if !fresh {
            for (query, sums) in sums.iter_mut().enumerate() {
                for (tile, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: a row of a tile of sums.
                    *sum = unsafe { _mm512_load_ps(place(query, tile)) };
                }
            }
        }
        for (index, unit) in units.enumerate() {
            let weights = room.wrapping_add(index * QUERIES * UNIT);
            let v = unit * layout.value_tiles + part * VALUE_TILES;
            let v = self.places.v.wrapping_add(v * TILE);
            for pair in 0..UNIT / 2 {
                // SAFETY: inside the tiles of the values and the weights of the unit.
                unsafe {
                    let values: [__m512bh; T] = std::array::from_fn(|tile| {
                        as_pairs(_mm512_load_si512(v.add(tile * TILE + pair * 32).cast()))
                    });
                    for (query, sums) in sums.iter_mut().enumerate() {
                        let at = weights.add(query * UNIT + pair * 2).cast::<i32>();
                        let x = as_pairs(_mm512_set1_epi32(*at));
                        for (sum, values) in sums.iter_mut().zip(values) {
                            *sum = _mm512_dpbf16_ps(*sum, values, x);
                        }
                    }
                }
            }
        }
        for (query, sums) in sums.into_iter().enumerate() {
            for (tile, sum) in sums.into_iter().enumerate() {
                // SAFETY: a row of a tile of sums.
                unsafe { _mm512_store_ps(place(query, tile), sum) };
            }
        }
    }

    /// The greatest bits of each of eight queries; NaN where a score is NaN, which makes every
    /// weight zero, and so the result NaN.
    ///
    /// # Safety
    ///
    /// As [`Job::run`].
    #[cold]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
    unsafe fn tops<const DISTANCES: bool>(&self, half: &Half) -> [__m512; QUERIES] {
        let mut tops = [_mm512_set1_ps(f32::NEG_INFINITY); QUERIES];
        let mut unordered = [false; QUERIES];
        for unit in half.seen.clone() {
            let exist = self.exist(unit);
            // SAFETY: a unit that exists.
            unsafe {
                for (query, scores) in self.scores(half, unit).into_iter().enumerate() {
                    let distances = self.added(half, unit, query);
                    let bits = self.weights.linear::<DISTANCES>(scores, distances);
                    for (bits, exist) in bits.into_iter().zip(exist) {
                        tops[query] = _mm512_mask_max_ps(tops[query], exist, tops[query], bits);
                        let odd = _mm512_mask_cmp_ps_mask::<_CMP_UNORD_Q>(exist, bits, bits);
                        unordered[query] |= odd != 0;
                    }
                }
            }
        }
        std::array::from_fn(|query| {
            let top = _mm512_reduce_max_ps(tops[query]);
            _mm512_set1_ps(if unordered[query] { f32::NAN } else { top })
        })
    }

    /// Which keys of a unit there are.
    fn exist(&self, unit: usize) -> [u16; 2] {
        let exist = u32::MAX >> (UNIT - (self.layout.len - unit * UNIT).min(UNIT));
        [exist as u16, (exist >> 16) as u16]
    }

    /// Where that is what is added to the scores of a query with a unit.
    fn added(&self, half: &Half, unit: usize, query: usize) -> *const f32 {
        let at = self.layout.middle() + unit * UNIT;
        let at = at.wrapping_sub(half.query + query);
        self.places.distances.wrapping_add(at)
    }
}
