//! The way that always works: the maximum of every row first, then weights relative to it.
//!
//! Taken for the tiles of 16 rows whose scores the fast way can not hold, so it is plain: twice
//! the scores, nothing interleaved.

use std::arch::x86_64::*;

use super::Job;
use super::rows::load_scores;
use super::tiles::{add_values, keep_queries, load_sums, scores, store_scores, store_sums};
use crate::bf16::attention::layout::{ROWS, TILE, UNIT};
use crate::bf16::attention::{ONE_BITS, finish};

#[repr(C, align(64))]
struct Scores([f32; 512]);

#[repr(C, align(64))]
struct RowWeights([u16; TILE]);

/// Computes row tile `tile` over the units `seen.0..seen.1`.
///
/// # Safety
///
/// As [`super::run`]; the head is packed, `sums` has the tiles of one row tile.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
#[cold]
pub(super) unsafe fn tile<const STEPS: usize, const DISTANCES: bool>(
    job: &Job<'_>,
    tile: usize,
    seen: (usize, usize),
    sums: *mut f32,
) {
    let (layout, places) = (job.layout, job.places);
    let mut room = Scores([0.0; 512]);
    let room = (&raw mut room).cast::<f32>();
    let mut weights = RowWeights([0; TILE]);
    let weights = (&raw mut weights).cast::<u16>();
    // SAFETY: tiles and units that exist; `room` is two tiles, `weights` one.
    unsafe {
        let make_scores = |unit: usize| {
            let q = places.q.add(tile * layout.steps * TILE);
            if STEPS == 1 {
                keep_queries(job.tiles, q);
            }
            let k = places.k.add(unit * 2 * layout.steps * TILE);
            scores::<STEPS, 0>(job.tiles, layout.steps, q, k, |_| {});
            store_scores::<0>(job.tiles, room);
            scores::<STEPS, 1>(
                job.tiles,
                layout.steps,
                q,
                k.add(layout.steps * TILE),
                |_| {},
            );
            store_scores::<1>(job.tiles, room.add(256));
        };
        let bits = |unit: usize, row: usize| {
            let at = layout.middle() + unit * UNIT - (tile * ROWS + row);
            let scores = load_scores(room.add(row * 16));
            job.weights
                .linear::<DISTANCES>(scores, places.distances.wrapping_add(at))
        };

        // Which keys of a unit there are, as two masks.
        let exist = |unit: usize| {
            let exist = u32::MAX >> (UNIT - (layout.len - unit * UNIT).min(UNIT));
            [exist as u16, (exist >> 16) as u16]
        };

        let mut tops = [_mm512_set1_ps(f32::NEG_INFINITY); ROWS];
        let mut unordered = [false; ROWS];
        for unit in seen.0..seen.1 {
            make_scores(unit);
            let [first, second] = exist(unit);
            for row in 0..ROWS {
                let [low, high] = bits(unit, row);
                tops[row] = _mm512_mask_max_ps(tops[row], first, tops[row], low);
                tops[row] = _mm512_mask_max_ps(tops[row], second, tops[row], high);
                let odd = _mm512_mask_cmp_ps_mask::<_CMP_UNORD_Q>(first, low, low)
                    | _mm512_mask_cmp_ps_mask::<_CMP_UNORD_Q>(second, high, high);
                unordered[row] |= odd != 0;
            }
        }
        // A NaN among the scores makes every weight zero, and so the result NaN.
        let tops: [__m512; ROWS] = std::array::from_fn(|row| {
            let top = _mm512_reduce_max_ps(tops[row]);
            _mm512_set1_ps(if unordered[row] { f32::NAN } else { top })
        });
        let one = _mm512_set1_ps(ONE_BITS);
        let nothing = _mm512_set1_ps(-1e30);

        for part in 0..layout.parts() {
            load_sums(job, part, sums, true);
            for unit in seen.0..seen.1 {
                make_scores(unit);
                let [first, second] = exist(unit);
                for (row, &top) in tops.iter().enumerate() {
                    let [low, high] = bits(unit, row);
                    let low = _mm512_add_ps(_mm512_sub_ps(low, top), one);
                    let high = _mm512_add_ps(_mm512_sub_ps(high, top), one);
                    // Beyond the last key, a score of nothing may be far above the top.
                    let bits = [
                        _mm512_mask_blend_ps(first, nothing, low),
                        _mm512_mask_blend_ps(second, nothing, high),
                    ];
                    _mm512_store_si512(weights.add(row * 32).cast(), job.weights.weights(bits));
                }
                add_values::<STEPS>(job, part, unit, weights, |_| {});
            }
            store_sums(job, part, sums);
        }
        finish::tile(job.head, layout, tile, sums, false);
    }
}
