//! The loop of one lane: pull, run, answer.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use sessile_device::{
    Admission, DeviceError, DeviceErrorKind, Event, Execution, Request, RequestError,
    RequestErrorKind, RequestId,
};

use crate::metrics::Metrics;
use crate::queue::{Entry, Queue};

/// How many lanes may fail under a request before it is taken for the cause.
const MAX_ATTEMPTS: u32 = 3;

/// A lane: something that executes, and what it pulls from.
pub(crate) struct LaneLoop {
    pub(crate) name: String,
    pub(crate) execution: Box<dyn Execution>,
    pub(crate) token_budget: usize,
    pub(crate) queue: Arc<Queue>,
    pub(crate) metrics: Arc<Metrics>,
}

/// A request that is running, without its tokens: the execution holds those.
struct Running {
    entry: Entry,
    token_count: usize,
}

impl LaneLoop {
    /// Runs until the queue closes or the device is lost.
    pub(crate) fn run(mut self) {
        let mut taken = Vec::new();
        let mut events = Vec::new();
        let mut running = HashMap::new();
        let mut last_id = 0;
        let mut is_lost = false;
        while !is_lost && self.queue.take(self.token_budget, &mut taken).is_some() {
            for entry in taken.drain(..) {
                last_id += 1;
                self.admit(RequestId(last_id), entry, &mut running);
            }
            while !is_lost && !self.execution.is_idle() {
                let step = self.step(&mut events);
                self.answer(&mut events, &mut running);
                if let Err(error) = step {
                    is_lost = self.put_back(&error, &mut running);
                }
            }
        }
        self.queue.leave();
    }

    fn admit(
        &mut self,
        id: RequestId,
        mut entry: Entry,
        running: &mut HashMap<RequestId, Running>,
    ) {
        let tokens = std::mem::take(&mut entry.tokens);
        let token_count = tokens.len();
        let request = Request {
            id,
            model: entry.model,
            tokens,
            outputs: entry.outputs,
        };
        match self.execution.admit(request) {
            Admission::Accepted => {
                running.insert(id, Running { entry, token_count });
            }
            Admission::Full(request) => {
                entry.tokens = request.tokens;
                self.queue.put_back(vec![entry]);
            }
            Admission::Refused(_, error) => {
                self.metrics.failed.add(1);
                let _ = entry.reply.send(Err(error));
            }
        }
    }

    /// One step. A panic in a model or kernel is a fault of ours; it loses this lane and must not
    /// take the work of others with it.
    fn step(&mut self, events: &mut Vec<(RequestId, Event)>) -> Result<(), DeviceError> {
        let begun = Instant::now();
        let step = catch_unwind(AssertUnwindSafe(|| self.execution.step(events)));
        self.metrics
            .busy_nanos
            .add(begun.elapsed().as_nanos() as u64);
        self.metrics.steps.add(1);
        step.unwrap_or_else(|_| {
            Err(DeviceError::new(
                DeviceErrorKind::Lost,
                "a fault in the program stopped the lane",
            ))
        })
    }

    fn answer(
        &self,
        events: &mut Vec<(RequestId, Event)>,
        running: &mut HashMap<RequestId, Running>,
    ) {
        for (id, event) in events.drain(..) {
            let answer = match event {
                Event::Done(output) => Ok(output),
                Event::Failed(error) => Err(error),
                Event::Token(_) => continue,
            };
            let Some(Running { entry, token_count }) = running.remove(&id) else {
                continue;
            };
            if answer.is_ok() {
                self.metrics.answered.add(1);
                self.metrics.tokens.add(token_count as u64);
            } else {
                self.metrics.failed.add(1);
            }
            // Nobody may be waiting any more.
            let _ = entry.reply.send(answer);
        }
    }

    /// Gives the unfinished work of a failed step back to the queue. Returns whether the lane is
    /// lost; otherwise it goes on.
    fn put_back(&mut self, error: &DeviceError, running: &mut HashMap<RequestId, Running>) -> bool {
        let is_lost = error.kind() == DeviceErrorKind::Lost;
        tracing::warn!(lane = %self.name, %error, is_lost, "a step failed");
        let mut again = Vec::new();
        let taken_back = catch_unwind(AssertUnwindSafe(|| self.execution.take_back()));
        for request in taken_back.unwrap_or_default() {
            let Some(Running { mut entry, .. }) = running.remove(&request.id) else {
                continue;
            };
            entry.tokens = request.tokens;
            entry.attempts += 1;
            if entry.attempts < MAX_ATTEMPTS {
                again.push(entry);
            } else {
                self.metrics.failed.add(1);
                let error = RequestError::new(
                    RequestErrorKind::Device,
                    format!("the device failed {MAX_ATTEMPTS} times: {error}"),
                );
                let _ = entry.reply.send(Err(error));
            }
        }
        // What the execution did not give back has no tokens any more.
        for (_, Running { entry, .. }) in running.drain() {
            self.metrics.failed.add(1);
            let error = RequestError::new(RequestErrorKind::Device, error.to_string());
            let _ = entry.reply.send(Err(error));
        }
        self.queue.put_back(again);
        if is_lost {
            self.metrics.lanes_lost.add(1);
        }
        is_lost
    }
}
