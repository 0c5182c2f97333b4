//! Scores on their way to weights, a row at a time.

use std::arch::x86_64::*;

use crate::bf16::attention::softmax::Weights;

/// The scores of a row with the keys of a unit, from two tiles.
///
/// # Safety
///
/// AVX-512F; `scores` points to a row of the first tile.
#[inline(always)]
pub(super) unsafe fn load_scores(scores: *const f32) -> [__m512; 2] {
    // SAFETY: the caller's promise.
    unsafe { [_mm512_load_ps(scores), _mm512_load_ps(scores.add(256))] }
}

/// The rows of one unit whose scores are still to become weights.
pub(super) struct Rows<'a, const DISTANCES: bool> {
    constants: &'a Weights,
    /// Scores of the next row, what is added to the first of them, and where its weights go.
    scores: *const f32,
    distances: *const f32,
    weights: *mut u16,
    left: usize,
}

impl<'a, const DISTANCES: bool> Rows<'a, DISTANCES> {
    /// The first `left` rows of a unit: 16, or none.
    ///
    /// # Safety
    ///
    /// AVX-512 F, BW and VBMI; `scores` points to two tiles and `weights` to one; `distances` to
    /// what is added to the first score of row 0, with 32 values from there and 16 before.
    #[inline(always)]
    pub(super) unsafe fn new(
        constants: &'a Weights,
        scores: *const f32,
        distances: *const f32,
        weights: *mut u16,
        left: usize,
    ) -> Self {
        Rows {
            constants,
            scores,
            distances,
            weights,
            left,
        }
    }

    /// Turns up to `count` rows into weights.
    #[inline(always)]
    pub(super) fn take(&mut self, count: usize) {
        for _ in 0..count {
            if self.left == 0 {
                return;
            }
            // SAFETY: the promise of `new`; there are rows left.
            unsafe {
                let scores = load_scores(self.scores);
                let bits = self.constants.linear::<DISTANCES>(scores, self.distances);
                let weights = self.constants.weights(bits);
                _mm512_store_si512(self.weights.cast(), weights);
            }
            self.scores = self.scores.wrapping_add(16);
            self.distances = self.distances.wrapping_sub(1);
            self.weights = self.weights.wrapping_add(32);
            self.left -= 1;
        }
    }
}
