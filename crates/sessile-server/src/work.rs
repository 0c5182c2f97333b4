//! From sequences to answers: the jobs of a request go to the pool a window at a time, in order,
//! and their answers come back in that order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile_device::{GenerationSettings, ModelIndex, Output, OutputSet, RequestError};
use sessile_runtime::{Pending, PoolRequest, Timing};

use crate::failure::{Failure, FailureKind};
use crate::otlp;
use crate::service::Service;

/// A request keeps at most this many batches per lane in the queue, so that a large one leaves
/// room for others.
const WINDOW_BATCHES_PER_LANE: usize = 2;

/// What a client asks for besides the answer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) priority: u8,
    pub(crate) timeout: Option<Duration>,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            priority: 1,
            timeout: None,
        }
    }
}

/// One sequence for the pool.
pub(crate) struct Job {
    pub(crate) tokens: Vec<u32>,
    pub(crate) outputs: OutputSet,
}

/// What became of a job.
pub(crate) type Done = Result<(Output, Timing), Failure>;

/// A request as the pool sees it: jobs, and a place for their answers.
pub(crate) trait Work {
    /// The model that is asked.
    fn model(&self) -> ModelIndex;

    /// Its name.
    fn model_name(&self) -> &str;

    /// How to write, for models that do.
    fn generation(&self) -> Option<Arc<GenerationSettings>> {
        None
    }

    /// The next job with a key of its own.
    fn next_job(&mut self) -> Option<(usize, Job)>;

    /// Takes the answer to the job of this key. Called in the order of the jobs.
    ///
    /// # Errors
    ///
    /// What makes the rest of the request pointless.
    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure>;
}

/// Runs all jobs of `work`, within the time it was given. When this future is dropped, what no
/// lane has begun with is cancelled.
pub(crate) async fn run(
    service: &Service,
    terms: Terms,
    work: &mut impl Work,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let deadline = deadline(service, terms);
    tokio::time::timeout_at(deadline.into(), run_jobs(service, terms, deadline, work))
        .await
        .unwrap_or_else(|_| {
            let timeout = deadline.duration_since(begun).as_millis();
            let message = format!("there was no answer within {timeout} ms");
            Err(Failure::new(FailureKind::Timeout, message))
        })
}

/// When the answer is not wanted any more.
pub(crate) fn deadline(service: &Service, terms: Terms) -> Instant {
    let longest = service.options.request_timeout;
    Instant::now() + terms.timeout.map_or(longest, |wanted| wanted.min(longest))
}

async fn run_jobs(
    service: &Service,
    terms: Terms,
    deadline: Instant,
    work: &mut impl Work,
) -> Result<(), Failure> {
    let pool = &service.engine()?.pool;
    let batch_tokens: usize = pool
        .lanes_of(work.model())
        .map(|lane| lane.token_budget)
        .sum();
    let window = batch_tokens
        .saturating_mul(WINDOW_BATCHES_PER_LANE)
        .min(pool.queue_capacity(work.model()));
    let mut in_flight: VecDeque<(usize, usize, Pending)> = VecDeque::new();
    let mut outstanding = 0;
    let mut held = None;
    let mut is_first = true;
    loop {
        while let Some((key, job)) = held.take().or_else(|| work.next_job()) {
            let tokens = job.tokens.len();
            if outstanding + tokens > window && !in_flight.is_empty() {
                held = Some((key, job));
                break;
            }
            let mut request = PoolRequest::new(work.model(), job.tokens, job.outputs);
            request.priority = terms.priority;
            request.deadline = Some(deadline);
            request.generation = work.generation();
            // A request whose first job finds room is accepted: the others wait beside the queue.
            let pending = if std::mem::take(&mut is_first) {
                pool.submit(request)
            } else {
                pool.submit_rest(request)
            };
            let pending = pending.map_err(|error| refused(service, error))?;
            outstanding += tokens;
            in_flight.push_back((key, tokens, pending));
        }
        let Some((key, tokens, pending)) = in_flight.pop_front() else {
            return Ok(());
        };
        let (answer, timing) = pending.timed().await;
        outstanding -= tokens;
        if let Some(timing) = timing {
            service
                .telemetry
                .computed(work.model_name(), tokens, timing);
            otlp::computed(timing);
        }
        let done = match (answer, timing) {
            (Ok(output), Some(timing)) => Ok((output, timing)),
            (Ok(_), None) => Err(Failure::new(
                FailureKind::Internal,
                "an answer without a lane",
            )),
            (Err(error), _) => Err(error.into()),
        };
        work.take(key, done)?;
    }
}

/// Why a request was not taken, and when to come back.
pub(crate) fn refused(service: &Service, error: RequestError) -> Failure {
    let failure = Failure::from(error);
    if failure.kind == FailureKind::Overloaded {
        return failure.retry_after(service.backlog_seconds());
    }
    failure
}
