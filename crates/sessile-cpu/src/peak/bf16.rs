//! The rate of bf16 tile products.

use std::time::Duration;

/// Operations per second of `threads` threads together in bf16 tile products (a multiply-add
/// counts as two), measured for about `duration`; `None` without AMX.
///
/// The tiles are loaded from the L1 cache and hold random data, as a product's do. Both matter: on
/// zeros, or on the same tiles over and over, the same instructions run a quarter faster, because
/// the clock follows the power that switching bits take. The rate of a shared machine drifts:
/// measure it beside what it is compared with.
pub fn bf16_flops(threads: usize, duration: Duration) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    if crate::amx::available() {
        // SAFETY: AMX is available, and no tiles outlive a kernel.
        let rate = || unsafe { crate::amx::peak::flops(duration) };
        return Some(std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                .filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, rate).ok())
                .collect();
            let own = rate();
            // A thread that failed measured nothing.
            let rates = others.into_iter().map(|other| other.join().unwrap_or(0.0));
            own + rates.sum::<f64>()
        }));
    }
    let _ = (threads, duration);
    None
}
