//! A request on its way to a lane, and its place in line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sessile_device::{
    DeviceId, GenerationSettings, ModelIndex, Output, OutputKind, OutputSet, RequestError,
    RequestErrorKind,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// What an answer is.
pub(crate) type Answer = Result<Output, RequestError>;

/// Where a request's time went, and where it was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From its arrival until a lane took it.
    pub queued: Duration,
    /// From then until its answer.
    pub computed: Duration,
    /// The device of that lane.
    pub device: DeviceId,
}

/// An answer with the time it took, where a lane had it.
pub(crate) type Reply = (Answer, Option<Timing>);

/// How much longer a sequence is kept waiting per token that it is longer than another: short ones
/// go first, and yet one of 1,000 tokens is overtaken for at most half a second.
const WAIT_PER_TOKEN: Duration = Duration::from_micros(500);

/// No cost counts for more than this many tokens, so that nothing waits for ever.
const LONGEST_COST: usize = 4096;

/// How much longer each step of priority is kept waiting while others want the lanes.
const WAIT_PER_PRIORITY: Duration = Duration::from_secs(10);

/// How much longer the rest of a request is kept waiting than its first sequence, so that requests
/// of one sequence go through while large ones are computed.
const WAIT_OF_REST: Duration = Duration::from_secs(5);

/// Number of priorities.
pub(crate) const PRIORITIES: u8 = 3;

/// A request on its way to a lane.
pub(crate) struct Entry {
    pub(crate) model: ModelIndex,
    pub(crate) tokens: Vec<u32>,
    pub(crate) outputs: OutputSet,
    pub(crate) generation: Option<Arc<GenerationSettings>>,
    /// Smaller is sooner.
    pub(crate) priority: u8,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: Option<Arc<AtomicBool>>,
    /// Told of each token that a decoder writes, as soon as it is sure.
    pub(crate) on_token: Option<UnboundedSender<u32>>,
    /// Tokens that were told.
    pub(crate) told: usize,
    /// Part of a large job: worth waiting a little for a full batch.
    pub(crate) is_bulk: bool,
    /// Not the first of its request: those of other requests may overtake it.
    pub(crate) is_rest: bool,
    /// How often a step failed in which it ran alone.
    pub(crate) attempts: u32,
    /// A step failed in which it ran: it shares no other.
    pub(crate) goes_alone: bool,
    pub(crate) arrived: Instant,
    /// When it came into the line: later than it arrived if it had to wait beside it.
    pub(crate) in_line_since: Instant,
    pub(crate) reply: oneshot::Sender<Reply>,
}

impl Entry {
    /// What it costs a lane, in tokens: masked scoring runs the sequence once per residue.
    pub(crate) fn cost(&self) -> usize {
        let scans = if self.outputs.contains(OutputKind::MaskedLogprob) {
            self.tokens.len()
        } else {
            1
        };
        self.tokens.len().saturating_mul(scans).max(1)
    }

    /// Its place in line: when it came, and later the longer and the less urgent it is. As the
    /// whole line grows older together, this never changes, and nothing is overtaken for ever.
    /// Large jobs keep their own order, for they hand their answers out in it.
    pub(crate) fn due(&self) -> Instant {
        let tokens = if self.is_bulk {
            0
        } else {
            self.cost().min(LONGEST_COST) as u32
        };
        let priority = self.priority.min(PRIORITIES - 1);
        let rest = WAIT_OF_REST * u32::from(self.is_rest);
        self.in_line_since
            + WAIT_PER_TOKEN * tokens
            + WAIT_PER_PRIORITY * u32::from(priority)
            + rest
    }

    /// Answers without a lane.
    pub(crate) fn refuse(self, error: RequestError) {
        // Nobody may be waiting any more.
        let _ = self.reply.send((Err(error), None));
    }

    /// Why it need not be computed any more.
    pub(crate) fn is_dead(&self, now: Instant) -> Option<RequestError> {
        let cancelled = self.reply.is_closed()
            || self
                .cancelled
                .as_ref()
                .is_some_and(|flag| flag.load(Ordering::Relaxed));
        if cancelled {
            let message = "the request was cancelled";
            return Some(RequestError::new(RequestErrorKind::Cancelled, message));
        }
        if self.deadline.is_some_and(|deadline| deadline < now) {
            let message = "the deadline passed before a device was free";
            return Some(RequestError::new(RequestErrorKind::Deadline, message));
        }
        None
    }
}
