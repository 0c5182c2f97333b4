//! What a pool that generates has done, and how fast.

use std::time::Instant;

use sessile_device::DeviceId;

use super::GeneratorPool;
use crate::metrics::Metrics;

/// What a pool that generates has done since it was ready.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorReport {
    /// Requests answered.
    pub inferences: u64,
    /// The same per second.
    pub inferences_per_second: f64,
    /// Tokens written, start tokens included.
    pub tokens: u64,
    /// The same per second.
    pub tokens_per_second: f64,
    /// Requests that may be answered at the same time.
    pub instances: usize,
    /// Bytes on each device: weights, caches and workspace.
    pub memory: Vec<(DeviceId, u64)>,
    /// Requests that wait now.
    pub queued: usize,
    /// Requests that shared a step, on average.
    pub mean_batch: f64,
    /// Requests that were given back because a step or a lane failed.
    pub given_back: u64,
    /// Whether only one request at a time is answered, because everything else failed.
    pub has_fallen_back: bool,
}

/// The counters at some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    at: Instant,
    answered: u64,
    written: u64,
    steps: u64,
    in_steps: u64,
}

impl Counted {
    pub(super) fn now(metrics: &Metrics) -> Self {
        Counted {
            at: Instant::now(),
            answered: metrics.answered.get(),
            written: metrics.written.get(),
            steps: metrics.steps.get(),
            in_steps: metrics.in_steps.get(),
        }
    }
}

impl GeneratorPool {
    /// What the pool has done since it was ready.
    pub fn report(&self) -> GeneratorReport {
        let metrics = self.pool.metrics();
        let (first, now) = (self.ready, Counted::now(metrics));
        let seconds = now.at.duration_since(first.at).as_secs_f64().max(1e-9);
        let inferences = now.answered - first.answered;
        let tokens = now.written - first.written;
        let has_fallen_back = metrics.fallbacks.get() > 0;
        GeneratorReport {
            inferences,
            inferences_per_second: inferences as f64 / seconds,
            tokens,
            tokens_per_second: tokens as f64 / seconds,
            instances: if has_fallen_back {
                1
            } else {
                self.plan.requests
            },
            memory: vec![(self.plan.device, self.plan.total_bytes())],
            queued: self.pool.queued_requests(),
            mean_batch: (now.in_steps - first.in_steps) as f64
                / (now.steps - first.steps).max(1) as f64,
            given_back: metrics.requeued.get(),
            has_fallen_back,
        }
    }
}
