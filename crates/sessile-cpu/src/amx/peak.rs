//! How fast the tiles can be: the rate that fractions of peak are fractions of.

use std::arch::asm;
use std::time::{Duration, Instant};

use crate::amx::tile::{Tiles, tile_zero};
use crate::bf16::to_bf16;

/// Steps of two row tiles and two column tiles in the probe's data: 32 KiB, in the L1 cache.
const STEPS: usize = 8;

/// Floating-point operations of one step: four tile products of 16 × 16 × 32.
const STEP_FLOPS: u64 = 4 * 2 * 16 * 16 * 32;

#[repr(C, align(4096))]
struct Data([u16; STEPS * 2048]);

/// Runs tile products on changing random data from the L1 cache for about `duration` on this
/// thread and returns floating-point operations per second.
///
/// The data matters: on zeros the same instructions run a quarter faster, because the processor
/// lowers its clock by the power that switching bits take.
///
/// # Safety
///
/// AMX is available and no `Tiles` lives on this thread.
pub(crate) unsafe fn flops(duration: Duration) -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let data = Box::new(Data(std::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        to_bf16((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0)
    })));
    // SAFETY: the caller's promise.
    let tiles = unsafe { Tiles::configure() };
    tile_zero!(tiles, 0);
    tile_zero!(tiles, 1);
    tile_zero!(tiles, 2);
    tile_zero!(tiles, 3);
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < duration {
        for _ in 0..256 {
            // SAFETY: the loop reads the 32 KiB of `data`: 16 KiB of row tiles, then 16 KiB of
            // column tiles.
            unsafe {
                asm!(
                    "2:",
                    "tileloadd tmm4, [{p} + {s}]",
                    "tileloadd tmm6, [{p} + {s} + 16384]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{p} + {s} + 17408]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{p} + {s} + 1024]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {p}, 2048",
                    "dec {n}",
                    "jnz 2b",
                    p = inout(reg) data.0.as_ptr() => _,
                    n = inout(reg) STEPS => _,
                    s = in(reg) 64_usize,
                    options(nostack, readonly)
                );
            }
        }
        rounds += 256;
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(tiles);
    (rounds * STEPS as u64 * STEP_FLOPS) as f64 / seconds
}
