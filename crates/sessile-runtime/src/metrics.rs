//! Counters of a pool and of its lanes, cheap enough to be always on.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
#[derive(Default)]
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
    /// Last lanes that went on with one request at a time instead of being lost.
    pub fallbacks: Counter,
    /// Tokens that decoders wrote, of the requests answered.
    pub written: Counter,
    /// Requests in the steps of all lanes: divided by the steps, how many shared one.
    pub in_steps: Counter,
    batch_observer: OnceLock<BatchObserver>,
}

/// Told of every batch that a lane takes.
type BatchObserver = Box<dyn Fn(TakenBatch) + Send + Sync>;

/// A batch as a lane took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenBatch {
    /// Requests in it.
    pub requests: usize,
    /// Tokens in it.
    pub tokens: usize,
}

impl Metrics {
    /// Has `observer` told of every batch. The first one stays. It runs on the lane's thread, so
    /// it must be quick.
    pub fn observe_batches(&self, observer: impl Fn(TakenBatch) + Send + Sync + 'static) {
        // A second observer is not an error worth a Result: there is one service per pool.
        let _ = self.batch_observer.set(Box::new(observer));
    }

    pub(crate) fn batch_taken(&self, batch: TakenBatch) {
        if let Some(observer) = self.batch_observer.get() {
            observer(batch);
        }
    }
}

/// What one lane has done and how it is.
#[derive(Debug)]
pub struct LaneMetrics {
    /// Steps that went well.
    pub steps: Counter,
    /// Tokens of the requests it answered.
    pub tokens: Counter,
    /// Nanoseconds in steps.
    pub busy_nanos: Counter,
    /// Steps that failed.
    pub failures: Counter,
    /// Requests it answered.
    pub answered: Counter,
    /// Tokens that it wrote, of these.
    pub written: Counter,
    /// Requests in its steps: divided by the steps, how many shared one.
    pub in_steps: Counter,
    /// Requests it gave back because a step failed.
    pub given_back: Counter,
    is_single: AtomicBool,
    is_out: AtomicBool,
    born: Instant,
    /// Nanoseconds from `born` to the last step that went well; 0: none yet.
    last_success: AtomicU64,
}

impl Default for LaneMetrics {
    fn default() -> Self {
        LaneMetrics {
            steps: Counter::default(),
            tokens: Counter::default(),
            busy_nanos: Counter::default(),
            failures: Counter::default(),
            answered: Counter::default(),
            written: Counter::default(),
            in_steps: Counter::default(),
            given_back: Counter::default(),
            is_single: AtomicBool::new(false),
            is_out: AtomicBool::new(false),
            born: Instant::now(),
            last_success: AtomicU64::new(0),
        }
    }
}

impl LaneMetrics {
    /// Whether it was taken out for the rest of the process.
    pub fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// Whether it goes on with one request at a time, because everything else failed.
    pub fn is_single(&self) -> bool {
        self.is_single.load(Ordering::Relaxed)
    }

    /// How long ago a forward pass went well.
    pub fn since_success(&self) -> Option<Duration> {
        let nanos = self.last_success.load(Ordering::Relaxed);
        (nanos > 0).then(|| {
            self.born
                .elapsed()
                .saturating_sub(Duration::from_nanos(nanos))
        })
    }

    pub(crate) fn succeeded(&self) {
        let nanos = self.born.elapsed().as_nanos() as u64;
        self.last_success.store(nanos.max(1), Ordering::Relaxed);
        self.steps.add(1);
    }

    pub(crate) fn fell_back(&self) {
        self.is_single.store(true, Ordering::Relaxed);
    }

    pub(crate) fn taken_out(&self) {
        self.is_out.store(true, Ordering::Relaxed);
    }
}

/// The counters of some lanes at some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) at: Instant,
    pub(crate) answered: u64,
    pub(crate) written: u64,
    pub(crate) steps: u64,
    pub(crate) in_steps: u64,
}

impl Counted {
    pub(crate) fn now<'m>(lanes: impl Iterator<Item = &'m LaneMetrics>) -> Self {
        let mut all = Counted {
            at: Instant::now(),
            answered: 0,
            written: 0,
            steps: 0,
            in_steps: 0,
        };
        for lane in lanes {
            all.answered += lane.answered.get();
            all.written += lane.written.get();
            all.steps += lane.steps.get();
            all.in_steps += lane.in_steps.get();
        }
        all
    }
}
