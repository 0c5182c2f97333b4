//! The rate of bf16 products.

use std::time::Duration;

#[cfg(target_arch = "x86_64")]
use crate::isa::Isa;

/// Operations per second of `threads` threads together in bf16 products (a multiply-add counts as
/// two), on AMX tiles or else on pairs, measured for about `duration`; `None` on machines without
/// instructions for bf16.
///
/// Tiles are loaded from the L1 cache and hold random data, as a product's do. Both matter: on
/// zeros, or on the same tiles over and over, the same instructions run a quarter faster, because
/// the clock follows the power that switching bits take. The rate of a shared machine drifts:
/// measure it beside what it is compared with.
pub fn bf16_flops(threads: usize, duration: Duration) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        let best = Isa::best(Isa::Amx);
        if best < Isa::Avx512Bf16 {
            return None;
        }
        // SAFETY: the machine has the instructions of `best`; no tiles outlive a kernel.
        let rate = || unsafe {
            match best {
                Isa::Amx => crate::amx::peak::flops(duration),
                _ => pairs(duration),
            }
        };
        Some(std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                .filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, rate).ok())
                .collect();
            let own = rate();
            // A thread that failed measured nothing.
            let rates = others.into_iter().map(|other| other.join().unwrap_or(0.0));
            own + rates.sum::<f64>()
        }))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (threads, duration);
        None
    }
}

/// Whether `vdpbf16ps` computes faster than multiply-adds of f32 on this machine, which has it. Its
/// rate is half of theirs on a Xeon of the fifth generation, and should be twice theirs on a Zen 4;
/// halfway between a half and one is far from both. Tried once in a process, in bursts of a tenth of a
/// millisecond of which the fastest counts, so that other programs do not decide it.
#[cfg(target_arch = "x86_64")]
pub(crate) fn pairs_are_fast() -> bool {
    use std::sync::OnceLock;

    use super::f32::Chains;
    use crate::simd;

    const BURSTS: usize = 8;
    const LEAST: f64 = 0.75;
    static FAST: OnceLock<bool> = OnceLock::new();
    *FAST.get_or_init(|| {
        let duration = Duration::ZERO;
        let (mut pairs_best, mut fma_best) = (0.0_f64, 0.0_f64);
        for _ in 0..BURSTS {
            // SAFETY: whoever asks has the instruction.
            pairs_best = pairs_best.max(unsafe { pairs(duration) });
            fma_best = fma_best.max(simd::run(Isa::Avx512, Chains { duration }));
        }
        pairs_best >= LEAST * fma_best
    })
}

/// Other machines have no such instruction.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn pairs_are_fast() -> bool {
    false
}

/// Runs `vdpbf16ps` on random data in registers for about `duration` and returns operations per
/// second.
///
/// # Safety
///
/// AVX-512 with bf16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pairs(duration: Duration) -> f64 {
    use std::arch::x86_64::*;
    use std::hint::black_box;
    use std::time::Instant;

    use crate::bf16::pairs::as_pairs;
    use crate::bf16::to_bf16;

    /// Sums in flight: more than latency × units of any core.
    const CHAINS: usize = 12;
    const ROUNDS: usize = 20_000;

    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut vector = || {
        let values: [u16; 32] = std::array::from_fn(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            to_bf16((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0)
        });
        // SAFETY: 64 bytes.
        as_pairs(unsafe { _mm512_loadu_si512(values.as_ptr().cast()) })
    };
    let x: [__m512bh; 4] = std::array::from_fn(|_| vector());
    let w: [__m512bh; 4] = std::array::from_fn(|_| vector());
    let mut sums = [_mm512_setzero_ps(); CHAINS];
    let (start, mut rounds) = (Instant::now(), 0_u64);
    while rounds == 0 || start.elapsed() < duration {
        for _ in 0..ROUNDS {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_dpbf16_ps(*sum, x[i % 4], w[i / 4]);
            }
        }
        rounds += ROUNDS as u64;
    }
    let seconds = start.elapsed().as_secs_f64();
    black_box(sums.map(|sum| _mm512_reduce_add_ps(sum)));
    (rounds * (2 * CHAINS * 32) as u64) as f64 / seconds
}
