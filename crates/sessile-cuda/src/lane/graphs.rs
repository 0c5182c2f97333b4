//! Small passes that come again: recorded once, then started with one call.
//!
//! A small pass is a few hundred kernels of a few microseconds each, and as long as the driver needs
//! to queue every one of them the GPU waits for the processor (CUDA C++ Programming Guide, "CUDA
//! Graphs"). What a small pass queues is therefore kept until somebody reads. Arenas are stacks, so
//! a pass over as many tokens in as many sequences is the same list to the byte, addresses
//! included; what differs (tokens, offsets) lies behind the addresses. A list that comes for the
//! third time is recorded as a graph. Not before: the first two times load whatever the driver and
//! cuBLASLt load late, which must not happen while a stream is recorded.
//!
//! Kernels, arguments and order are those of the list, so the bytes of answers are too.

use std::collections::HashMap;

use sessile_device::DeviceError;

use crate::context::{Graph, Stream};
use crate::kernels::{Kernels, Launch};
use crate::products::{LaneProducts, Product};

/// Tokens of a pass up to which starting it costs as much as computing it: a launch takes about
/// 3 µs, and a layer's kernels over more tokens take longer than that even in the smallest model.
pub(super) const MAX_TOKENS: usize = 4096;

/// Shorter lists are not worth a graph.
const MIN_WORK: usize = 8;

/// Times that a list is queued piece by piece before it is recorded.
const TIMES_BY_PIECE: u32 = 2;

/// Lists that are remembered, and so the most graphs of a lane: each takes a few hundred KiB here
/// and on the GPU, which is what the plan leaves for the driver.
const MAX_LISTS: usize = 24;

/// One thing that a stream is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Kernel(Launch),
    Product(Product),
}

/// A list that was seen.
#[derive(Default)]
struct Seen {
    times: u32,
    /// Which flush it was last.
    last: u64,
    graph: Option<Graph>,
}

/// What a lane has not handed to its stream yet, and what it remembers.
pub(super) struct Graphs {
    /// Whether this lane records at all.
    is_on: bool,
    /// Whether the pass is small, so that its work is kept.
    keeps: bool,
    kept: Vec<Work>,
    seen: HashMap<Vec<Work>, Seen>,
    flushes: u64,
}

/// Who does the work.
pub(super) struct Hands<'a> {
    pub(super) stream: &'a Stream,
    pub(super) kernels: &'a Kernels,
    pub(super) products: Option<&'a mut LaneProducts>,
}

impl Hands<'_> {
    /// Queues one thing.
    pub(super) fn queue(&mut self, work: &Work) -> Result<(), DeviceError> {
        match work {
            Work::Kernel(launch) => self.kernels.queue(self.stream, launch),
            Work::Product(product) => match &mut self.products {
                Some(products) => products.queue(self.stream, product),
                None => Ok(()),
            },
        }
    }

    fn queue_all(&mut self, list: &[Work]) -> Result<(), DeviceError> {
        list.iter().try_for_each(|work| self.queue(work))
    }

    /// Records a list. `None` when that can not be done; nothing has run then.
    fn record(&mut self, list: &[Work]) -> Option<Graph> {
        let stream = self.stream;
        Graph::record(stream, || self.queue_all(list))
    }
}

impl Graphs {
    pub(super) fn new(is_on: bool) -> Self {
        Graphs {
            is_on,
            keeps: false,
            kept: Vec::new(),
            seen: HashMap::new(),
            flushes: 0,
        }
    }

    /// A pass over so many tokens begins.
    pub(super) fn begin(&mut self, tokens: usize) {
        self.keeps = self.is_on && tokens <= MAX_TOKENS;
    }

    /// Keeps the work for later, or gives it back to be queued now.
    pub(super) fn keep(&mut self, work: Work) -> Option<Work> {
        if !self.keeps {
            return Some(work);
        }
        self.kept.push(work);
        None
    }

    /// Drops what was kept: the pass has failed.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }

    /// Hands everything that was kept to the stream.
    pub(super) fn flush(&mut self, mut hands: Hands<'_>) -> Result<(), DeviceError> {
        if self.kept.len() < MIN_WORK {
            let queued = hands.queue_all(&self.kept);
            self.kept.clear();
            return queued;
        }
        self.flushes += 1;
        let flush = self.flushes;
        if let Some(seen) = self.seen.get_mut(&self.kept) {
            seen.times += 1;
            seen.last = flush;
            if seen.graph.is_none() && seen.times > TIMES_BY_PIECE && self.is_on {
                seen.graph = hands.record(&self.kept);
                // A driver that can not record this list will not record the next one either.
                self.is_on = seen.graph.is_some();
            }
            let started = match &seen.graph {
                Some(graph) => graph.start(hands.stream),
                None => hands.queue_all(&self.kept),
            };
            self.kept.clear();
            return started;
        }
        let queued = hands.queue_all(&self.kept);
        if self.seen.len() >= MAX_LISTS {
            self.forget_oldest();
        }
        let seen = Seen {
            times: 1,
            last: flush,
            graph: None,
        };
        // The next list is about as long.
        let room = Vec::with_capacity(self.kept.len());
        let list = std::mem::replace(&mut self.kept, room);
        self.seen.insert(list, seen);
        queued
    }

    fn forget_oldest(&mut self) {
        let oldest = self.seen.values().map(|seen| seen.last).min();
        self.seen.retain(|_, seen| Some(seen.last) != oldest);
    }
}
