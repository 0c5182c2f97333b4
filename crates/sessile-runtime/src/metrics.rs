//! Counters of a pool, cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a pool has done since it was made.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Models packed onto devices. Stays at models × devices for the life of a pool.
    pub model_loads: Counter,
    /// Requests answered.
    pub answered: Counter,
    /// Requests that failed, for whatever reason.
    pub failed: Counter,
    /// Requests that were cancelled or came too late before they reached a device.
    pub dropped: Counter,
    /// Steps of all lanes.
    pub steps: Counter,
    /// Tokens of the requests answered.
    pub tokens: Counter,
    /// Nanoseconds that lanes spent in steps, all together.
    pub busy_nanos: Counter,
    /// Requests put back because their lane failed.
    pub requeued: Counter,
    /// Lanes lost for the rest of the process.
    pub lanes_lost: Counter,
}
