//! Sums of weighted values to results: divided by the sum of weights, rounded and stored.

use std::arch::x86_64::*;

use super::Head;
use super::layout::{Layout, ROWS};
use super::pack::store;
use crate::bf16::operand;

/// Between these, the sum of a row's weights says that none of them overflowed, and that no weight
/// within 2⁻⁶⁶ of the largest was too small for bf16.
const SUM_RANGE: (f32, f32) = (8.673_617e-19, 1.267_650_6e30);

/// Stores the results of a row tile. Says no, with the results undefined, when the sum of a row's
/// weights is outside of the range (`checked` only).
///
/// # Safety
///
/// AVX-512 F, BW, VL and BF16; `sums` has the tiles of `layout`; the head's columns in the
/// tile's rows may be written.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(crate) unsafe fn tile(
    head: &Head<'_>,
    layout: &Layout,
    tile: usize,
    sums: *const f32,
    checked: bool,
) -> bool {
    let rows = ROWS.min(layout.len - tile * ROWS);
    let total = layout.dim / 16 * 256 + layout.dim % 16;
    // SAFETY: all loads are inside the tiles of sums; stores are masked to the head's columns.
    unsafe {
        if checked {
            let inside = (0..rows).all(|row| {
                let sum = *sums.add(total + row * 16);
                (SUM_RANGE.0..=SUM_RANGE.1).contains(&sum)
            });
            if !inside {
                return false;
            }
        }
        for row in 0..rows {
            let to = head.out_row(tile * ROWS + row);
            let inverse = _mm512_set1_ps(1.0 / *sums.add(total + row * 16));
            for part in 0..layout.value_tiles {
                let columns = (layout.dim - part * 16).min(16);
                let mask = (0xffff_u32 >> (16 - columns)) as u16;
                let values = _mm512_load_ps(sums.add(part * 256 + row * 16));
                let column = head.out_column() + part * 16;
                store(
                    to,
                    operand::BLOCK,
                    column,
                    mask,
                    _mm512_mul_ps(values, inverse),
                );
            }
        }
    }
    true
}
