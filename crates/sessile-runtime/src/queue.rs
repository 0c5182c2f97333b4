//! The queue in front of the lanes: bounded in tokens, emptied by whoever is idle.
//!
//! The order is shortest first with ageing, see [`Entry::due`]. What follows the first sequence of a
//! request waits beside the queue and may fill only a part of it, so that large requests leave room
//! for small ones.

mod entry;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sessile_device::{ModelIndex, RequestError, RequestErrorKind};

use crate::metrics::Metrics;

pub use entry::Timing;
pub(crate) use entry::{Answer, Entry, Reply};
use state::{FILL_LOOKAHEAD, State};

/// How long a lane waits for more work when bulk work has begun to arrive but does not fill a
/// batch yet. Far below the time of a batch, far above the time to read a record.
const BULK_FILL_WAIT: Duration = Duration::from_millis(4);

/// A lane that has just answered several requests gives those who sent them this part of the
/// batch's time to ask again: what is lost by waiting is less than what a fuller batch gains.
const FILL_WAIT_SHARE: u32 = 16;

/// How long no request may come before a lane stops waiting for more.
const FILL_QUIET: Duration = Duration::from_millis(2);

/// Entries of requests whose first one was taken fill at most one part in so many of the queue.
const REST_SHARE: usize = 4;

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

/// The queue. Shared by the submitters and all lanes.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Signalled when work arrives or the queue closes.
    work: Condvar,
    /// Signalled when room is made.
    room: Condvar,
    policy: QueuePolicy,
    metrics: Arc<Metrics>,
}

impl Queue {
    pub(crate) fn new(policy: QueuePolicy, lanes: usize, metrics: Arc<Metrics>) -> Self {
        Queue {
            state: Mutex::new(State::new(lanes)),
            work: Condvar::new(),
            room: Condvar::new(),
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
        let state = self.lock();
        state.queued_tokens.saturating_add(state.rest_tokens)
    }

    /// Requests waiting now.
    pub(crate) fn queued_requests(&self) -> usize {
        let state = self.lock();
        state.waiting.len() + state.rest.len()
    }

    /// How long the oldest of them has waited.
    pub(crate) fn oldest_wait(&self) -> Duration {
        let state = self.lock();
        let all = state.waiting.values().chain(state.rest.values());
        let oldest = all.map(|entry| entry.arrived).min();
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

    /// Appends an entry of a request whose first one was taken. It waits beside the queue until
    /// those of its kind leave it room.
    pub(crate) fn push_rest(&self, entry: Entry) -> Result<(), RequestError> {
        let mut state = self.lock();
        if state.lanes == 0 || state.closed {
            return Err(state.no_device());
        }
        state.insert_rest(entry);
        self.move_up(&mut state);
        self.work.notify_all();
        Ok(())
    }

    /// Moves what waits beside the queue into its part of it, by the order of the queue.
    fn move_up(&self, state: &mut State) {
        let share = self.policy.capacity_tokens / REST_SHARE;
        let now = Instant::now();
        while let Some(mut entry) = state.next_rest(share) {
            // What it waited for is its turn, not a lane: that makes it no older than others.
            entry.in_line_since = now;
            match entry.is_dead(now) {
                Some(error) => {
                    self.metrics.dropped.add(1);
                    entry.refuse(error);
                }
                None => state.insert(entry),
            }
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

    /// Something left the queue.
    fn left_room(&self, state: &mut State) {
        self.move_up(state);
        self.room.notify_all();
    }

    /// Puts entries back in their places: the lane that had them failed, or had no room yet.
    pub(crate) fn put_back(&self, entries: Vec<Entry>) {
        let mut state = self.lock();
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
                    self.left_room(&mut state);
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
            self.left_room(&mut state);
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
        self.left_room(state);
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
            self.room.notify_all();
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
        self.room.notify_all();
    }
}
