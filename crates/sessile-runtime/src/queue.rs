//! The queue in front of the lanes: bounded in tokens, emptied by whoever is idle.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sessile_device::{ModelIndex, Output, OutputKind, OutputSet, RequestError, RequestErrorKind};
use tokio::sync::oneshot;

use crate::metrics::Metrics;

/// How long a lane waits for more work when bulk work has begun to arrive but does not fill a
/// batch yet. Far below the time of a batch, far above the time to read a record.
const FILL_WAIT: Duration = Duration::from_millis(4);

/// How many waiting requests are looked at to fill a batch: far enough to find short sequences
/// for the last tokens of a budget, not so far that a long queue costs time.
const FILL_LOOKAHEAD: usize = 256;

/// What an answer is.
pub(crate) type Answer = Result<Output, RequestError>;

/// A request on its way to a lane.
pub(crate) struct Entry {
    pub(crate) model: ModelIndex,
    pub(crate) tokens: Vec<u32>,
    pub(crate) outputs: OutputSet,
    /// Smaller is sooner.
    pub(crate) priority: u8,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: Option<Arc<AtomicBool>>,
    /// Part of a large job: worth waiting a little for a full batch.
    pub(crate) is_bulk: bool,
    /// How often a lane failed under it.
    pub(crate) attempts: u32,
    pub(crate) reply: oneshot::Sender<Answer>,
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

    /// Why it need not be computed any more.
    fn is_dead(&self, now: Instant) -> Option<RequestError> {
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

struct State {
    /// One list per priority, the first served first.
    waiting: [VecDeque<Entry>; PRIORITIES],
    queued_tokens: usize,
    closed: bool,
    /// Lanes that still pull.
    lanes: usize,
    /// Bulk jobs that may still bring more.
    open_bulk_jobs: usize,
}

/// Number of priorities.
pub(crate) const PRIORITIES: usize = 3;

/// The queue. Shared by the submitters and all lanes.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Signalled when work arrives or the queue closes.
    work: Condvar,
    /// Signalled when room is made.
    room: Condvar,
    capacity_tokens: usize,
    metrics: Arc<Metrics>,
}

impl Queue {
    pub(crate) fn new(capacity_tokens: usize, lanes: usize, metrics: Arc<Metrics>) -> Self {
        Queue {
            state: Mutex::new(State {
                waiting: Default::default(),
                queued_tokens: 0,
                closed: false,
                lanes,
                open_bulk_jobs: 0,
            }),
            work: Condvar::new(),
            room: Condvar::new(),
            capacity_tokens,
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the lists whole: every change here is a single push or pop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tokens waiting now.
    pub(crate) fn queued_tokens(&self) -> usize {
        self.lock().queued_tokens
    }

    /// Appends an entry, or hands it back with the reason.
    pub(crate) fn try_push(&self, entry: Entry) -> Result<(), (Box<Entry>, RequestError)> {
        let mut state = self.lock();
        if state.lanes == 0 || state.closed {
            return Err((Box::new(entry), no_device()));
        }
        if !self.has_room(&state, &entry) {
            let message = format!(
                "the queue is full: {} tokens are waiting",
                state.queued_tokens
            );
            return Err((
                Box::new(entry),
                RequestError::new(RequestErrorKind::Overloaded, message),
            ));
        }
        self.insert(&mut state, entry);
        Ok(())
    }

    /// Appends an entry as soon as there is room.
    pub(crate) fn push_waiting(&self, entry: Entry) {
        let mut state = self.lock();
        loop {
            if state.lanes == 0 || state.closed {
                drop(state);
                let _ = entry.reply.send(Err(no_device()));
                return;
            }
            if self.has_room(&state, &entry) {
                self.insert(&mut state, entry);
                return;
            }
            state = self
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An entry larger than the whole queue may stand in it alone.
    fn has_room(&self, state: &State, entry: &Entry) -> bool {
        state.queued_tokens == 0
            || state.queued_tokens.saturating_add(entry.cost()) <= self.capacity_tokens
    }

    fn insert(&self, state: &mut State, entry: Entry) {
        state.queued_tokens = state.queued_tokens.saturating_add(entry.cost());
        let priority = usize::from(entry.priority).min(PRIORITIES - 1);
        state.waiting[priority].push_back(entry);
        self.work.notify_all();
    }

    /// Puts entries back in front, in their order: the lane that had them failed.
    pub(crate) fn put_back(&self, entries: Vec<Entry>) {
        let mut state = self.lock();
        self.metrics.requeued.add(entries.len() as u64);
        for entry in entries.into_iter().rev() {
            state.queued_tokens = state.queued_tokens.saturating_add(entry.cost());
            let priority = usize::from(entry.priority).min(PRIORITIES - 1);
            state.waiting[priority].push_front(entry);
        }
        if state.lanes == 0 {
            fail_all(&mut state);
        }
        self.work.notify_all();
    }

    /// A bulk job begins: lanes may wait a moment for full batches until it ends.
    pub(crate) fn open_bulk(&self) {
        self.lock().open_bulk_jobs += 1;
    }

    /// A bulk job has brought all it has.
    pub(crate) fn close_bulk(&self) {
        self.lock().open_bulk_jobs -= 1;
        self.work.notify_all();
    }

    /// Takes work of one model for at most `token_budget` tokens, or a single larger entry. Waits
    /// while there is none. `None`: the queue is closed and empty.
    pub(crate) fn take(&self, token_budget: usize, batch: &mut Vec<Entry>) -> Option<ModelIndex> {
        let mut state = self.lock();
        loop {
            self.bury(&mut state);
            if state.queued_tokens > 0 {
                state = self.wait_for_fill(state, token_budget);
                self.bury(&mut state);
                // Another lane may have been quicker.
                if let Some(model) = fill(&mut state, token_budget, batch) {
                    self.room.notify_all();
                    return Some(model);
                }
            } else if state.closed {
                return None;
            } else {
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Waits a moment when a bulk job is just beginning to fill the queue.
    fn wait_for_fill<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        token_budget: usize,
    ) -> MutexGuard<'a, State> {
        let until = Instant::now() + FILL_WAIT;
        while state.open_bulk_jobs > 0
            && !state.closed
            && state.queued_tokens < token_budget.min(self.capacity_tokens)
            && state
                .waiting
                .iter()
                .flatten()
                .next()
                .is_some_and(|entry| entry.is_bulk)
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let (guard, _) = self
                .work
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
            state = guard;
        }
        state
    }

    /// Answers and removes entries that nobody waits for any more.
    fn bury(&self, state: &mut State) {
        let now = Instant::now();
        let mut freed = 0;
        for list in &mut state.waiting {
            // Only the part that may be taken next is looked at.
            let mut index = 0;
            while index < list.len().min(FILL_LOOKAHEAD) {
                if let Some(error) = list[index].is_dead(now)
                    && let Some(entry) = list.remove(index)
                {
                    freed += entry.cost();
                    self.metrics.dropped.add(1);
                    let _ = entry.reply.send(Err(error));
                } else {
                    index += 1;
                }
            }
        }
        if freed > 0 {
            state.queued_tokens -= freed.min(state.queued_tokens);
            self.room.notify_all();
        }
    }

    /// A lane stops pulling. With the last one gone everything that waits is answered.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.lanes -= 1;
        if state.lanes == 0 {
            fail_all(&mut state);
            self.room.notify_all();
        }
    }

    /// No more work will come; lanes finish what is queued.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }
}

fn no_device() -> RequestError {
    RequestError::new(
        RequestErrorKind::NoDevice,
        "no device is left to compute this",
    )
}

fn fail_all(state: &mut State) {
    for list in &mut state.waiting {
        for entry in list.drain(..) {
            let _ = entry.reply.send(Err(no_device()));
        }
    }
    state.queued_tokens = 0;
}

/// Moves entries of one model into `batch`: the first in line, then whatever fits behind it.
fn fill(state: &mut State, token_budget: usize, batch: &mut Vec<Entry>) -> Option<ModelIndex> {
    let mut model = None;
    let mut tokens = 0_usize;
    for list in &mut state.waiting {
        let mut index = 0;
        let mut seen = 0;
        while index < list.len() && seen < FILL_LOOKAHEAD && tokens < token_budget {
            seen += 1;
            let cost = list[index].cost();
            let is_first = model.is_none();
            let fits = is_first || tokens.saturating_add(cost) <= token_budget;
            if fits && model.is_none_or(|model| model == list[index].model) {
                if let Some(entry) = list.remove(index) {
                    model = Some(entry.model);
                    tokens = tokens.saturating_add(cost);
                    state.queued_tokens -= cost.min(state.queued_tokens);
                    batch.push(entry);
                }
            } else {
                index += 1;
            }
        }
    }
    model
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tokens: usize, priority: u8) -> (Entry, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let entry = Entry {
            model: ModelIndex(0),
            tokens: vec![0; tokens],
            outputs: OutputSet::default().with(OutputKind::Mean),
            priority,
            deadline: None,
            cancelled: None,
            is_bulk: false,
            attempts: 0,
            reply,
        };
        (entry, answer)
    }

    fn queue(capacity: usize) -> Queue {
        Queue::new(capacity, 1, Arc::default())
    }

    fn taken(queue: &Queue, budget: usize) -> Vec<usize> {
        let mut batch = Vec::new();
        queue.take(budget, &mut batch);
        batch.iter().map(|entry| entry.tokens.len()).collect()
    }

    #[test]
    fn batches_are_filled_by_tokens() {
        let queue = queue(1000);
        let mut answers = Vec::new();
        for tokens in [60, 50, 30, 20, 10] {
            let (entry, answer) = entry(tokens, 1);
            queue.try_push(entry).map_err(|(_, error)| error).unwrap();
            answers.push(answer);
        }
        // 60 + 30 + 10 fill the budget; 50 and 20 stay in order for the next.
        assert_eq!(taken(&queue, 100), [60, 30, 10]);
        assert_eq!(taken(&queue, 100), [50, 20]);
        assert_eq!(queue.queued_tokens(), 0);
    }

    #[test]
    fn a_sequence_over_the_budget_goes_alone() {
        let queue = queue(1000);
        let (long, _answer) = entry(300, 1);
        let (short, _other) = entry(5, 1);
        queue.try_push(long).map_err(|(_, error)| error).unwrap();
        queue.try_push(short).map_err(|(_, error)| error).unwrap();
        assert_eq!(taken(&queue, 100), [300]);
        assert_eq!(taken(&queue, 100), [5]);
    }

    #[test]
    fn urgent_requests_go_first() {
        let queue = queue(1000);
        let (late, _a) = entry(70, 2);
        let (soon, _b) = entry(60, 0);
        queue.try_push(late).map_err(|(_, error)| error).unwrap();
        queue.try_push(soon).map_err(|(_, error)| error).unwrap();
        assert_eq!(taken(&queue, 100), [60]);
    }

    #[test]
    fn a_full_queue_says_so_and_keeps_nothing() {
        let queue = queue(100);
        let (first, _a) = entry(80, 1);
        queue.try_push(first).map_err(|(_, error)| error).unwrap();
        let (second, _b) = entry(30, 1);
        let (_, error) = queue.try_push(second).err().unwrap();
        assert_eq!(error.kind(), RequestErrorKind::Overloaded);
        assert_eq!(queue.queued_tokens(), 80);
    }

    #[test]
    fn nobody_computes_for_those_who_left() {
        let queue = queue(1000);
        let (gone, answer) = entry(40, 1);
        let (late, mut deadline) = entry(40, 1);
        let (stays, _c) = entry(7, 1);
        drop(answer);
        let late = Entry {
            deadline: Some(Instant::now() - Duration::from_millis(1)),
            ..late
        };
        for entry in [gone, late, stays] {
            queue.try_push(entry).map_err(|(_, error)| error).unwrap();
        }
        assert_eq!(taken(&queue, 100), [7]);
        let error = deadline.try_recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::Deadline);
    }

    #[test]
    fn the_last_lane_to_leave_answers_everybody() {
        let queue = queue(1000);
        let (waiting, mut answer) = entry(40, 1);
        queue.try_push(waiting).map_err(|(_, error)| error).unwrap();
        queue.leave();
        let error = answer.try_recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::NoDevice);
        let (after, _b) = entry(1, 1);
        assert!(queue.try_push(after).is_err());
    }
}
