//! What the queue holds behind its lock: the line, and who is there to take from it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use sessile_device::{ModelIndex, RequestError, RequestErrorKind};

use super::entry::Entry;

/// How many waiting requests are looked at to fill a batch: far enough to find short sequences
/// for the last tokens of a budget, not so far that a long queue costs time.
pub(super) const FILL_LOOKAHEAD: usize = 256;

/// Who waits, and who pulls.
pub(super) struct State {
    /// By place in line; the number keeps equals apart.
    pub(super) waiting: BTreeMap<(Instant, u64), Entry>,
    /// Entries of requests whose first one was taken, until there is room for them.
    pub(super) rest: BTreeMap<(Instant, u64), Entry>,
    pub(super) rest_tokens: usize,
    /// Tokens of those that have found room.
    rest_queued: usize,
    /// Work that only one lane may do, by lane.
    pub(super) pinned: Vec<VecDeque<Entry>>,
    pub(super) next_number: u64,
    pub(super) queued_tokens: usize,
    pub(super) closed: bool,
    /// Lanes that still pull.
    pub(super) lanes: usize,
    /// Why a lane stopped last, to tell whoever has none left.
    pub(super) last_loss: Option<String>,
    /// Bulk jobs that may still bring more.
    pub(super) open_bulk_jobs: usize,
    pub(super) last_sweep: Instant,
}

impl State {
    pub(super) fn new(lanes: usize) -> Self {
        State {
            waiting: BTreeMap::new(),
            rest: BTreeMap::new(),
            rest_tokens: 0,
            rest_queued: 0,
            pinned: (0..lanes).map(|_| VecDeque::new()).collect(),
            next_number: 0,
            queued_tokens: 0,
            closed: false,
            lanes,
            last_loss: None,
            open_bulk_jobs: 0,
            last_sweep: Instant::now(),
        }
    }

    /// What is said when nobody is left to ask, with the reason where there is one.
    pub(super) fn no_device(&self) -> RequestError {
        let message = match &self.last_loss {
            Some(reason) => format!("no device is left to compute this: {reason}"),
            None => "no device is left to compute this".to_owned(),
        };
        RequestError::new(RequestErrorKind::NoDevice, message)
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.queued_tokens = self.queued_tokens.saturating_add(entry.cost());
        if entry.is_rest {
            self.rest_queued = self.rest_queued.saturating_add(entry.cost());
        }
        self.next_number += 1;
        self.waiting.insert((entry.due(), self.next_number), entry);
    }

    pub(super) fn insert_rest(&mut self, entry: Entry) {
        self.rest_tokens = self.rest_tokens.saturating_add(entry.cost());
        self.next_number += 1;
        self.rest.insert((entry.due(), self.next_number), entry);
    }

    /// The first entry beside the queue, if those like it leave it room within `share` tokens.
    pub(super) fn next_rest(&mut self, share: usize) -> Option<Entry> {
        let first = self.rest.first_entry()?;
        let cost = first.get().cost();
        if self.rest_queued > 0 && self.rest_queued.saturating_add(cost) > share {
            return None;
        }
        self.rest_tokens -= cost.min(self.rest_tokens);
        Some(first.remove())
    }

    pub(super) fn remove(&mut self, place: &(Instant, u64)) -> Option<Entry> {
        let entry = self.waiting.remove(place)?;
        self.queued_tokens -= entry.cost().min(self.queued_tokens);
        if entry.is_rest {
            self.rest_queued -= entry.cost().min(self.rest_queued);
        }
        Some(entry)
    }

    pub(super) fn fail_all(&mut self) {
        let error = self.no_device();
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let rest = std::mem::take(&mut self.rest).into_values();
        for entry in waiting.chain(rest) {
            entry.refuse(error.clone());
        }
        (self.queued_tokens, self.rest_tokens, self.rest_queued) = (0, 0, 0);
    }

    /// Moves entries of one model into `batch`: the first in line, then whatever fits behind it.
    /// An entry under which a lane failed goes alone, so that it fails alone if it is the cause.
    pub(super) fn fill(
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
