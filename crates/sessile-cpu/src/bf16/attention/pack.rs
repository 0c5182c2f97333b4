//! Puts the queries, keys and values of one head into tiles, rotating them on the way.

use std::arch::x86_64::*;

use super::layout::{Layout, Places, ROWS, TILE, UNIT};
use super::softmax;
use super::{BITS_PER_UNIT, Head};
use crate::bf16::from_bf16;
use crate::rows::Rows;

/// 1.0 in bf16.
const ONE: u32 = 0x3f80;

/// Packs everything that the tiles of this head need. Says whether all scores are small enough to
/// become integers, which NaN and infinity are not.
///
/// # Safety
///
/// AVX-512 F, BW, VL, DQ and BF16; `places` are those of `layout`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
pub(crate) unsafe fn head(head: &Head<'_>, layout: &Layout, places: &Places) -> bool {
    let tile_row = layout.steps * TILE;
    let mut largest = [_mm512_setzero_si512(); 2];
    let mut most_added = 0.0;
    let mut keys = Aligned([0; 4 * TILE]);
    let keys = keys.0.as_mut_ptr();
    // SAFETY: every tile is inside its place; `keys` holds the most steps there can be.
    unsafe {
        for tile in 0..layout.row_tiles() {
            let to = places.q.add(tile * tile_row);
            rows(head, layout, head.q, tile * ROWS, to);
            largest[0] = magnitudes(largest[0], to, layout.steps);
        }
        for tile in 0..2 * layout.units {
            rows(head, layout, head.k, tile * ROWS, keys);
            largest[1] = magnitudes(largest[1], keys, layout.steps);
            for step in 0..layout.steps {
                let to = places.k.add((tile * layout.steps + step) * TILE);
                transpose(keys.add(step * TILE).cast(), to.cast());
            }
        }
        for unit in 0..layout.units {
            for tile in 0..layout.value_tiles {
                let to = places.v.add((unit * layout.value_tiles + tile) * TILE);
                values(head, layout, unit * UNIT, tile, to);
            }
        }
        if layout.ones_apart() {
            values(head, layout, 0, layout.value_tiles, places.ones);
            let last = (layout.units - 1) * UNIT;
            values(
                head,
                layout,
                last,
                layout.value_tiles,
                places.ones.add(TILE),
            );
        }
        if head.has_distances() {
            most_added = distances(head, layout, places.distances);
        }
        let [q, k] = largest.map(|values| {
            let pairs = _mm512_max_epu32(
                _mm512_and_si512(values, _mm512_set1_epi32(0xffff)),
                _mm512_srli_epi32::<16>(values),
            );
            from_bf16(_mm512_reduce_max_epu32(pairs) as u16)
        });
        let bits = head.spec.scale.abs() * BITS_PER_UNIT;
        // Half of what an integer holds. Not true of NaN.
        layout.dim as f32 * q * k * bits + most_added < (1 << 30) as f32
    }
}

/// The largest magnitudes, as 32 numbers of 16 bits, of `largest` and of some tiles of bf16.
///
/// # Safety
///
/// AVX-512 F and BW; `tiles` points to `count` tiles at a cache line.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn magnitudes(largest: __m512i, tiles: *const u16, count: usize) -> __m512i {
    (0..count * ROWS).fold(largest, |largest, row| {
        // SAFETY: row `row` of the tiles.
        let values = unsafe { _mm512_load_si512(tiles.add(row * 32).cast()) };
        _mm512_max_epu16(largest, _mm512_and_si512(values, _mm512_set1_epi16(0x7fff)))
    })
}

/// Room for 16 rows of at most 128 columns.
#[repr(C, align(64))]
struct Aligned([u16; 4 * TILE]);

/// Packs 16 rows of queries or keys as `[step][16][32]`, rotated. Rows beyond the last and columns
/// beyond the head are zero.
///
/// # Safety
///
/// As [`head`]; `to` has `layout.steps` tiles.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn rows(head: &Head<'_>, layout: &Layout, x: Rows<'_, u16>, first: usize, to: *mut u16) {
    let exist = ROWS.min(layout.len.saturating_sub(first));
    // SAFETY: all stores are inside the tiles at `to`; loads are masked to the columns of the head.
    unsafe {
        if exist < ROWS || !layout.dim.is_multiple_of(32) {
            std::slice::from_raw_parts_mut(to, layout.steps * TILE).fill(0);
        }
        for row in 0..exist {
            let from = x.row(first + row).as_ptr();
            let to = to.add(row * 32);
            let Some(table) = head.spec.rotary else {
                for step in 0..layout.steps {
                    let mask = u32::MAX >> (32 - (layout.dim - step * 32).min(32));
                    let values = _mm512_maskz_loadu_epi16(mask, from.add(step * 32).cast());
                    _mm512_store_si512(to.add(step * TILE).cast(), values);
                }
                continue;
            };
            let half = layout.dim / 2;
            let angles = table.row(first + row).as_ptr();
            for at in (0..half).step_by(16) {
                let count = (half - at).min(16);
                let mask = (0xffff_u32 >> (16 - count)) as u16;
                let x = widen(_mm256_maskz_loadu_epi16(mask, from.add(at).cast()));
                let y = widen(_mm256_maskz_loadu_epi16(mask, from.add(half + at).cast()));
                let cos = _mm512_maskz_loadu_ps(mask, angles.add(at));
                let sin = _mm512_maskz_loadu_ps(mask, angles.add(half + at));
                let left = _mm512_fmsub_ps(x, cos, _mm512_mul_ps(y, sin));
                let right = _mm512_fmadd_ps(y, cos, _mm512_mul_ps(x, sin));
                store(to, TILE, at, mask, left);
                store(to, TILE, half + at, mask, right);
            }
        }
    }
}

/// Stores up to 16 neighbouring columns from `column` on, rounded to bf16, into a row that is cut
/// into pieces of 32 columns `stride` elements apart.
///
/// # Safety
///
/// AVX-512 F, BW, VL and BF16; the columns of `mask` lie in the row.
#[inline(always)]
pub(crate) unsafe fn store(to: *mut u16, stride: usize, column: usize, mask: u16, values: __m512) {
    // SAFETY: masked to the columns that exist, in two pieces where they straddle the cut.
    unsafe {
        let values = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values));
        let (piece, at) = (column / 32, column % 32);
        let here = to.add(piece * stride);
        if at <= 16 {
            _mm256_mask_storeu_epi16(here.add(at).cast(), mask, values);
        } else {
            let fit = (1_u16 << (32 - at)) - 1;
            _mm256_mask_storeu_epi16(here.add(at).cast(), mask & fit, values);
            if mask & !fit != 0 {
                let there = here.wrapping_add(stride).wrapping_sub(32 - at);
                _mm256_mask_storeu_epi16(there.cast(), mask & !fit, values);
            }
        }
    }
}

#[inline(always)]
unsafe fn widen(x: __m256i) -> __m512 {
    // SAFETY: AVX-512F is the caller's promise.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x))) }
}

/// Transposes 16 × 16 pairs.
///
/// # Safety
///
/// AVX-512F; both point to a tile at a cache line.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn transpose(from: *const i32, to: *mut i32) {
    // SAFETY: 16 rows of 16 each.
    unsafe {
        let mut a: [__m512i; 16] =
            std::array::from_fn(|i| _mm512_load_si512(from.add(i * 16).cast()));
        let mut b = a;
        for i in (0..16).step_by(2) {
            b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
            b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
        }
        for i in (0..16).step_by(4) {
            for j in 0..2 {
                a[i + 2 * j] = _mm512_unpacklo_epi64(b[i + j], b[i + j + 2]);
                a[i + 2 * j + 1] = _mm512_unpackhi_epi64(b[i + j], b[i + j + 2]);
            }
        }
        // Now `a[4g + c]` holds, in its four lanes, columns c, c + 4, c + 8, c + 12 of rows 4g….
        for c in 0..4 {
            let low = _mm512_shuffle_i32x4::<0x88>(a[c], a[c + 4]);
            let low_odd = _mm512_shuffle_i32x4::<0xdd>(a[c], a[c + 4]);
            let high = _mm512_shuffle_i32x4::<0x88>(a[c + 8], a[c + 12]);
            let high_odd = _mm512_shuffle_i32x4::<0xdd>(a[c + 8], a[c + 12]);
            b[c] = _mm512_shuffle_i32x4::<0x88>(low, high);
            b[c + 8] = _mm512_shuffle_i32x4::<0xdd>(low, high);
            b[c + 4] = _mm512_shuffle_i32x4::<0x88>(low_odd, high_odd);
            b[c + 12] = _mm512_shuffle_i32x4::<0xdd>(low_odd, high_odd);
        }
        for (i, row) in b.into_iter().enumerate() {
            _mm512_store_si512(to.add(i * 16).cast(), row);
        }
    }
}

/// The two keys of pair `pair` in a tile of weights: packing the scores of two tiles into one
/// row of 16-bit weights takes four of each in turn.
fn keys_of(pair: usize) -> usize {
    let (group, place) = (pair / 4, pair % 4);
    4 * group + 2 * (place % 2) + 16 * (place / 2)
}

/// Packs one tile of values: 32 keys, columns `16 tile..`, and the ones where they belong.
///
/// # Safety
///
/// As [`head`]; `to` is a tile.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn values(head: &Head<'_>, layout: &Layout, first: usize, tile: usize, to: *mut u16) {
    let columns = layout.dim.saturating_sub(tile * 16).min(16);
    let mask = ((1_u32 << columns) - 1) as u16;
    let ones = if columns < 16 { 1_u16 << columns } else { 0 };
    for pair in 0..16 {
        let key = first + keys_of(pair);
        let load = |key: usize| {
            if key < layout.len {
                let row = head.v.row(key).as_ptr().wrapping_add(tile * 16);
                // SAFETY: masked to the columns of the head.
                unsafe { _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, row.cast())) }
            } else {
                _mm512_setzero_si512()
            }
        };
        let one = |key: usize| if key < layout.len { ONE } else { 0 };
        let pairs = _mm512_or_si512(load(key), _mm512_slli_epi32::<16>(load(key + 1)));
        let one = _mm512_maskz_set1_epi32(ones, (one(key) | one(key + 1) << 16) as i32);
        // SAFETY: row `pair` of the tile.
        unsafe { _mm512_store_si512(to.add(pair * 32).cast(), _mm512_or_si512(pairs, one)) };
    }
}

/// Fills the table of what is added to a score by distance, and returns the largest.
///
/// # Safety
///
/// `to` has the floats of `layout`.
unsafe fn distances(head: &Head<'_>, layout: &Layout, to: *mut f32) -> f32 {
    let mut most = 0.0_f32;
    let middle = layout.middle() as isize;
    for at in 0..2 * middle + 16 {
        let distance = at - middle;
        let value = softmax::added(head, distance);
        // SAFETY: inside the place of the distances.
        unsafe { *to.offset(at) = value };
        // Not `max`, which would pass over a NaN.
        if !most.is_nan() && (value > most || value.is_nan()) {
            most = value;
        }
    }
    most
}
