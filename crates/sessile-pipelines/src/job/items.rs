//! Items on their way to the pool: read, cut and tokenised on a thread of their own, a bounded
//! number ahead of the lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sessile_seq::inputs::{Census, Input};

use super::{BytesRead, Item, Listener, ReadAhead};
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::shard::Shard;

/// Items read ahead, where they are small.
pub(crate) const AHEAD: usize = 256;

/// The items of all inputs, in their order.
pub(crate) struct Items<T> {
    items: ReadAhead<Item<T>>,
    reading: Reading,
}

impl<T: Send + 'static> Items<T> {
    /// Begins to read, at most `ahead` items beyond what was taken: `read` takes one input and hands
    /// over its items; it gives false when nobody listens any more. A file that cannot be read costs
    /// what is left of it; the others are read.
    ///
    /// # Errors
    ///
    /// `Input` when there is no thread to be had.
    pub(crate) fn start(
        inputs: Vec<Input>,
        shard: Shard,
        ahead: usize,
        interrupt: &Interrupt,
        mut read: impl FnMut(&Input, &Handover<T>) -> bool + Send + 'static,
    ) -> Result<Self, PipelineError> {
        let reading = Reading::of(&inputs, shard);
        Self::start_thread(reading, ahead, interrupt, move |handover| {
            for input in &inputs {
                if !read(input, handover) {
                    return;
                }
            }
        })
    }

    /// The same for a job that walks through its inputs itself.
    ///
    /// # Errors
    ///
    /// As [`Items::start`].
    pub(crate) fn start_thread(
        reading: Reading,
        ahead: usize,
        interrupt: &Interrupt,
        read: impl FnOnce(&Handover<T>) + Send + 'static,
    ) -> Result<Self, PipelineError> {
        let counters = reading.clone();
        let items = ReadAhead::start(ahead, interrupt, move |listener| {
            read(&Handover {
                listener,
                reading: counters,
            });
        })?;
        Ok(Items { items, reading })
    }
}

impl<T> Items<T> {
    /// How far the reader is.
    pub(crate) fn reading(&self) -> Reading {
        self.reading.clone()
    }
}

impl<T: Send + 'static> Iterator for Items<T> {
    type Item = Item<T>;

    fn next(&mut self) -> Option<Item<T>> {
        self.items.next()
    }
}

/// How much of the inputs was read, and how long that took.
#[derive(Clone, Default)]
pub(crate) struct Reading {
    pub(crate) bytes: BytesRead,
    /// What was met in the inputs.
    pub(crate) census: Census,
    nanos: Arc<AtomicU64>,
    shard: Shard,
    /// Records that were handed over.
    sent: Arc<AtomicU64>,
    /// Records met, those of other shards too, and those alone.
    records: Arc<AtomicU64>,
    others: Arc<AtomicU64>,
}

impl Reading {
    /// Nothing of these inputs is read yet.
    pub(crate) fn of<'a>(inputs: impl IntoIterator<Item = &'a Input>, shard: Shard) -> Self {
        Reading {
            bytes: BytesRead::of(inputs),
            shard,
            ..Reading::default()
        }
    }

    /// Bytes read and bytes in all, as stored.
    pub(super) fn bytes(&self) -> (u64, u64) {
        self.bytes.get()
    }

    /// Time the reader was not waiting to hand over what it had read.
    pub(super) fn time(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// The number of the next record over all inputs, from 0; none when it is another shard's. What
    /// all shards must know of, such as a file that breaks off, `is_common`.
    pub(crate) fn next_record(&self, is_common: bool) -> Option<u64> {
        let number = self.records.fetch_add(1, Ordering::Relaxed);
        if is_common || self.shard.has(number) {
            return Some(number);
        }
        self.others.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Records that were handed over so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Records met so far, those of other shards too.
    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Whether there are records of other shards.
    pub(super) fn has_others(&self) -> bool {
        self.others.load(Ordering::Relaxed) > 0
    }

    /// Adds the time since `begun`.
    pub(crate) fn add_time(&self, begun: Instant) {
        let nanos = begun.elapsed().as_nanos() as u64;
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// Where a reader puts its items.
pub(crate) struct Handover<T> {
    listener: Listener<Item<T>>,
    pub(crate) reading: Reading,
}

impl<T> Handover<T> {
    /// Hands an item over as soon as there is room; false when nobody listens any more.
    pub(crate) fn send(&self, item: Item<T>) -> bool {
        let is_record = u64::from(item.is_record);
        self.reading.sent.fetch_add(is_record, Ordering::Relaxed);
        self.listener.send(item)
    }
}
