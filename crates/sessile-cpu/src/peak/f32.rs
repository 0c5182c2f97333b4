//! The rate of fused multiply-adds.

use std::time::{Duration, Instant};

use crate::isa::Isa;
use crate::simd::{self, Kernel, Simd};

/// Sums in flight: more than latency × units of any core, fewer than there are registers.
const CHAINS: usize = 12;

/// Rounds between two looks at the clock.
const ROUNDS: usize = 20_000;

/// Multiply-adds per second of `threads` threads together, in operations (a multiply-add counts
/// as two), with the best vectors of this machine, measured for about `duration` on random data.
///
/// Nothing but registers is touched, so no kernel can be faster. The rate of a shared machine
/// drifts: measure it beside what it is compared with.
pub fn f32_flops(threads: usize, duration: Duration) -> f64 {
    let rate = || simd::run(Isa::Amx, Chains { duration });
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, rate).ok())
            .collect();
        let own = rate();
        // A thread that failed measured nothing.
        let rates = others.into_iter().map(|other| other.join().unwrap_or(0.0));
        own + rates.sum::<f64>()
    })
}

pub(super) struct Chains {
    pub(super) duration: Duration,
}

impl Kernel for Chains {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let mut state = 88_172_645_463_325_252u64;
        let values: [f32; 8 * 16] = std::array::from_fn(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        });
        let x: [S::V; 4] = std::array::from_fn(|i| s.at(&values, i * 16));
        let w: [S::V; 4] = std::array::from_fn(|i| s.at(&values, (4 + i) * 16));
        let mut sums = [s.splat(0.0); CHAINS];
        let (start, mut rounds) = (Instant::now(), 0u64);
        while rounds == 0 || start.elapsed() < self.duration {
            for _ in 0..ROUNDS {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = s.fma(x[i % 4], w[i / 4], *sum);
                }
            }
            rounds += ROUNDS as u64;
        }
        let seconds = start.elapsed().as_secs_f64();
        let mut total = s.splat(0.0);
        for sum in sums {
            total = s.add(total, sum);
        }
        std::hint::black_box(s.sum(total));
        (rounds * (2 * CHAINS * S::LANES) as u64) as f64 / seconds
    }
}
