//! The queue in front of the lanes: bounded in tokens, emptied by whoever is idle.
//!
//! The order is shortest first with ageing, see [`Entry::due`].

mod entry;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sessile_device::{ModelIndex, RequestError, RequestErrorKind};
use tokio::sync::Notify;

use crate::metrics::Metrics;

pub use entry::Timing;
pub(crate) use entry::{Answer, Entry, Reply};

/// How long a lane waits for more work when bulk work has begun to arrive but does not fill a
/// batch yet. Far below the time of a batch, far above the time to read a record.
const BULK_FILL_WAIT: Duration = Duration::from_millis(4);

/// A lane that has just answered several requests gives those who sent them this part of the
/// batch's time to ask again: what is lost by waiting is less than what a fuller batch gains.
const FILL_WAIT_SHARE: u32 = 16;

/// How long no request may come before a lane stops waiting for more.
const FILL_QUIET: Duration = Duration::from_millis(2);

/// How many waiting requests are looked at to fill a batch: far enough to find short sequences
/// for the last tokens of a budget, not so far that a long queue costs time.
const FILL_LOOKAHEAD: usize = 256;

/// How often a full queue is searched from end to end for requests that nobody waits for.
const SWEEP_INTERVAL: Duration = Duration::from_millis(50);

/// How batches are made of what waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuePolicy {
    /// Tokens that may wait.
    pub(crate) capacity_tokens: usize,
    /// Longest time a lane waits for a batch to fill.
    pub(crate) max_fill_wait: Duration,
    /// Most requests of a batch.
    pub(crate) max_batch_requests: usize,
}

/// What a lane has just done: it tells whether more is about to come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastBatch {
    pub(crate) requests: usize,
    pub(crate) tokens: usize,
    pub(crate) took: Duration,
}

struct State {
    /// By place in line; the number keeps equals apart.
    waiting: BTreeMap<(Instant, u64), Entry>,
    /// Work that only one lane may do, by lane.
    pinned: Vec<VecDeque<Entry>>,
    next_number: u64,
    queued_tokens: usize,
    closed: bool,
    /// Lanes that still pull.
    lanes: usize,
    /// Why a lane stopped last, to tell whoever has none left.
    last_loss: Option<String>,
    /// Bulk jobs that may still bring more.
    open_bulk_jobs: usize,
    last_sweep: Instant,
}

/// The queue. Shared by the submitters and all lanes.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Signalled when work arrives or the queue closes.
    work: Condvar,
    /// Signalled when room is made.
    room: Condvar,
    /// The same for asynchronous submitters.
    room_notice: Notify,
    policy: QueuePolicy,
    metrics: Arc<Metrics>,
}

impl Queue {
    pub(crate) fn new(policy: QueuePolicy, lanes: usize, metrics: Arc<Metrics>) -> Self {
        Queue {
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                pinned: (0..lanes).map(|_| VecDeque::new()).collect(),
                next_number: 0,
                queued_tokens: 0,
                closed: false,
                lanes,
                last_loss: None,
                open_bulk_jobs: 0,
                last_sweep: Instant::now(),
            }),
            work: Condvar::new(),
            room: Condvar::new(),
            room_notice: Notify::new(),
            policy,
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

    /// Requests waiting now.
    pub(crate) fn queued_requests(&self) -> usize {
        self.lock().waiting.len()
    }

    /// How long the oldest of them has waited.
    pub(crate) fn oldest_wait(&self) -> Duration {
        let state = self.lock();
        let oldest = state.waiting.values().map(|entry| entry.arrived).min();
        oldest.map_or(Duration::ZERO, |arrived| arrived.elapsed())
    }

    /// Tokens that may wait.
    pub(crate) fn capacity_tokens(&self) -> usize {
        self.policy.capacity_tokens
    }

    /// Appends an entry, or hands it back with the reason.
    pub(crate) fn try_push(&self, entry: Entry) -> Result<(), (Box<Entry>, RequestError)> {
        let mut state = self.lock();
        if state.lanes == 0 || state.closed {
            return Err((Box::new(entry), state.no_device()));
        }
        if !self.has_room(&state, &entry) {
            self.sweep(&mut state);
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
                let error = state.no_device();
                drop(state);
                entry.refuse(error);
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

    /// Appends an entry as soon as there is room, without holding a thread meanwhile.
    pub(crate) async fn push_when_room(&self, mut entry: Entry) -> Result<(), RequestError> {
        loop {
            let notice = self.room_notice.notified();
            tokio::pin!(notice);
            // Registered before looking, so that room made in between is not missed.
            notice.as_mut().enable();
            match self.try_push(entry) {
                Ok(()) => return Ok(()),
                Err((back, error)) if error.kind() == RequestErrorKind::Overloaded => entry = *back,
                Err((_, error)) => return Err(error),
            }
            notice.await;
        }
    }

    /// Appends work that only this lane may do; it goes before all other. At most one such entry
    /// waits for a lane.
    pub(crate) fn push_pinned(&self, lane: usize, entry: Entry) -> Result<(), RequestError> {
        let mut state = self.lock();
        if state.closed {
            return Err(state.no_device());
        }
        match state.pinned.get_mut(lane) {
            Some(list) if list.is_empty() => list.push_back(entry),
            Some(_) => {
                let message = "the lane has such a request already";
                return Err(RequestError::new(RequestErrorKind::Overloaded, message));
            }
            None => return Err(state.no_device()),
        }
        self.work.notify_all();
        Ok(())
    }

    /// An entry larger than the whole queue may stand in it alone.
    fn has_room(&self, state: &State, entry: &Entry) -> bool {
        state.queued_tokens == 0
            || state.queued_tokens.saturating_add(entry.cost()) <= self.policy.capacity_tokens
    }

    fn insert(&self, state: &mut State, entry: Entry) {
        state.insert(entry);
        self.work.notify_all();
    }

    fn notify_room(&self) {
        self.room.notify_all();
        self.room_notice.notify_waiters();
    }

    /// Puts entries back in their places: the lane that had them failed.
    pub(crate) fn put_back(&self, entries: Vec<Entry>) {
        let mut state = self.lock();
        self.metrics.requeued.add(entries.len() as u64);
        for entry in entries {
            state.insert(entry);
        }
        if state.lanes == 0 {
            state.fail_all();
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
    pub(crate) fn take(
        &self,
        lane: usize,
        token_budget: usize,
        last: LastBatch,
        batch: &mut Vec<Entry>,
    ) -> Option<ModelIndex> {
        let mut state = self.lock();
        let mut may_wait = true;
        loop {
            if let Some(entry) = state.pinned.get_mut(lane).and_then(VecDeque::pop_front) {
                let model = entry.model;
                batch.push(entry);
                return Some(model);
            }
            self.bury(&mut state, FILL_LOOKAHEAD);
            if state.queued_tokens > 0 {
                if std::mem::take(&mut may_wait) {
                    state = self.wait_for_bulk(state, token_budget);
                    state = self.wait_for_senders(state, token_budget, last);
                    self.bury(&mut state, FILL_LOOKAHEAD);
                }
                let most = self.policy.max_batch_requests;
                // Another lane may have been quicker.
                if let Some(model) = state.fill(token_budget, most, batch, true) {
                    self.notify_room();
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

    /// What waits now, up to `token_budget`, for a lane that is at work already. What goes alone
    /// is not for it; when that is the first in line there is nothing, so that the lane comes to
    /// rest and takes it.
    pub(crate) fn take_waiting(&self, token_budget: usize, batch: &mut Vec<Entry>) {
        let mut state = self.lock();
        self.bury(&mut state, FILL_LOOKAHEAD);
        if state.queued_tokens > 0
            && state
                .fill(token_budget, self.policy.max_batch_requests, batch, false)
                .is_some()
        {
            self.notify_room();
        }
    }

    /// Waits a moment when a bulk job is just beginning to fill the queue.
    fn wait_for_bulk<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        token_budget: usize,
    ) -> MutexGuard<'a, State> {
        let until = Instant::now() + BULK_FILL_WAIT;
        while state.open_bulk_jobs > 0
            && !state.closed
            && state.queued_tokens < token_budget.min(self.policy.capacity_tokens)
            && state
                .waiting
                .values()
                .next()
                .is_some_and(|entry| entry.is_bulk)
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait_for_work(state, left);
        }
        state
    }

    /// Waits a moment for those to ask again whose requests were just answered together. A lane
    /// that answered one request, or none, does not wait: there the queue is short.
    fn wait_for_senders<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        token_budget: usize,
        last: LastBatch,
    ) -> MutexGuard<'a, State> {
        if last.requests < 2 {
            return state;
        }
        let wait = (last.took / FILL_WAIT_SHARE).min(self.policy.max_fill_wait);
        let until = Instant::now() + wait;
        let enough = last.tokens.min(token_budget);
        while !state.closed && state.open_bulk_jobs == 0 && state.queued_tokens < enough {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let before = state.next_number;
            state = self.wait_for_work(state, left.min(FILL_QUIET));
            if state.next_number == before {
                break;
            }
        }
        state
    }

    fn wait_for_work<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        at_most: Duration,
    ) -> MutexGuard<'a, State> {
        self.work
            .wait_timeout(state, at_most)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Answers and removes entries that nobody waits for any more, among the first in line.
    fn bury(&self, state: &mut State, lookahead: usize) {
        let now = Instant::now();
        let dead: Vec<_> = state
            .waiting
            .iter()
            .take(lookahead)
            .filter_map(|(place, entry)| entry.is_dead(now).map(|error| (*place, error)))
            .collect();
        if dead.is_empty() {
            return;
        }
        for (place, error) in dead {
            if let Some(entry) = state.remove(&place) {
                self.metrics.dropped.add(1);
                entry.refuse(error);
            }
        }
        self.notify_room();
    }

    /// Looks through the whole line, now and then.
    fn sweep(&self, state: &mut State) {
        if state.last_sweep.elapsed() >= SWEEP_INTERVAL {
            state.last_sweep = Instant::now();
            self.bury(state, usize::MAX);
        }
    }

    /// A lane stops pulling. With the last one gone everything that waits is answered.
    pub(crate) fn leave(&self, lane: usize) {
        self.left(self.lock(), lane);
    }

    fn left(&self, mut state: MutexGuard<'_, State>, lane: usize) {
        state.lanes -= 1;
        let error = state.no_device();
        if let Some(pinned) = state.pinned.get_mut(lane) {
            for entry in pinned.drain(..) {
                entry.refuse(error.clone());
            }
        }
        if state.lanes == 0 {
            state.fail_all();
            self.notify_room();
        }
    }

    /// Remembers why a lane is about to stop.
    pub(crate) fn note_loss(&self, reason: &str) {
        self.lock().last_loss = Some(reason.to_owned());
    }

    /// A lane stops pulling, unless it is the last one. Returns whether it has stopped.
    pub(crate) fn leave_to_others(&self, lane: usize) -> bool {
        let state = self.lock();
        if state.lanes <= 1 {
            return false;
        }
        self.left(state, lane);
        true
    }

    /// No more work will come; lanes finish what is queued.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
        self.notify_room();
    }
}

impl State {
    /// What is said when nobody is left to ask, with the reason where there is one.
    fn no_device(&self) -> RequestError {
        let message = match &self.last_loss {
            Some(reason) => format!("no device is left to compute this: {reason}"),
            None => "no device is left to compute this".to_owned(),
        };
        RequestError::new(RequestErrorKind::NoDevice, message)
    }

    fn insert(&mut self, entry: Entry) {
        self.queued_tokens = self.queued_tokens.saturating_add(entry.cost());
        self.next_number += 1;
        self.waiting.insert((entry.due(), self.next_number), entry);
    }

    fn remove(&mut self, place: &(Instant, u64)) -> Option<Entry> {
        let entry = self.waiting.remove(place)?;
        self.queued_tokens -= entry.cost().min(self.queued_tokens);
        Some(entry)
    }

    fn fail_all(&mut self) {
        let error = self.no_device();
        for entry in std::mem::take(&mut self.waiting).into_values() {
            entry.refuse(error.clone());
        }
        self.queued_tokens = 0;
    }

    /// Moves entries of one model into `batch`: the first in line, then whatever fits behind it.
    /// An entry under which a lane failed goes alone, so that it fails alone if it is the cause.
    fn fill(
        &mut self,
        token_budget: usize,
        most: usize,
        batch: &mut Vec<Entry>,
        is_idle: bool,
    ) -> Option<ModelIndex> {
        let mut model = None;
        let mut tokens = 0_usize;
        let mut places = Vec::new();
        for (place, entry) in self.waiting.iter().take(FILL_LOOKAHEAD) {
            let cost = entry.cost();
            match model {
                None if entry.goes_alone && !is_idle => break,
                None => {
                    model = Some(entry.model);
                    tokens = cost;
                    places.push(*place);
                    if entry.goes_alone {
                        break;
                    }
                }
                Some(model) => {
                    let fits = tokens.saturating_add(cost) <= token_budget;
                    if fits && model == entry.model && !entry.goes_alone {
                        tokens += cost;
                        places.push(*place);
                    }
                }
            }
            if tokens >= token_budget || places.len() >= most {
                break;
            }
        }
        batch.extend(places.iter().filter_map(|place| self.remove(place)));
        model
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sessile_device::{OutputKind, OutputSet};
    use tokio::sync::oneshot;

    fn entry(tokens: usize, priority: u8) -> (Entry, oneshot::Receiver<Reply>) {
        let (reply, answer) = oneshot::channel();
        let entry = Entry {
            model: ModelIndex(0),
            tokens: vec![0; tokens],
            outputs: OutputSet::default().with(OutputKind::Mean),
            generation: None,
            priority,
            deadline: None,
            cancelled: None,
            on_token: None,
            told: 0,
            is_bulk: false,
            attempts: 0,
            goes_alone: false,
            arrived: Instant::now(),
            reply,
        };
        (entry, answer)
    }

    fn queue(capacity_tokens: usize) -> Queue {
        let policy = QueuePolicy {
            capacity_tokens,
            max_fill_wait: Duration::from_millis(50),
            max_batch_requests: usize::MAX,
        };
        Queue::new(policy, 1, Arc::default())
    }

    fn taken_after(queue: &Queue, budget: usize, last: LastBatch) -> Vec<usize> {
        let mut batch = Vec::new();
        queue.take(0, budget, last, &mut batch);
        batch.iter().map(|entry| entry.tokens.len()).collect()
    }

    fn taken(queue: &Queue, budget: usize) -> Vec<usize> {
        taken_after(queue, budget, LastBatch::default())
    }

    fn push(queue: &Queue, entry: Entry) {
        queue.try_push(entry).map_err(|(_, error)| error).unwrap();
    }

    #[test]
    fn batches_are_filled_by_tokens_and_short_ones_go_first() {
        let queue = queue(1000);
        let mut answers = Vec::new();
        for tokens in [60, 50, 30, 20, 10] {
            let (entry, answer) = entry(tokens, 1);
            push(&queue, entry);
            answers.push(answer);
        }
        assert_eq!(taken(&queue, 100), [10, 20, 30]);
        assert_eq!(taken(&queue, 100), [50]);
        assert_eq!(taken(&queue, 100), [60]);
        assert_eq!(queue.queued_tokens(), 0);
    }

    #[test]
    fn large_jobs_keep_their_order() {
        let queue = queue(1000);
        let mut answers = Vec::new();
        for tokens in [60, 50, 30, 20, 10] {
            let (mut entry, answer) = entry(tokens, 1);
            entry.is_bulk = true;
            push(&queue, entry);
            answers.push(answer);
        }
        // 60 + 30 + 10 fill the budget; 50 and 20 stay in order for the next.
        assert_eq!(taken(&queue, 100), [60, 30, 10]);
        assert_eq!(taken(&queue, 100), [50, 20]);
    }

    #[test]
    fn a_long_sequence_grows_old_and_goes() {
        let queue = queue(10_000);
        let (mut long, _a) = entry(400, 1);
        let (short, _b) = entry(10, 1);
        long.arrived -= WAIT_FOR_400_TOKENS;
        push(&queue, long);
        push(&queue, short);
        assert_eq!(taken(&queue, 100), [400]);
    }

    #[test]
    fn what_is_not_urgent_grows_old_and_goes() {
        let queue = queue(10_000);
        let (mut patient, _a) = entry(20, 2);
        let (urgent, _b) = entry(20, 0);
        patient.arrived -= Duration::from_secs(21);
        push(&queue, patient);
        push(&queue, urgent);
        let mut batch = Vec::new();
        queue.take(0, 20, LastBatch::default(), &mut batch);
        assert_eq!(batch[0].priority, 2);
    }

    /// More than a sequence of 400 tokens waits for one of 10.
    const WAIT_FOR_400_TOKENS: Duration = Duration::from_millis(200);

    #[test]
    fn a_batch_has_at_most_so_many_requests() {
        let mut queue = queue(1000);
        queue.policy.max_batch_requests = 2;
        let mut answers = Vec::new();
        for _ in 0..5 {
            let (entry, answer) = entry(3, 1);
            push(&queue, entry);
            answers.push(answer);
        }
        assert_eq!(taken(&queue, 100), [3, 3]);
    }

    #[test]
    fn a_sequence_over_the_budget_goes_alone() {
        let queue = queue(1000);
        let (long, _answer) = entry(300, 0);
        let (short, _other) = entry(5, 1);
        push(&queue, long);
        push(&queue, short);
        assert_eq!(taken(&queue, 100), [300]);
        assert_eq!(taken(&queue, 100), [5]);
    }

    #[test]
    fn what_failed_before_goes_alone() {
        let queue = queue(1000);
        let mut answers = Vec::new();
        for goes_alone in [false, true, false] {
            let (mut entry, answer) = entry(5, 1);
            entry.goes_alone = goes_alone;
            push(&queue, entry);
            answers.push(answer);
        }
        assert_eq!(taken(&queue, 100), [5, 5]);
        assert_eq!(taken(&queue, 100), [5]);
    }

    #[test]
    fn urgent_requests_go_first() {
        let queue = queue(1000);
        let (late, _a) = entry(40, 2);
        let (soon, _b) = entry(70, 0);
        push(&queue, late);
        push(&queue, soon);
        assert_eq!(taken(&queue, 100), [70]);
    }

    #[test]
    fn nobody_waits_for_a_lane_that_answered_one() {
        let queue = queue(1000);
        let (one, _a) = entry(5, 1);
        push(&queue, one);
        let last = LastBatch {
            requests: 1,
            tokens: 50,
            took: Duration::from_secs(100),
        };
        let begun = Instant::now();
        assert_eq!(taken_after(&queue, 100, last), [5]);
        assert!(begun.elapsed() < FILL_QUIET);
    }

    #[test]
    fn a_lane_that_answered_several_waits_for_their_senders() {
        let queue = queue(1000);
        let (one, _a) = entry(5, 1);
        let (two, _b) = entry(45, 1);
        push(&queue, one);
        let last = LastBatch {
            requests: 2,
            tokens: 50,
            took: Duration::from_secs(1),
        };
        std::thread::scope(|scope| {
            let lane = scope.spawn(|| taken_after(&queue, 100, last));
            push(&queue, two);
            let batch = lane.join().unwrap();
            assert!(batch == [5, 45] || batch == [5], "{batch:?}");
        });
    }

    #[test]
    fn a_full_queue_says_so_and_keeps_nothing() {
        let queue = queue(100);
        let (first, _a) = entry(80, 1);
        push(&queue, first);
        let (second, _b) = entry(30, 1);
        let (_, error) = queue.try_push(second).err().unwrap();
        assert_eq!(error.kind(), RequestErrorKind::Overloaded);
        assert_eq!(queue.queued_tokens(), 80);
    }

    #[test]
    fn those_who_left_make_room() {
        let queue = queue(100);
        let (first, answer) = entry(80, 1);
        push(&queue, first);
        drop(answer);
        queue.lock().last_sweep -= SWEEP_INTERVAL;
        let (second, _b) = entry(30, 1);
        push(&queue, second);
        assert_eq!(queue.queued_tokens(), 30);
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
            push(&queue, entry);
        }
        assert_eq!(taken(&queue, 100), [7]);
        let error = deadline.try_recv().unwrap().0.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::Deadline);
    }

    #[test]
    fn the_last_lane_to_leave_answers_everybody() {
        let queue = queue(1000);
        let (waiting, mut answer) = entry(40, 1);
        let (pinned, mut pinned_answer) = entry(3, 1);
        push(&queue, waiting);
        queue.push_pinned(0, pinned).unwrap();
        queue.leave(0);
        for answer in [&mut answer, &mut pinned_answer] {
            let error = answer.try_recv().unwrap().0.unwrap_err();
            assert_eq!(error.kind(), RequestErrorKind::NoDevice);
        }
        let (after, _b) = entry(1, 1);
        assert!(queue.try_push(after).is_err());
    }
}
