//! The resident pool: models loaded once per device, lanes that share them, and a queue for those
//! that read and for each that writes.

mod bulk;
mod devices;
mod group;
mod pending;
mod report;
mod request;
mod submit;
mod texts;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sessile_device::{
    DeviceId, Execution, ModelIndex, OperationClass, OperationTime, Request, RequestId,
};
use sessile_models::tokenizer::TextTokenizer;
use sessile_models::{LoadReport, ModelInfo};

use crate::discovery;
use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::lane::LaneLoop;
use crate::loading::{self, Clock};
use crate::metrics::{Counted, LaneMetrics, Metrics};
use crate::options::{Dispatch, PoolOptions};
use crate::plan::{self, MemoryPlan};
use crate::queue::{Queue, QueuePolicy};
use crate::resident::{self, Resident};

use group::{Group, NewGroup, groups};

pub use crate::lane::{Fallback, LaneInfo, PoolLane};
pub use bulk::InOrder;
pub use pending::Pending;
pub use report::WritingReport;
pub use request::PoolRequest;
pub use texts::{Texts, WrittenText};

/// Batches per lane that may wait in the queue: enough that no lane runs dry while others are
/// served, few enough that a full queue is a matter of seconds.
const QUEUED_BATCHES_PER_LANE: usize = 8;

/// Models that stay loaded, with the lanes that serve them. Dropping the pool finishes what is
/// queued and ends the lanes.
pub struct Pool {
    groups: Vec<Group>,
    /// The group of each model; empty where the models are not known.
    serving: Vec<usize>,
    metrics: Arc<Metrics>,
    lanes: Vec<LaneInfo>,
    lane_metrics: Vec<Arc<LaneMetrics>>,
    threads: Vec<JoinHandle<()>>,
    plans: Vec<MemoryPlan>,
    models: Vec<ModelInfo>,
    tokenizers: Vec<Option<TextTokenizer>>,
    kernel_families: Vec<String>,
    reports: Vec<LoadReport>,
    load_time: Duration,
    clocks: Vec<Box<dyn Clock>>,
}

impl Pool {
    /// Plans, loads every model once per device, starts the lanes and warms up those that write.
    ///
    /// # Errors
    ///
    /// `DoesNotFit` with the numbers before anything is loaded, and whatever keeps a model from
    /// being loaded or from answering.
    pub fn new<'a>(
        models: impl IntoIterator<Item: Into<Resident<'a>>>,
        options: &PoolOptions,
    ) -> Result<Self, RuntimeError> {
        let models = resident::all(models);
        let devices = discovery::choose(&options.devices)?;
        let plans = plan::plan_on(&models, options, &devices)?;
        let begun = Instant::now();
        let metrics = Arc::new(Metrics::default());
        let planned = devices.into_iter().zip(plans).collect();
        let mut loaded = devices::load(&models, options, planned, &metrics)?;
        let (groups, serving) = groups(&models, options, &mut loaded);
        let mut pool = Pool::start(groups, metrics);
        pool.serving = serving;
        pool.tokenizers = models
            .iter()
            .map(|model| match model {
                Resident::Reads(_) => None,
                Resident::Writes(files) => files.text_tokenizer().ok().cloned(),
            })
            .collect();
        for mut device in loaded {
            pool.clocks.extend(device.take_clock());
            pool.plans.push(device.plan);
            if !pool.kernel_families.contains(&device.kernel_family) {
                pool.kernel_families.push(device.kernel_family);
            }
            pool.reports = device.reports;
        }
        pool.models = pool.plans.first().map_or_else(Vec::new, |plan| {
            plan.models.iter().map(|model| model.info.clone()).collect()
        });
        if options.writing.warm_up {
            pool.warm_up()?;
        }
        for group in &mut pool.groups {
            let lanes = pool.lane_metrics[group.lanes.clone()].iter();
            group.ready = Counted::now(lanes.map(|lane| &**lane));
        }
        pool.load_time = begun.elapsed();
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
    /// it. When the last lane fails for good it goes on with its fallback.
    pub fn with_lanes<L: Into<PoolLane>>(
        lanes: Vec<L>,
        metrics: Arc<Metrics>,
        dispatch: &Dispatch,
        trial: Option<PoolRequest>,
    ) -> Self {
        let group = NewGroup {
            lanes: lanes.into_iter().map(Into::into).collect(),
            dispatch: dispatch.clone(),
            trial,
            writer: None,
        };
        Pool::start(vec![group], metrics)
    }

    /// Starts the lanes.
    fn start(groups: Vec<NewGroup>, metrics: Arc<Metrics>) -> Self {
        let mut pool = Pool {
            groups: Vec::new(),
            serving: Vec::new(),
            metrics,
            lanes: Vec::new(),
            lane_metrics: Vec::new(),
            threads: Vec::new(),
            plans: Vec::new(),
            models: Vec::new(),
            tokenizers: Vec::new(),
            kernel_families: Vec::new(),
            reports: Vec::new(),
            load_time: Duration::ZERO,
            clocks: Vec::new(),
        };
        for group in groups {
            let batch_tokens: usize = group.lanes.iter().map(|lane| lane.info.token_budget).sum();
            let dispatch = &group.dispatch;
            let policy = QueuePolicy {
                capacity_tokens: dispatch
                    .queue_tokens
                    .unwrap_or_else(|| batch_tokens.saturating_mul(QUEUED_BATCHES_PER_LANE)),
                max_fill_wait: dispatch.max_fill_wait,
                max_batch_requests: dispatch.max_batch_requests.max(1),
            };
            let count = group.lanes.len();
            let queue = Arc::new(Queue::new(policy, count, Arc::clone(&pool.metrics)));
            let first = pool.lanes.len();
            for (number, lane) in group.lanes.into_iter().enumerate() {
                pool.start_lane(number, lane, &queue, group.trial.as_ref());
            }
            pool.groups.push(Group {
                queue,
                trial: group.trial,
                lanes: first..pool.lanes.len(),
                writer: group.writer,
                ready: Counted::now(std::iter::empty()),
            });
        }
        pool
    }

    /// Has every lane that writes answer a small request.
    fn warm_up(&self) -> Result<(), RuntimeError> {
        let writers = self.groups.iter().filter(|group| group.writer.is_some());
        let probes: Vec<_> = writers
            .flat_map(|group| group.lanes.clone())
            .map(|lane| self.probe(lane))
            .collect();
        for probe in probes {
            probe.and_then(Pending::wait).map_err(|error| {
                let message = format!("the model does not answer: {error}");
                RuntimeError::new(RuntimeErrorKind::Device, message)
            })?;
        }
        Ok(())
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
        lane: PoolLane,
        queue: &Arc<Queue>,
        trial: Option<&PoolRequest>,
    ) {
        let info = lane.info;
        let name = format!("{} lane {}", info.device, info.index);
        let lane_metrics = Arc::new(LaneMetrics::default());
        let trial = trial.map(|trial| Request {
            id: RequestId(0),
            model: trial.model,
            tokens: trial.tokens.clone(),
            outputs: trial.outputs,
            generation: trial.generation.clone(),
        });
        let lane_loop = LaneLoop {
            name: name.clone(),
            number,
            device: info.device,
            execution: lane.execution,
            token_budget: info.token_budget,
            queue: Arc::clone(queue),
            metrics: Arc::clone(&self.metrics),
            lane_metrics: Arc::clone(&lane_metrics),
            trial,
            fallback: lane.fallback,
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
                queue.leave(number);
            }
        }
        self.lanes.push(info);
        self.lane_metrics.push(lane_metrics);
    }

    /// What each lane has done and how it is, in the order of [`Pool::lanes`].
    pub fn lane_metrics(&self) -> &[Arc<LaneMetrics>] {
        &self.lane_metrics
    }

    /// The lanes.
    pub fn lanes(&self) -> &[LaneInfo] {
        &self.lanes
    }

    /// The lanes that serve a model.
    pub fn lanes_of(&self, model: ModelIndex) -> impl Iterator<Item = &LaneInfo> {
        let group = self.group(model).ok();
        let lanes = group.and_then(|group| self.lanes.get(group.lanes.clone()));
        lanes.unwrap_or_default().iter()
    }

    /// The plan of each device.
    pub fn plans(&self) -> &[MemoryPlan] {
        &self.plans
    }

    /// The resident models, by their [`ModelIndex`].
    pub fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    /// The number formats of the devices, for fingerprints: `bf16+f32`.
    pub fn dtypes(&self) -> String {
        let all: Vec<&str> = self.plans.iter().map(|plan| plan.dtype.name()).collect();
        all.join("+")
    }

    /// The kernel families of the devices: answers of one family are equal to the byte.
    pub fn kernel_families(&self) -> &[String] {
        &self.kernel_families
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
        self.queues().map(Queue::queued_tokens).sum()
    }

    /// Requests that wait for a lane.
    pub fn queued_requests(&self) -> usize {
        self.queues().map(Queue::queued_requests).sum()
    }

    /// How long the oldest of them has waited.
    pub fn oldest_wait(&self) -> Duration {
        let waits = self.queues().map(Queue::oldest_wait);
        waits.max().unwrap_or_default()
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.groups.iter().map(|group| &*group.queue)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queues().for_each(Queue::close);
        for thread in self.threads.drain(..) {
            // A lane catches panics itself; a join error has nothing more to tell.
            let _ = thread.join();
        }
    }
}
