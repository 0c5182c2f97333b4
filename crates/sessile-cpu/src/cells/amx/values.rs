//! Sums of weighted values, two cells at a time.

use std::arch::x86_64::*;

use super::super::groups::Share;
use super::{Ahead, BLOCK, STEP, TILE, Task};

impl Task<'_, '_> {
    /// Sums of weighted values.
    ///
    /// # Safety
    ///
    /// AVX-512 with bf16; the weights are there.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn values(&self, ahead: &mut Ahead<'_>) {
        let extent = &self.extent;
        // SAFETY: the sums of the extent.
        unsafe {
            let sums = extent.heads * extent.rows * extent.steps * STEP;
            self.to.sums.write_bytes(0, sums);
        }
        for first in (0..extent.cells).step_by(BLOCK) {
            ahead.go_to(ahead.values_from() + first + BLOCK);
            for share in self.heads.group.shares(first) {
                for at in 0..extent.heads {
                    for step in 0..extent.steps {
                        let mut done = 0;
                        while done < share.count() {
                            let [a, b, c, d] = share.four(done);
                            // SAFETY: passed on; the rows exist.
                            unsafe {
                                match share.count() - done {
                                    1 => self.add_values(at, step, first, &share, [a], ahead),
                                    2 => self.add_values(at, step, first, &share, [a, b], ahead),
                                    3 => self.add_values(at, step, first, &share, [a, b, c], ahead),
                                    _ => self.add_values(
                                        at,
                                        step,
                                        first,
                                        &share,
                                        [a, b, c, d],
                                        ahead,
                                    ),
                                }
                            }
                            done += 4;
                        }
                    }
                }
            }
        }
    }

    /// Adds the weighted values of a share to the sums of `R` rows of a head, in the order of the
    /// cells, whatever `R` is.
    ///
    /// # Safety
    ///
    /// As [`Task::values`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn add_values<const R: usize>(
        &self,
        at: usize,
        step: usize,
        first: usize,
        share: &Share<'_>,
        rows: [usize; R],
        ahead: &mut Ahead<'_>,
    ) {
        let extent = &self.extent;
        let columns = self.heads.columns(self.heads.heads.start + at);
        let mask = self.mask(step);
        // SAFETY: the load is masked to the columns that exist.
        let load = |cell: u32| unsafe {
            let values = &self.heads.input.values.row(cell as usize)[columns.clone()];
            _mm512_maskz_loadu_epi16(mask, values.as_ptr().add(step * STEP).cast())
        };
        // SAFETY: sums of rows that exist; two weights at an even cell.
        unsafe {
            let to = rows.map(|row| self.to.sums.add(extent.sums(at, row, step)));
            let weights = rows.map(|row| {
                let row = extent.row(at, row) + first;
                self.to.weights.add(row).cast_const().cast::<i32>()
            });
            let mut sums: [[__m512; 2]; R] =
                to.map(|to| [_mm512_load_ps(to), _mm512_load_ps(to.add(TILE))]);
            for (pair, cells) in share.cells.chunks(2).enumerate() {
                ahead.ask::<2>();
                let even = load(cells[0]);
                // The last of an odd number of cells stands beside zeros.
                let odd = cells
                    .get(1)
                    .map_or(_mm512_setzero_si512(), |&cell| load(cell));
                let pairs: [__m512bh; 2] = [
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_unpacklo_epi16(even, odd)),
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_unpackhi_epi16(even, odd)),
                ];
                for (sums, weights) in sums.iter_mut().zip(weights) {
                    let weight = _mm512_set1_epi32(weights.add(pair).read());
                    let weight: __m512bh = std::mem::transmute(weight);
                    *sums = [
                        _mm512_dpbf16_ps(sums[0], pairs[0], weight),
                        _mm512_dpbf16_ps(sums[1], pairs[1], weight),
                    ];
                }
            }
            for (to, sums) in to.into_iter().zip(sums) {
                _mm512_store_ps(to, sums[0]);
                _mm512_store_ps(to.add(TILE), sums[1]);
            }
        }
    }

    /// Puts the sums where they belong, in the order of the columns.
    ///
    /// # Safety
    ///
    /// AVX-512; the sums are there.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn store(&self) {
        let extent = &self.extent;
        // Interleaving works in quarters: a vector of sums holds four columns of each of them.
        let quarters = |first: i32| {
            let of = |half: i32, quarter: i32| [0, 1, 2, 3].map(|i| half * 16 + quarter * 4 + i);
            let [a, b, c, d] = [
                of(0, first),
                of(1, first),
                of(0, first + 1),
                of(1, first + 1),
            ];
            let all: [i32; 16] = std::array::from_fn(|i| [a, b, c, d][i / 4][i % 4]);
            // SAFETY: 16 numbers.
            unsafe { _mm512_loadu_si512(all.as_ptr().cast()) }
        };
        let order = [quarters(0), quarters(2)];
        for (at, head) in self.heads.heads.clone().enumerate() {
            for row in 0..extent.rows {
                let to = self.heads.to(row, head);
                for step in 0..extent.steps {
                    let place = extent.sums(at, row, step);
                    for (half, order) in order.into_iter().enumerate() {
                        let first = step * STEP + half * TILE;
                        let Some(to) = to.get_mut(first..).filter(|to| !to.is_empty()) else {
                            continue;
                        };
                        let mask = u16::MAX >> (TILE - to.len().min(TILE));
                        // SAFETY: sums of this row and step; the store is masked to the columns
                        // that exist.
                        unsafe {
                            let low = _mm512_load_ps(self.to.sums.add(place));
                            let high = _mm512_load_ps(self.to.sums.add(place + TILE));
                            let sums = _mm512_permutex2var_ps(low, order, high);
                            _mm512_mask_storeu_ps(to.as_mut_ptr(), mask, sums);
                        }
                    }
                }
            }
        }
    }
}
