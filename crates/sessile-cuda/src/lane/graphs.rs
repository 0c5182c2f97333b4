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

use sessile_device::{DeviceError, DeviceErrorKind};

use crate::context::{Graph, Stream};
use crate::kernels::{Kernels, Launch};
use crate::products::{LaneProducts, Product, Products};

/// Tokens of a pass up to which starting it costs as much as computing it: a launch takes about
/// 3 µs, and a layer's kernels over more tokens take longer than that even in the smallest model.
pub(super) const MAX_TOKENS: usize = 4096;

/// Shorter lists are not worth a graph.
const MIN_WORK: usize = 8;

/// Times that a list is queued piece by piece before it is recorded.
const TIMES_BY_PIECE: u32 = 2;

/// Longer lists are queued as they come: attention maps take a launch per head and sequence, and
/// what is kept must stay small.
const MAX_WORK: usize = 2048;

/// Lists that are remembered: at most 12 MB of this process a lane.
const MAX_LISTS: usize = 24;

/// Launches in all graphs of a lane. Older drivers take up to 64 KB of GPU memory for one
/// (<https://forums.developer.nvidia.com/t/244901>), newer ones far less.
const MAX_NODES: usize = 4096;

/// Memory of the GPU below which nothing more is recorded.
const SPARE_BYTES: u64 = 512 << 20;

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
        // Nobody chooses an algorithm meanwhile: cuBLASLt may refuse that while a stream records.
        let choices = self.products.as_ref().map(|products| products.choices());
        let _held = choices.as_deref().map(Products::hold_choices);
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

    /// Keeps the work for later, or queues it now.
    pub(super) fn take(&mut self, work: Work, mut hands: Hands<'_>) -> Result<(), DeviceError> {
        if self.keeps && self.kept.len() < MAX_WORK {
            self.kept.push(work);
            return Ok(());
        }
        if self.keeps {
            // No small pass after all.
            self.keeps = false;
            hands.queue_all(&self.kept)?;
            self.kept.clear();
        }
        hands.queue(&work)
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
        let list = std::mem::take(&mut self.kept);
        let done = self.run(&list, &mut hands);
        // The room is used again.
        self.kept = list;
        self.kept.clear();
        done
    }

    /// Starts the list's graph, records one, or queues it piece by piece.
    fn run(&mut self, list: &Vec<Work>, hands: &mut Hands<'_>) -> Result<(), DeviceError> {
        let Some(seen) = self.seen.get_mut(list) else {
            let seen = Seen {
                times: 1,
                last: self.flushes,
                graph: None,
            };
            if self.seen.len() >= MAX_LISTS {
                self.forget_oldest();
            }
            self.seen.insert(list.clone(), seen);
            return hands.queue_all(list);
        };
        seen.times += 1;
        seen.last = self.flushes;
        let is_due = seen.graph.is_none() && seen.times > TIMES_BY_PIECE;
        if is_due && self.is_on && self.makes_room(list.len(), hands.stream) {
            let graph = hands.record(list);
            if graph.is_none() {
                tracing::warn!("the driver records no graphs: small passes go on kernel by kernel");
                // What it can not record now it will not record later either.
                self.is_on = false;
            } else {
                tracing::debug!("a pass of {} launches is a graph", list.len());
            }
            if let Some(seen) = self.seen.get_mut(list) {
                seen.graph = graph;
            }
        }
        let Some(graph) = self.seen.get(list).and_then(|seen| seen.graph.as_ref()) else {
            return hands.queue_all(list);
        };
        match graph.start(hands.stream) {
            // Nothing of it has run.
            Err(error) if error.kind() == DeviceErrorKind::OutOfMemory => {
                tracing::warn!("{error}: small passes go on kernel by kernel");
                self.is_on = false;
                self.seen.clear();
                hands.queue_all(list)
            }
            started => started,
        }
    }

    /// Gives up old graphs until one of so many launches may be made. Returns whether it may.
    fn makes_room(&mut self, launches: usize, stream: &Stream) -> bool {
        let nodes = |seen: &HashMap<Vec<Work>, Seen>| -> usize {
            let graphs = seen.iter().filter(|(_, seen)| seen.graph.is_some());
            graphs.map(|(list, _)| list.len()).sum()
        };
        while nodes(&self.seen) + launches > MAX_NODES {
            let graphs = self.seen.values_mut().filter(|seen| seen.graph.is_some());
            let Some(oldest) = graphs.min_by_key(|seen| seen.last) else {
                return false;
            };
            oldest.graph = None;
            oldest.times = 0;
        }
        stream.free_memory().is_ok_and(|free| free >= SPARE_BYTES)
    }

    /// Forgets the list that was not seen for the longest time: one without a graph, if there is any.
    fn forget_oldest(&mut self) {
        let oldest = self
            .seen
            .values()
            .map(|seen| (seen.graph.is_some(), seen.last))
            .min();
        self.seen
            .retain(|_, seen| Some((seen.graph.is_some(), seen.last)) != oldest);
    }
}
