//! Requests on their way to the lanes that serve their model.

use sessile_device::{ModelIndex, RequestError, RequestErrorKind};

use super::group::Group;
use super::{Pending, Pool, PoolRequest};
use crate::queue::Queue;

impl Pool {
    /// The lanes of a model, and their queue.
    pub(super) fn group(&self, model: ModelIndex) -> Result<&Group, RequestError> {
        let group = match self.serving.get(model.0) {
            Some(&group) => self.groups.get(group),
            // Lanes that were given: they know their models themselves.
            None if self.serving.is_empty() => self.groups.first(),
            None => None,
        };
        group.ok_or_else(|| {
            let message = format!("there is no model number {}", model.0);
            RequestError::new(RequestErrorKind::InvalidInput, message)
        })
    }

    fn queue(&self, model: ModelIndex) -> Result<&Queue, RequestError> {
        self.group(model).map(|group| &*group.queue)
    }

    /// Queues a request, if there is room.
    ///
    /// # Errors
    ///
    /// `Overloaded` when the queue is full, `NoDevice` when no lane is left, `InvalidInput` when
    /// there is no such model.
    pub fn submit(&self, request: PoolRequest) -> Result<Pending, RequestError> {
        let queue = self.queue(request.model)?;
        let (entry, pending) = request.into_entry(false);
        match queue.try_push(entry) {
            Ok(()) => Ok(pending),
            Err((_, error)) => Err(error),
        }
    }

    /// Queues what follows the first sequence of a large request. It is taken at once, and waits
    /// beside the queue until the rest of other large requests leaves it room there: whoever calls
    /// bounds what is on its way.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit), but a full queue is none.
    pub fn submit_rest(&self, request: PoolRequest) -> Result<Pending, RequestError> {
        let queue = self.queue(request.model)?;
        let (mut entry, pending) = request.into_entry(false);
        entry.is_rest = true;
        queue.push_rest(entry)?;
        Ok(pending)
    }

    /// Asks one lane, by its place in [`Pool::lanes`], for a real forward pass over a minimal
    /// sequence, before all other work.
    ///
    /// # Errors
    ///
    /// `NoDevice` when the lane is out, `Overloaded` while it has not answered the last probe,
    /// `InvalidInput` when the pool was made without a request to try lanes with.
    pub fn probe(&self, lane: usize) -> Result<Pending, RequestError> {
        let group = self.groups.iter().find(|group| group.lanes.contains(&lane));
        let trial = group.and_then(|group| Some((group, group.trial.clone()?)));
        let (group, trial) = trial.ok_or_else(|| {
            RequestError::new(
                RequestErrorKind::InvalidInput,
                "the pool has no request to try its lanes with",
            )
        })?;
        if self.lane_metrics.get(lane).is_none_or(|lane| lane.is_out()) {
            let message = "the lane was taken out";
            return Err(RequestError::new(RequestErrorKind::NoDevice, message));
        }
        let (entry, pending) = trial.into_entry(false);
        group.queue.push_pinned(lane - group.lanes.start, entry)?;
        Ok(pending)
    }

    /// Queues a request and waits for room first.
    pub fn submit_waiting(&self, request: PoolRequest) -> Pending {
        self.push_waiting(request, false)
    }

    pub(super) fn push_waiting(&self, request: PoolRequest, is_bulk: bool) -> Pending {
        let queue = self.queue(request.model);
        let (entry, pending) = request.into_entry(is_bulk);
        match queue {
            Ok(queue) => queue.push_waiting(entry),
            Err(error) => entry.refuse(error),
        }
        pending
    }

    /// Tokens that may wait for a lane, of requests for this model.
    pub fn queue_capacity(&self, model: ModelIndex) -> usize {
        self.queue(model).map_or(0, Queue::capacity_tokens)
    }
}
