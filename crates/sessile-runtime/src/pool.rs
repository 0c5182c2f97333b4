//! The resident pool: models loaded once per device, lanes that share them, one queue.

mod bulk;
mod loading;
mod pending;
mod planning;
mod request;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sessile_device::{
    DeviceError, DeviceId, Execution, ModelIndex, OperationClass, OperationTime, Output,
    OutputKind, OutputSet, Request, RequestError, RequestErrorKind, RequestId,
};
use sessile_models::{LoadReport, Model, ModelInfo};

use crate::discovery;
use crate::error::RuntimeError;
use crate::lane::LaneLoop;
use crate::metrics::{LaneMetrics, Metrics};
use crate::options::{Dispatch, PoolOptions};
use crate::plan::MemoryPlan;
use crate::queue::{Queue, QueuePolicy};

use loading::Clock;

pub use bulk::InOrder;
pub use pending::Pending;
pub use planning::{plan, plan_device};
pub use request::PoolRequest;

use planning::plan_on;

/// Batches per lane that may wait in the queue: enough that no lane runs dry while others are
/// served, few enough that a full queue is a matter of seconds.
const QUEUED_BATCHES_PER_LANE: usize = 8;

/// How a lane is called and what it may take.
#[derive(Clone, Debug)]
pub struct LaneInfo {
    /// Its device.
    pub device: DeviceId,
    /// Its number on the device.
    pub index: usize,
    /// Tokens of a batch.
    pub token_budget: usize,
}

/// What the last lane goes on with when it fails for good: something that answers one request at a
/// time is better than nothing.
pub type Fallback = Box<dyn FnOnce() -> Result<Box<dyn Execution>, DeviceError> + Send>;

/// A fallback that the lanes share, for the last of them is the one that needs it.
pub(crate) type SharedFallback = Arc<Mutex<Option<Fallback>>>;

/// Models that stay loaded, with the lanes that serve them. Dropping the pool finishes what is
/// queued and ends the lanes.
pub struct Pool {
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    lanes: Vec<LaneInfo>,
    lane_metrics: Vec<Arc<LaneMetrics>>,
    trial: Option<PoolRequest>,
    threads: Vec<JoinHandle<()>>,
    plans: Vec<MemoryPlan>,
    models: Vec<ModelInfo>,
    fingerprints: Vec<String>,
    reports: Vec<LoadReport>,
    load_time: Duration,
    clocks: Vec<Box<dyn Clock>>,
}

impl Pool {
    /// Plans, loads every model once per device and starts the lanes.
    ///
    /// # Errors
    ///
    /// `DoesNotFit` with the numbers before anything is loaded, and whatever keeps a model from
    /// being loaded.
    pub fn new(models: &[Model], options: &PoolOptions) -> Result<Self, RuntimeError> {
        let devices = discovery::choose(&options.devices)?;
        let plans = plan_on(models, options, &devices)?;
        let begun = Instant::now();
        let metrics = Arc::new(Metrics::default());
        let planned = devices.into_iter().zip(plans).collect();
        let loaded = loading::load(models, options, planned, &metrics)?;
        let mut lanes: Vec<(LaneInfo, Box<dyn Execution>)> = Vec::new();
        let mut plans = Vec::new();
        let mut fingerprints = Vec::new();
        let mut reports = Vec::new();
        let mut clocks = Vec::new();
        for device in loaded {
            lanes.extend(device.lanes);
            plans.push(device.plan);
            if !fingerprints.contains(&device.kernel_family) {
                fingerprints.push(device.kernel_family);
            }
            reports = device.reports;
            clocks.extend(device.clock);
        }
        let infos = plans.first().map_or_else(Vec::new, |plan: &MemoryPlan| {
            plan.models.iter().map(|model| model.info.clone()).collect()
        });
        let trial = models.first().map(|files| {
            let tokens = files.tokenizer().encode(b"M").tokens;
            PoolRequest::new(ModelIndex(0), tokens, trial_outputs(options.outputs))
        });
        let mut pool = Pool::with_lanes(lanes, metrics, &options.dispatch, trial);
        pool.plans = plans;
        pool.models = infos;
        pool.fingerprints = fingerprints;
        pool.reports = reports;
        pool.load_time = begun.elapsed();
        pool.clocks = clocks;
        Ok(pool)
    }

    /// A pool over lanes that exist already: for devices of other makes, and to test dispatch
    /// over unequal ones.
    pub fn from_executions(
        lanes: Vec<(LaneInfo, Box<dyn Execution>)>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Pool::with_lanes(lanes, metrics, &Dispatch::default(), None)
    }

    /// The same with its own rules, and with a request that every working lane answers: a lane
    /// whose steps keep failing is tried with it before it is taken out, and [`Pool::probe`] sends
    /// it.
    pub fn with_lanes(
        lanes: Vec<(LaneInfo, Box<dyn Execution>)>,
        metrics: Arc<Metrics>,
        dispatch: &Dispatch,
        trial: Option<PoolRequest>,
    ) -> Self {
        Pool::with_fallback(lanes, metrics, dispatch, trial, None)
    }

    /// The same; when the last lane fails for good it goes on with `fallback`.
    pub fn with_fallback(
        lanes: Vec<(LaneInfo, Box<dyn Execution>)>,
        metrics: Arc<Metrics>,
        dispatch: &Dispatch,
        trial: Option<PoolRequest>,
        fallback: Option<Fallback>,
    ) -> Self {
        let batch_tokens: usize = lanes.iter().map(|(lane, _)| lane.token_budget).sum();
        let policy = QueuePolicy {
            capacity_tokens: dispatch
                .queue_tokens
                .unwrap_or_else(|| batch_tokens.saturating_mul(QUEUED_BATCHES_PER_LANE)),
            max_fill_wait: dispatch.max_fill_wait,
            max_batch_requests: dispatch.max_batch_requests.max(1),
        };
        let queue = Arc::new(Queue::new(policy, lanes.len(), Arc::clone(&metrics)));
        let mut pool = Pool {
            queue,
            metrics,
            lanes: Vec::new(),
            lane_metrics: Vec::new(),
            trial,
            threads: Vec::new(),
            plans: Vec::new(),
            models: Vec::new(),
            fingerprints: Vec::new(),
            reports: Vec::new(),
            load_time: Duration::ZERO,
            clocks: Vec::new(),
        };
        let fallback = Arc::new(Mutex::new(fallback));
        for (number, (lane, execution)) in lanes.into_iter().enumerate() {
            pool.start_lane(number, lane, execution, Arc::clone(&fallback));
        }
        pool
    }

    /// The same pool, for those who loaded its models themselves.
    pub(crate) fn loaded_in(mut self, time: Duration) -> Self {
        self.load_time = time;
        self
    }

    /// The devices it computes on, for people: `cuda:0 (2 lanes), cuda:1 (2 lanes)`.
    pub fn devices(&self) -> String {
        let mut counts: Vec<(DeviceId, usize)> = Vec::new();
        for lane in &self.lanes {
            match counts.iter_mut().find(|(device, _)| *device == lane.device) {
                Some((_, count)) => *count += 1,
                None => counts.push((lane.device, 1)),
            }
        }
        let texts: Vec<String> = (counts.iter())
            .map(|(device, count)| match count {
                1 => format!("{device} (1 lane)"),
                count => format!("{device} ({count} lanes)"),
            })
            .collect();
        texts.join(", ")
    }

    fn start_lane(
        &mut self,
        number: usize,
        lane: LaneInfo,
        execution: Box<dyn Execution>,
        fallback: SharedFallback,
    ) {
        let name = format!("{} lane {}", lane.device, lane.index);
        let lane_metrics = Arc::new(LaneMetrics::default());
        let trial = self.trial.as_ref().map(|trial| Request {
            id: RequestId(0),
            model: trial.model,
            tokens: trial.tokens.clone(),
            outputs: trial.outputs,
            generation: trial.generation.clone(),
        });
        let lane_loop = LaneLoop {
            name: name.clone(),
            number,
            device: lane.device,
            execution,
            token_budget: lane.token_budget,
            queue: Arc::clone(&self.queue),
            metrics: Arc::clone(&self.metrics),
            lane_metrics: Arc::clone(&lane_metrics),
            trial,
            fallback,
            failures_in_a_row: 0,
        };
        match std::thread::Builder::new()
            .name(name)
            .spawn(move || lane_loop.run())
        {
            Ok(thread) => self.threads.push(thread),
            // The closure, and the lane in it, is gone: the others do the work.
            Err(error) => {
                tracing::warn!(%error, "a lane's thread could not be started");
                lane_metrics.taken_out();
                self.metrics.lanes_lost.add(1);
                self.queue.leave(number);
            }
        }
        self.lanes.push(lane);
        self.lane_metrics.push(lane_metrics);
    }

    /// Queues a request, if there is room.
    ///
    /// # Errors
    ///
    /// `Overloaded` when the queue is full, `NoDevice` when no lane is left.
    pub fn submit(&self, request: PoolRequest) -> Result<Pending, RequestError> {
        let (entry, pending) = request.into_entry(false);
        match self.queue.try_push(entry) {
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
    /// `NoDevice` when no lane is left.
    pub fn submit_rest(&self, request: PoolRequest) -> Result<Pending, RequestError> {
        let (mut entry, pending) = request.into_entry(false);
        entry.is_rest = true;
        self.queue.push_rest(entry)?;
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
        let trial = self.trial.clone().ok_or_else(|| {
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
        self.queue.push_pinned(lane, entry)?;
        Ok(pending)
    }

    /// Queues a request and waits for room first.
    pub fn submit_waiting(&self, request: PoolRequest) -> Pending {
        let (entry, pending) = request.into_entry(false);
        self.queue.push_waiting(entry);
        pending
    }

    /// Answers in the order of the requests, with as much in flight as keeps all lanes busy.
    /// Memory does not grow with the number of requests.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_device::{ModelIndex, OutputKind, OutputSet};
    /// use sessile_models::Model;
    /// use sessile_runtime::{Pool, PoolOptions, PoolRequest};
    ///
    /// let demo = Model::demo();
    /// let wanted = OutputSet::default().with(OutputKind::Mean);
    /// let options = PoolOptions { outputs: wanted, ..PoolOptions::default() };
    /// let requests = ["MKV", "GASP"].map(|sequence| {
    ///     let tokens = demo.tokenizer().encode(sequence.as_bytes()).tokens;
    ///     (sequence, PoolRequest::new(ModelIndex(0), tokens, wanted))
    /// });
    /// let pool = Pool::new(&[demo], &options)?;
    /// for (sequence, answer) in pool.infer_many(requests) {
    ///     let vector = answer.map(|output| output.get(OutputKind::Mean).unwrap().data.len());
    ///     assert_eq!(vector.unwrap(), 128, "{sequence}");
    /// }
    /// # Ok::<(), sessile_runtime::RuntimeError>(())
    /// ```
    pub fn infer_many<K, I>(
        &self,
        requests: I,
    ) -> impl Iterator<Item = (K, Result<Output, RequestError>)>
    where
        I: IntoIterator<Item = (K, PoolRequest)>,
    {
        self.in_order(
            requests
                .into_iter()
                .map(|(key, request)| (key, Some(request))),
        )
        .filter_map(|(key, answer)| answer.map(|answer| (key, answer)))
    }

    /// As [`Pool::infer_many`], with items that ask nothing: they only keep their place in the
    /// order. What a caller found wrong with a record travels that way.
    pub fn in_order<K, I>(&self, requests: I) -> InOrder<'_, K, I::IntoIter>
    where
        I: IntoIterator<Item = (K, Option<PoolRequest>)>,
    {
        InOrder::new(self, requests.into_iter())
    }

    /// What each lane has done and how it is, in the order of [`Pool::lanes`].
    pub fn lane_metrics(&self) -> &[Arc<LaneMetrics>] {
        &self.lane_metrics
    }

    /// The lanes.
    pub fn lanes(&self) -> &[LaneInfo] {
        &self.lanes
    }

    /// The plan of each device.
    pub fn plans(&self) -> &[MemoryPlan] {
        &self.plans
    }

    /// The resident models, by their [`ModelIndex`].
    pub fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    /// The kernel families of the devices: answers of one family are equal to the byte.
    pub fn kernel_families(&self) -> &[String] {
        &self.fingerprints
    }

    /// What loading left aside, by model.
    pub fn load_reports(&self) -> &[LoadReport] {
        &self.reports
    }

    /// How long loading took.
    pub fn load_time(&self) -> Duration {
        self.load_time
    }

    /// Where the lanes' time went, by operation, the most time first. Empty unless the pool was
    /// made with [`PoolOptions::timed`].
    pub fn operation_times(&self) -> Vec<(OperationClass, OperationTime)> {
        loading::times(&self.clocks)
    }

    /// Forgets the times measured so far, for example those of a warm-up.
    pub fn reset_operation_times(&self) {
        for clock in &self.clocks {
            clock.reset();
        }
    }

    /// Counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Tokens that wait for a lane.
    pub fn queued_tokens(&self) -> usize {
        self.queue.queued_tokens()
    }

    /// Tokens that may wait for a lane.
    pub fn queue_capacity(&self) -> usize {
        self.queue.capacity_tokens()
    }

    /// Requests that wait for a lane.
    pub fn queued_requests(&self) -> usize {
        self.queue.queued_requests()
    }

    /// How long the oldest of them has waited.
    pub fn oldest_wait(&self) -> Duration {
        self.queue.oldest_wait()
    }
}

/// What a lane is tried with: the cheapest of what it was planned for.
fn trial_outputs(planned: OutputSet) -> OutputSet {
    let cheapest = planned.iter().next().unwrap_or(OutputKind::Mean);
    OutputSet::default().with(cheapest)
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A lane catches panics itself; a join error has nothing more to tell.
            let _ = thread.join();
        }
    }
}
