//! The bf16 product by `vdpbf16ps` (AVX512-BF16): pairs of inputs, multiplied and added to 16 sums
//! at once. Scalar twin: `crate::scalar::bf16::product`.
//!
//! The layouts of the tiles fit as they are: a pair of inputs of 32 outputs is two vectors, and a
//! pair of one row is broadcast from its place. A tile of 11 rows × 32 outputs stays in registers
//! while all of `k` goes by, and is finished from there. Each sum is one chain over ascending pairs,
//! whatever the rows of its tile.
//!
//! The instruction takes subnormal numbers for zero, operands and sums, and rounds to the nearest
//! after each of the two products of a pair. So a sum is within the bound of any f32 sum of as many
//! terms, but for terms below 2⁻¹²⁶.

use std::arch::x86_64::*;
use std::ops::Range;

use crate::bf16::finish::{self, Finish, Target};
use crate::bf16::operand;
use crate::bf16::panels;
use crate::bf16::product::Product;

/// Rows of a tile at most: 22 of 32 registers hold sums, more than the instruction takes to finish.
const ROWS: usize = 11;

/// Elements of the left side that stay in the L2 cache (2 MiB on a server) while the weights pass by.
const BLOCK: usize = 1 << 19;

/// Cache lines of one step of a panel.
const LINES: usize = panels::BLOCK * 2 / 64;

/// Computes the columns that the weight panels `range` make.
///
/// # Safety
///
/// As [`crate::bf16::product::run`], with AVX-512 F, BW, VL, DQ and BF16.
pub(crate) unsafe fn product(product: &Product<'_>, range: Range<usize>) {
    // SAFETY: passed on to the caller.
    unsafe { finish::run::<ByPairs>(product, range) }
}

struct ByPairs;

impl finish::Kernel for ByPairs {
    unsafe fn run<F: Finish>(product: &Product<'_>, range: Range<usize>) {
        // SAFETY: passed on to the caller.
        unsafe { kernel::<F>(product, range) }
    }
}

/// One tile: where its rows and its weights begin, and where the results go.
struct Tile {
    x: *const u16,
    weight: *const u16,
    steps: usize,
    /// Weights that come later, of which so many lines are asked for in every step.
    next: *const u16,
    lines: usize,
    out: *mut u8,
    stride: usize,
    bias: [__m512; 2],
    mask: u32,
}

/// # Safety
///
/// As [`product`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn kernel<F: Finish>(product: &Product<'_>, range: Range<usize>) {
    let steps = operand::steps(product.k);
    let target = Target::new::<F>(product);
    let row_panels = product.rows.div_ceil(operand::PANEL);
    let block = (BLOCK / (steps.max(1) * operand::BLOCK)).max(1);
    for first in (0..row_panels).step_by(block) {
        for panel in range.clone() {
            let weight = product.weight.as_ptr();
            let weight = weight.wrapping_add(panel * steps * panels::BLOCK);
            let exist = (target.columns - panel * F::COLUMNS).min(F::COLUMNS);
            // SAFETY: only columns that exist are loaded.
            let bias = unsafe { finish::bias::<F>(product, panel, true) };
            for row_panel in first..row_panels.min(first + block) {
                let rows = operand::PANEL.min(product.rows - row_panel * operand::PANEL);
                let tiles = rows.div_ceil(ROWS);
                for tile in 0..tiles {
                    let (row, end) = (rows * tile / tiles, rows * (tile + 1) / tiles);
                    let x = operand::row(row_panel * operand::PANEL + row, steps);
                    let out = target.block::<F>(row_panel, panel);
                    let tile = Tile {
                        x: product.x.wrapping_add(x),
                        weight,
                        steps,
                        next: weight.wrapping_add((steps + tile * steps / tiles) * panels::BLOCK),
                        // The first rows ask for the next panel, if there is one, each tile for its
                        // part of it.
                        lines: if row_panel == first && panel + 1 < product.panels() {
                            LINES.div_ceil(tiles)
                        } else {
                            0
                        },
                        out: out.wrapping_add(row * target.stride),
                        stride: target.stride,
                        bias,
                        mask: u32::MAX >> (32 - exist),
                    };
                    // SAFETY: rows of a panel of `x`, a panel of the weight, and columns of the
                    // result that are this call's alone.
                    unsafe { tile.of_rows::<F>(end - row) };
                }
            }
        }
    }
}

impl Tile {
    /// # Safety
    ///
    /// As [`Tile::run`] with `rows` rows, 11 at most.
    #[inline(always)]
    unsafe fn of_rows<F: Finish>(&self, rows: usize) {
        macro_rules! by_rows {
            ($($rows:literal)+) => {
                match rows {
                    // SAFETY: passed on to the caller.
                    $($rows => unsafe { self.run::<F, $rows>() },)+
                    _ => debug_assert!(rows == 0),
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8 9 10 11);
    }

    /// Computes and finishes `R` rows of 32 sums. Not inlined, so that nothing else wants its
    /// registers.
    ///
    /// # Safety
    ///
    /// AVX-512 with bf16; `x` and `weight` have `steps` steps; the columns of the mask in `R` rows
    /// from `out` on are writable.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn run<F: Finish, const R: usize>(&self) {
        let mut sums = [[_mm512_setzero_ps(); 2]; R];
        let (mut x, mut weight, mut next) = (self.x, self.weight, self.next);
        for _ in 0..self.steps {
            for line in 0..self.lines {
                // SAFETY: a prefetch does not fault.
                _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(line * 32).cast());
            }
            for pair in 0..16 {
                // SAFETY: inside a step of the panel and of the rows of `x`.
                unsafe {
                    let weights = [0, 1].map(|half| {
                        let at = weight.add(half * 512 + pair * 32);
                        as_pairs(_mm512_loadu_si512(at.cast()))
                    });
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let at = x.add(row * operand::STEP + pair * 2);
                        let x = as_pairs(_mm512_set1_epi32(at.cast::<i32>().read_unaligned()));
                        for (sum, weights) in sums.iter_mut().zip(weights) {
                            *sum = _mm512_dpbf16_ps(*sum, weights, x);
                        }
                    }
                }
            }
            x = x.wrapping_add(operand::BLOCK);
            weight = weight.wrapping_add(panels::BLOCK);
            next = next.wrapping_add(self.lines * 32);
        }
        for (row, sums) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let sums = [0, 1].map(|half| _mm512_add_ps(sums[half], self.bias[half]));
                F::row(sums, self.out.add(row * self.stride), self.mask);
            }
        }
    }
}

/// A vector of pairs for the instruction.
#[inline(always)]
pub(crate) fn as_pairs(x: __m512i) -> __m512bh {
    // SAFETY: 512 bits of either.
    unsafe { std::mem::transmute(x) }
}
