//! The loop of one lane: pull, run, answer.

mod pool_lane;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sessile_device::{
    Admission, DeviceError, DeviceErrorKind, DeviceId, Event, Execution, GivenUp, Request,
    RequestError, RequestErrorKind, RequestId,
};

use crate::metrics::{LaneMetrics, Metrics, TakenBatch};
use crate::queue::{Answer, Entry, LastBatch, Queue, Timing};

pub use pool_lane::{Fallback, LaneInfo, PoolLane};

/// How often a step may fail in which a request ran alone before it is taken for the cause.
const MAX_ATTEMPTS: u32 = 3;

/// How many steps may fail in a row before a lane is taken out.
const MAX_FAILURES: u32 = 3;

/// How long to wait before a lane that failed is tried, longer each time: a fault that passes
/// should not cost a lane.
const TRIAL_PAUSE: Duration = Duration::from_millis(20);

/// A lane: something that executes, and what it pulls from.
pub(crate) struct LaneLoop {
    pub(crate) name: String,
    /// Its number at the queue.
    pub(crate) number: usize,
    pub(crate) device: DeviceId,
    pub(crate) execution: Box<dyn Execution>,
    pub(crate) token_budget: usize,
    pub(crate) queue: Arc<Queue>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lane_metrics: Arc<LaneMetrics>,
    /// Something small that every working lane answers.
    pub(crate) trial: Option<Request>,
    /// What it goes on with if it is the last one.
    pub(crate) fallback: Option<Fallback>,
    pub(crate) failures_in_a_row: u32,
}

/// A request that is running, without its tokens: the execution holds those.
struct Running {
    entry: Entry,
    token_count: usize,
    taken: Instant,
    /// Tokens that were written in this attempt.
    written: usize,
}

impl Running {
    /// Tells of a token, unless an earlier attempt has told it.
    fn tell(&mut self, token: u32) {
        self.written += 1;
        if self.written > self.entry.told {
            self.entry.told = self.written;
            if let Some(listener) = &self.entry.on_token {
                // Nobody may be listening any more.
                let _ = listener.send(token);
            }
        }
    }

    fn answer(self, answer: Answer, device: DeviceId) {
        let timing = Timing {
            queued: self.taken.duration_since(self.entry.arrived),
            computed: self.taken.elapsed(),
            device,
        };
        // Nobody may be waiting any more.
        let _ = self.entry.reply.send((answer, Some(timing)));
    }
}

/// Says when all of these were cancelled; `None` when one of them can not be.
fn nobody_waits(running: &HashMap<RequestId, Running>) -> Option<GivenUp> {
    let flags: Option<Vec<_>> = running
        .values()
        .map(|one| one.entry.cancelled.clone())
        .collect();
    let flags = flags?;
    Some(Arc::new(move || {
        flags.iter().all(|flag| flag.load(Ordering::Relaxed))
    }))
}

impl LaneLoop {
    /// Runs until the queue closes or the lane is taken out.
    pub(crate) fn run(mut self) {
        let mut taken = Vec::new();
        let mut events = Vec::new();
        let mut running = HashMap::new();
        let mut last_id = 0;
        let mut is_out = false;
        let mut last = LastBatch::default();
        while !is_out
            && self
                .queue
                .take(self.number, self.token_budget, last, &mut taken)
                .is_some()
        {
            let begun = Instant::now();
            let tokens = taken.iter().map(|entry| entry.tokens.len()).sum();
            let requests = taken.len();
            self.metrics.batch_taken(TakenBatch { requests, tokens });
            for entry in taken.drain(..) {
                last_id += 1;
                self.admit(RequestId(last_id), entry, begun, &mut running);
            }
            let mut is_full = false;
            while !is_out && !self.execution.is_idle() {
                let is_alone = running.values().any(|one| one.entry.goes_alone);
                if self.execution.takes_more() && !is_full && !is_alone {
                    self.queue.take_waiting(self.token_budget, &mut taken);
                    let now = Instant::now();
                    for entry in taken.drain(..) {
                        last_id += 1;
                        is_full |= !self.admit(RequestId(last_id), entry, now, &mut running);
                    }
                }
                self.metrics.in_steps.add(running.len() as u64);
                self.lane_metrics.in_steps.add(running.len() as u64);
                self.execution.give_up_when(nobody_waits(&running));
                let step = self.repeated_step(&mut events);
                is_full &= events
                    .iter()
                    .all(|(_, event)| matches!(event, Event::Token(_)));
                self.answer(&mut events, &mut running);
                if let Err(error) = &step
                    && error.kind() == DeviceErrorKind::GivenUp
                {
                    self.give_up(&mut running);
                } else if let Err(error) = step {
                    self.put_back(&error, &mut running);
                    is_out = !self.recovers(&error) && self.leaves();
                }
                is_full &= !self.bury(&mut running);
            }
            last = LastBatch {
                requests,
                tokens,
                took: begun.elapsed(),
            };
        }
        if !is_out {
            self.queue.leave(self.number);
        }
    }

    /// Offers a request to the execution. Returns whether there was room for it.
    fn admit(
        &mut self,
        id: RequestId,
        mut entry: Entry,
        taken: Instant,
        running: &mut HashMap<RequestId, Running>,
    ) -> bool {
        let tokens = std::mem::take(&mut entry.tokens);
        let token_count = tokens.len();
        let request = Request {
            id,
            model: entry.model,
            tokens,
            outputs: entry.outputs,
            generation: entry.generation.clone(),
        };
        match self.execution.admit(request) {
            Admission::Accepted => {
                let entry = Running {
                    entry,
                    token_count,
                    taken,
                    written: 0,
                };
                running.insert(id, entry);
            }
            Admission::Full(request) => {
                entry.tokens = request.tokens;
                self.queue.put_back(vec![entry]);
                return false;
            }
            Admission::Refused(_, error) => {
                self.metrics.failed.add(1);
                entry.refuse(error);
            }
        }
        true
    }

    /// One step. A panic in a model or kernel is a fault of ours; it loses this lane and must not
    /// take the work of others with it.
    fn step(&mut self, events: &mut Vec<(RequestId, Event)>) -> Result<(), DeviceError> {
        let begun = Instant::now();
        let step = catch_unwind(AssertUnwindSafe(|| self.execution.step(events)));
        let nanos = begun.elapsed().max(Duration::from_nanos(1)).as_nanos() as u64;
        self.metrics.busy_nanos.add(nanos);
        self.metrics.steps.add(1);
        self.lane_metrics.busy_nanos.add(nanos);
        let step = step.unwrap_or_else(|_| {
            Err(DeviceError::new(
                DeviceErrorKind::Lost,
                "a fault in the program stopped the lane",
            ))
        });
        let is_given_up = |error: &DeviceError| error.kind() == DeviceErrorKind::GivenUp;
        if step.is_ok() || step.as_ref().is_err_and(is_given_up) {
            self.failures_in_a_row = 0;
            self.lane_metrics.succeeded();
        } else {
            self.failures_in_a_row += 1;
            self.lane_metrics.failures.add(1);
        }
        step
    }

    /// One step, tried again where a step that failed leaves everything as it was: what many
    /// requests have written so far is worth more than a moment.
    fn repeated_step(&mut self, events: &mut Vec<(RequestId, Event)>) -> Result<(), DeviceError> {
        let mut step = self.step(events);
        for turn in 1..MAX_FAILURES {
            match &step {
                Err(error)
                    if !matches!(
                        error.kind(),
                        DeviceErrorKind::Lost | DeviceErrorKind::GivenUp
                    ) && self.execution.can_repeat_step() =>
                {
                    tracing::warn!(lane = %self.name, %error, "a step failed and is repeated");
                    std::thread::sleep(TRIAL_PAUSE * turn * turn);
                    step = self.step(events);
                }
                _ => break,
            }
        }
        step
    }

    /// Answers requests whose step was given up: nobody waits for any of them.
    fn give_up(&mut self, running: &mut HashMap<RequestId, Running>) {
        self.execution.take_back();
        for (_, request) in running.drain() {
            self.metrics.dropped.add(1);
            let message = "the request was cancelled while it was computed";
            let error = RequestError::new(RequestErrorKind::Cancelled, message);
            request.answer(Err(error), self.device);
        }
    }

    /// Gives up what nobody waits for any more. Returns whether that made room.
    fn bury(&mut self, running: &mut HashMap<RequestId, Running>) -> bool {
        let now = Instant::now();
        let dead: Vec<(RequestId, RequestError)> = running
            .iter()
            .filter_map(|(id, one)| one.entry.is_dead(now).map(|error| (*id, error)))
            .collect();
        let mut has_room = false;
        for (id, error) in dead {
            if self.execution.cancel(id)
                && let Some(request) = running.remove(&id)
            {
                has_room = true;
                self.metrics.dropped.add(1);
                request.answer(Err(error), self.device);
            }
        }
        has_room
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
                Event::Token(token) => {
                    if let Some(request) = running.get_mut(&id) {
                        request.tell(token);
                    }
                    continue;
                }
            };
            let Some(request) = running.remove(&id) else {
                continue;
            };
            if let Ok(output) = &answer {
                if let Some(text) = output.generated() {
                    let tokens = text.tokens.len() as u64;
                    self.metrics.written.add(tokens);
                    self.lane_metrics.written.add(tokens);
                }
                let tokens = request.token_count as u64;
                self.metrics.answered.add(1);
                self.metrics.tokens.add(tokens);
                self.lane_metrics.answered.add(1);
                self.lane_metrics.tokens.add(tokens);
            } else {
                self.metrics.failed.add(1);
            }
            request.answer(answer, self.device);
        }
    }

    /// Gives the unfinished work of a failed step back to the queue, for whichever lane is free.
    ///
    /// A step that several shared tells nothing about any one of them, so it does not count against
    /// them; they run alone from then on, and what fails alone counts.
    fn put_back(&mut self, error: &DeviceError, running: &mut HashMap<RequestId, Running>) {
        let mut again = Vec::new();
        let was_alone = running.len() == 1;
        let taken_back = catch_unwind(AssertUnwindSafe(|| self.execution.take_back()));
        for request in taken_back.unwrap_or_default() {
            let Some(mut request_running) = running.remove(&request.id) else {
                continue;
            };
            let entry = &mut request_running.entry;
            entry.tokens = request.tokens;
            entry.goes_alone = true;
            entry.attempts += u32::from(was_alone);
            if entry.attempts < MAX_ATTEMPTS {
                again.push(request_running.entry);
            } else {
                self.metrics.failed.add(1);
                let error = RequestError::new(
                    RequestErrorKind::Device,
                    format!("the device failed {MAX_ATTEMPTS} times: {error}"),
                );
                request_running.answer(Err(error), self.device);
            }
        }
        // What the execution did not give back has no tokens any more.
        for (_, request) in running.drain() {
            self.metrics.failed.add(1);
            let error = RequestError::new(RequestErrorKind::Device, error.to_string());
            request.answer(Err(error), self.device);
        }
        self.metrics.requeued.add(again.len() as u64);
        self.lane_metrics.given_back.add(again.len() as u64);
        self.queue.put_back(again);
    }

    /// After a failed step: whether the lane goes on. It takes no more work before it has shown
    /// that it still answers; meanwhile the other lanes take what it had.
    fn recovers(&mut self, error: &DeviceError) -> bool {
        let works = error.kind() != DeviceErrorKind::Lost && self.answers_in_time();
        tracing::warn!(lane = %self.name, %error, is_out = !works, "a step failed");
        if !works {
            self.queue.note_loss(&error.to_string());
        }
        works
    }

    /// The lane stops, unless it is the last one and there is something to fall back on. Returns
    /// whether it has stopped.
    fn leaves(&mut self) -> bool {
        let is_last = !self.queue.leave_to_others(self.number);
        if is_last && self.falls_back() {
            return false;
        }
        self.metrics.lanes_lost.add(1);
        self.lane_metrics.taken_out();
        if is_last {
            self.queue.leave(self.number);
        }
        true
    }

    /// Goes on with what it has to fall back on, if it has.
    fn falls_back(&mut self) -> bool {
        let Some(make) = self.fallback.take() else {
            return false;
        };
        match make() {
            Ok(execution) => {
                tracing::warn!(lane = %self.name, "going on with one request at a time");
                self.execution = execution;
                self.failures_in_a_row = 0;
                self.metrics.fallbacks.add(1);
                self.lane_metrics.fell_back();
                true
            }
            Err(error) => {
                tracing::warn!(lane = %self.name, %error, "there is nothing to fall back on");
                false
            }
        }
    }

    /// Tries the lane until it answers or has failed too often.
    fn answers_in_time(&mut self) -> bool {
        if self.trial.is_none() {
            return self.failures_in_a_row < MAX_FAILURES;
        }
        // The step that failed was the first.
        (1..MAX_FAILURES).any(|turn| {
            std::thread::sleep(TRIAL_PAUSE * turn * turn);
            self.still_works()
        })
    }

    /// Whether the lane answers the trial request: then the fault was in the work, or has passed.
    fn still_works(&mut self) -> bool {
        let Some(trial) = self.trial.clone() else {
            return false;
        };
        let id = trial.id;
        let mut events = Vec::new();
        self.execution.give_up_when(None);
        if !matches!(self.execution.admit(trial), Admission::Accepted) {
            return false;
        }
        while !self.execution.is_idle() {
            if self.step(&mut events).is_err() {
                // It must not stay behind.
                let _ = catch_unwind(AssertUnwindSafe(|| self.execution.take_back()));
                return false;
            }
        }
        events
            .iter()
            .any(|(done, event)| *done == id && matches!(event, Event::Done(_)))
    }
}
