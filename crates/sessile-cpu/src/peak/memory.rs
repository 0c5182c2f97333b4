//! The rate at which memory is read.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::isa::Isa;
use crate::memory::Block;
use crate::simd::{self, Kernel, Simd};

/// Bytes that every thread reads over and over: more than a cache of its own, and with the others'
/// more than most that are shared.
const BYTES: usize = 256 << 20;

/// Bytes per second that `threads` threads together read, one after the other byte and each its
/// own, for about `duration`. Memory that can not be had counts as no rate at all.
///
/// What a kernel reads once per step, weights and caches, can not come faster than this.
pub fn memory_bytes(threads: usize, duration: Duration) -> f64 {
    let rate = || {
        let Ok(mut block) = Block::floats(BYTES / size_of::<f32>()) else {
            return 0.0;
        };
        let mut state = 88_172_645_463_325_252_u64;
        for value in block.as_floats_mut() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *value = (state >> 40) as f32;
        }
        let values = &*block.as_floats_mut();
        simd::run(Isa::Amx, Sweep { values, duration })
    };
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

/// Reads all values again and again.
struct Sweep<'a> {
    values: &'a [f32],
    duration: Duration,
}

impl Kernel for Sweep<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        // As many sums as hide how long an addition takes.
        let mut sums = [s.splat(0.0); 8];
        let (start, mut sweeps) = (Instant::now(), 0_u32);
        while sweeps == 0 || start.elapsed() < self.duration {
            for values in self.values.chunks_exact(8 * S::LANES) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = s.add(*sum, s.at(values, i * S::LANES));
                }
            }
            sweeps += 1;
        }
        let seconds = start.elapsed().as_secs_f64();
        black_box(sums.map(|sum| s.sum(sum)));
        f64::from(sweeps) * size_of_val(self.values) as f64 / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_a_rate() {
        let rate = memory_bytes(1, Duration::from_millis(1));
        // From a slow disk's to far beyond any memory's.
        assert!((1e8..1e13).contains(&rate), "{rate}");
    }
}
