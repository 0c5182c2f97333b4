//! The bf16 product on AMX tiles. Scalar twin: `crate::scalar::bf16::product`.
//!
//! Blocks of 32 × 32 results live in four tiles while all of `k` goes by. The sums of one block
//! are finished (bias, activation, rounding, store) by vector instructions that stand between the
//! tile instructions of the next block, so both units work at once.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use crate::amx::tile::{TILE_BYTES, Tiles, tile_store, tile_zero};
use crate::bf16::finish::{self, Finish, Target};
use crate::bf16::operand;
use crate::bf16::product::Product;

/// Bytes of packed weight that stay in the L2 cache (2 MiB) while all rows go by.
const WEIGHT_BLOCK: usize = 768 << 10;

/// Steps of `k` after which a residual product is added to its output and started anew, so that
/// the panels of a long `k` still fit the cache. The order of sums depends on `k` alone.
const RESIDUAL_STEPS: usize = 40;

/// How far ahead of the product weights are asked for. With 32 rows and weights that no cache holds,
/// BART-large's products take 0.69 to 0.76 of the time that they take without (16 KiB: 0.77 to 1.0).
const WEIGHT_AHEAD: usize = 4 << 10;

/// Bytes of an input that stays in the L2 cache while the weights pass by.
const FEW_ROWS: usize = 1 << 20;

/// Row panels up to which weights are read in order whatever the input's bytes; more of them work
/// so long on a panel of weights that memory is not what they wait for.
const FEW_ROW_PANELS: usize = 8;

/// Bytes of one step of a panel: two tiles.
const STEP_BYTES: usize = 2 * TILE_BYTES;

/// Computes the columns that the weight panels `range` make.
///
/// # Safety
///
/// As [`crate::bf16::product::run`], with AMX available.
pub(crate) unsafe fn run(product: &Product<'_>, range: Range<usize>) {
    // SAFETY: passed on to the caller; no other `Tiles` lives here, since none outlives a kernel.
    unsafe { finish::run::<ByTiles>(product, range) }
}

struct ByTiles;

impl finish::Kernel for ByTiles {
    unsafe fn run<F: Finish>(product: &Product<'_>, range: Range<usize>) {
        // SAFETY: passed on to the caller.
        unsafe { kernel::<F>(product, range) }
    }
}

/// A finished block of 32 × 32 sums that waits for its epilogue.
struct Pending {
    /// The sums, as four tiles.
    sums: *const f32,
    /// Its first row in the output, and the bytes from row to row.
    out: *mut u8,
    stride: usize,
    bias: [__m512; 2],
    /// Columns that exist.
    mask: u32,
    /// The next row to finish, and the end.
    row: usize,
    rows: usize,
}

impl Pending {
    /// # Safety
    ///
    /// AVX-512 with bf16; the block and the output rows are valid.
    #[inline(always)]
    unsafe fn finish_row<F: Finish>(&mut self) {
        // SAFETY: tiles 0 and 1 hold the first 16 rows, tiles 2 and 3 the others.
        unsafe {
            let sums = self.sums.add(self.row * 16 + (self.row & 16) * 16);
            let sums = [
                _mm512_add_ps(_mm512_load_ps(sums), self.bias[0]),
                _mm512_add_ps(_mm512_load_ps(sums.add(256)), self.bias[1]),
            ];
            F::row(sums, self.out, self.mask);
        }
        self.out = self.out.wrapping_add(self.stride);
        self.row += 1;
    }
}

/// Two blocks of sums, four tiles each: one that is being stored, one that is being finished.
#[repr(C, align(64))]
struct Sums([[f32; 1024]; 2]);

/// # Safety
///
/// As [`run`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
#[inline(never)]
unsafe fn kernel<F: Finish>(product: &Product<'_>, range: Range<usize>) {
    // SAFETY: AMX is available (the caller's promise) and no other `Tiles` lives on this thread.
    let tiles = unsafe { Tiles::configure() };
    let steps = operand::steps(product.k);
    let row_panels = product.rows.div_ceil(operand::PANEL);
    let target = Target::new::<F>(product);
    let weight = product.weight.as_ptr().cast::<u8>();
    let x = product.x.cast::<u8>();
    let chunk = if F::ADDS {
        RESIDUAL_STEPS.min(steps)
    } else {
        steps
    };
    // Few rows are bound by reading every weight once, so they read it in order: a step of a decoder
    // (32 rows, 4096 to 1024) takes 0.4 of the time over whole panels that it takes over parts of
    // `k`. Where there are several panels of rows, the weights after those that they all work on are
    // asked for a little in every step, so that memory is never idle.
    let few = row_panels == 1
        || (row_panels <= FEW_ROW_PANELS && row_panels * steps * STEP_BYTES <= FEW_ROWS);
    let columns_block = if few {
        1
    } else {
        (WEIGHT_BLOCK / (chunk.max(1) * STEP_BYTES)).max(2)
    };
    let lines_of_step = if few && row_panels > 1 {
        (STEP_BYTES / 64).div_ceil(row_panels)
    } else {
        0
    };
    let mut next_weights = weight.wrapping_add((range.start * steps + chunk) * STEP_BYTES);

    let mut sums = Sums([[0.0; 1024]; 2]);
    let sums = (&raw mut sums).cast::<f32>();
    let mut turn = 0;
    let mut pending = Pending {
        sums,
        out: std::ptr::null_mut(),
        stride: target.stride,
        bias: [_mm512_setzero_ps(); 2],
        mask: 0,
        row: 0,
        rows: 0,
    };

    let mut first_panel = range.start;
    while first_panel < range.end {
        let last_panel = (first_panel + columns_block).min(range.end);
        let mut first_step = 0;
        while first_step < steps {
            let count = chunk.min(steps - first_step);
            let rows_per_step = operand::PANEL.div_ceil(count);
            for row_panel in 0..row_panels {
                let rows = operand::PANEL.min(product.rows - row_panel * operand::PANEL);
                let a = x.wrapping_add((row_panel * steps + first_step) * STEP_BYTES);
                let next = if row_panel + 1 < row_panels {
                    row_panel + 1
                } else {
                    0
                };
                let mut ahead = x.wrapping_add((next * steps + first_step) * STEP_BYTES);
                for panel in first_panel..last_panel {
                    let b = weight.wrapping_add((panel * steps + first_step) * STEP_BYTES);
                    let out = target.block::<F>(row_panel, panel);
                    tile_zero!(tiles, 0);
                    tile_zero!(tiles, 1);
                    tile_zero!(tiles, 2);
                    tile_zero!(tiles, 3);
                    for step in 0..count {
                        if lines_of_step > 0 {
                            ask_for(next_weights, lines_of_step);
                            next_weights = next_weights.wrapping_add(lines_of_step * 64);
                        } else if row_panel == 0 {
                            prefetch_step(b.wrapping_add(step * STEP_BYTES + WEIGHT_AHEAD));
                        }
                        // SAFETY: `a` and `b` have `count` steps of two tiles from here on;
                        // prefetching can not fault.
                        unsafe {
                            step_2x2(
                                &tiles,
                                a.wrapping_add(step * STEP_BYTES),
                                b.wrapping_add(step * STEP_BYTES),
                                ahead,
                            );
                        }
                        ahead = ahead.wrapping_add(256);
                        for _ in 0..rows_per_step {
                            if pending.row < pending.rows {
                                // SAFETY: its block and output are valid until it is replaced.
                                unsafe { pending.finish_row::<F>() };
                            }
                        }
                    }
                    while pending.row < pending.rows {
                        // SAFETY: as above.
                        unsafe { pending.finish_row::<F>() };
                    }
                    turn ^= 1024;
                    let block = sums.wrapping_add(turn);
                    // SAFETY: `block` is 4 KiB; the block that is pending is the other one, and
                    // it has just been finished.
                    unsafe {
                        tile_store!(tiles, 0, block, 64);
                        tile_store!(tiles, 1, block.wrapping_add(256), 64);
                        tile_store!(tiles, 2, block.wrapping_add(512), 64);
                        tile_store!(tiles, 3, block.wrapping_add(768), 64);
                    }
                    let first_column = panel * F::COLUMNS;
                    let exist = (target.columns - first_column).min(F::COLUMNS);
                    pending = Pending {
                        sums: block,
                        out,
                        stride: target.stride,
                        // SAFETY: only columns that exist are loaded.
                        bias: unsafe { finish::bias::<F>(product, panel, first_step == 0) },
                        mask: u32::MAX >> (32 - exist),
                        row: 0,
                        rows,
                    };
                }
            }
            first_step += count;
        }
        first_panel = last_panel;
    }
    while pending.row < pending.rows {
        // SAFETY: as above.
        unsafe { pending.finish_row::<F>() };
    }
}

/// Asks for the weights of a step, which the first row panel reads from memory.
#[inline(always)]
fn prefetch_step(b: *const u8) {
    for line in 0..STEP_BYTES / 64 {
        // SAFETY: a prefetch does not fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(line * 64).cast()) };
    }
}

/// Asks for weights that are read after those that are worked on now.
#[inline(always)]
fn ask_for(b: *const u8, lines: usize) {
    for line in 0..lines {
        // SAFETY: a prefetch does not fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(b.wrapping_add(line * 64).cast()) };
    }
}

/// Adds one step of 32 columns of two row tiles (`a`) times two column tiles (`b`) to tiles 0–3,
/// and asks for 256 bytes of the rows that come next.
///
/// # Safety
///
/// `a` and `b` point to 2 KiB each.
#[inline(always)]
unsafe fn step_2x2(_: &Tiles, a: *const u8, b: *const u8, ahead: *const u8) {
    // SAFETY: the tiles are configured, the loads are inside the 2 KiB each; a prefetch does not
    // fault.
    unsafe {
        asm!(
            "tileloadd tmm4, [{a} + {s}]",
            "tileloadd tmm6, [{b} + {s}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {s} + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{a} + {s} + 1024]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetcht1 [{p}]",
            "prefetcht1 [{p} + 64]",
            "prefetcht1 [{p} + 128]",
            "prefetcht1 [{p} + 192]",
            a = in(reg) a, b = in(reg) b, s = in(reg) 64_usize, p = in(reg) ahead,
            options(nostack, readonly)
        );
    }
}
