//! A pool for a model that generates: how many requests fit, and the lanes that answer them.
//!
//! The weights are there once. Each request that is answered at the same time costs the cells of
//! its hypotheses and of its source, and a share of the step's workspace; all of them share every
//! step. On a CPU one lane has all threads: decoding is bound by reading the weights, and lanes
//! beside each other would read them once each.

mod plan;
mod report;
mod texts;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile_cpu::{CpuDevice, CpuOptions};
use sessile_device::{
    DecodingLane, Device, DeviceError, Execution, GenerationSettings, LaneSpec, ModelIndex,
    OutputSet, TimedDevice,
};
use sessile_models::tokenizer::TextTokenizer;
use sessile_models::{DecoderExecution, DecoderLimits, Model};

use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::metrics::Metrics;
use crate::options::{DEFAULT_FILL_WAIT, DTypeChoice, DeviceChoice, Dispatch};
use crate::pool::{Fallback, LaneInfo, Pool, PoolRequest};

use report::Counted;

pub use plan::{DEFAULT_REQUESTS, GeneratorPlan, InstanceReason, Instances, Usual, plan_generator};
pub use report::GeneratorReport;
pub use texts::WrittenText;
pub use work::{GeneratorWork, generator_work};

/// What a user can choose about such a pool.
#[derive(Clone, Debug)]
pub struct GeneratorOptions {
    /// Devices to use.
    pub devices: DeviceChoice,
    /// CPU threads in total; `None`: one per core.
    pub threads: Option<usize>,
    /// Number format.
    pub dtype: DTypeChoice,
    /// Requests that are answered at the same time.
    pub instances: Instances,
    /// The settings that need most: beams and greatest length.
    pub settings: GenerationSettings,
    /// The sizes of most requests; `None`: as great as can be.
    pub usual: Option<Usual>,
    /// Longest source to make room for, in tokens; `None`: what the model reads.
    pub source_tokens: Option<usize>,
    /// Bytes of memory that the device has; `None`: what it has left.
    pub memory: Option<u64>,
    /// Bytes of memory to leave alone.
    pub memory_reserve: u64,
    /// Most requests that enter at once; `None`: as many as there are instances.
    pub batch: Option<usize>,
    /// Longest time to wait for more requests before an idle lane begins.
    pub max_delay: Duration,
    /// Requests that may wait; `None`: a few for each instance.
    pub queue: Option<usize>,
    /// Whether a first small request is answered before any other.
    pub warm_up: bool,
    /// Keep time by operation.
    pub timed: bool,
}

impl GeneratorOptions {
    /// Everything as it is unless chosen otherwise, for these settings.
    pub fn new(settings: GenerationSettings) -> Self {
        GeneratorOptions {
            devices: DeviceChoice::default(),
            threads: None,
            dtype: DTypeChoice::default(),
            instances: Instances::default(),
            settings,
            usual: None,
            source_tokens: None,
            memory: None,
            memory_reserve: 0,
            batch: None,
            max_delay: DEFAULT_FILL_WAIT,
            queue: None,
            warm_up: true,
            timed: false,
        }
    }
}

/// A pool that generates.
pub struct GeneratorPool {
    /// The pool: requests carry [`generation`](crate::PoolRequest::generation).
    pub pool: Pool,
    /// What it holds.
    pub plan: GeneratorPlan,
    /// The family of kernels.
    pub kernel_family: String,
    /// Time by operation, when asked for.
    pub clock: Option<TimedDevice<CpuDevice>>,
    /// From text to tokens and back.
    pub tokenizer: TextTokenizer,
    /// The counters when it was ready.
    ready: Counted,
}

impl GeneratorPool {
    /// Plans, loads the weights once, starts the lane and warms it up.
    ///
    /// # Errors
    ///
    /// As [`plan_generator`], and whatever keeps the model from being loaded or from answering.
    pub fn new(files: &Model, options: &GeneratorOptions) -> Result<Self, RuntimeError> {
        let plan = plan_generator(files, options)?;
        let begun = Instant::now();
        let device = CpuDevice::new(CpuOptions {
            isa: None,
            threads: plan.threads,
        })?;
        let kernel_family = device.kernel_family(plan.dtype);
        let metrics = Arc::new(Metrics::default());
        let mut clock = None;
        let (execution, fallback) = if options.timed {
            let device = TimedDevice::new(device);
            let made = executions(files, &device, &plan)?;
            clock = Some(device);
            made
        } else {
            executions(files, &device, &plan)?
        };
        metrics.model_loads.add(1);
        let lane = LaneInfo {
            device: plan.device,
            index: 0,
            token_budget: plan.limits.source_cells,
        };
        let longest = files.description().max_tokens;
        let dispatch = Dispatch {
            max_batch_requests: options.batch.unwrap_or(plan.requests),
            max_fill_wait: options.max_delay,
            queue_tokens: options.queue.map(|queue| queue.saturating_mul(longest)),
        };
        let trial = trial(files)?;
        let pool = Pool::with_fallback(
            vec![(lane, execution)],
            metrics,
            &dispatch,
            Some(trial.clone()),
            Some(fallback),
        );
        if options.warm_up {
            pool.submit_waiting(trial).wait().map_err(|error| {
                let message = format!("the model does not answer: {error}");
                RuntimeError::new(RuntimeErrorKind::Device, message)
            })?;
        }
        let ready = Counted::now(pool.metrics());
        Ok(GeneratorPool {
            pool: pool.loaded_in(begun.elapsed()),
            plan,
            kernel_family,
            clock,
            tokenizer: files.text_tokenizer()?.clone(),
            ready,
        })
    }
}

/// The model on a device, with a lane that has room for what is planned, and what to fall back on.
fn executions<D: Device + Clone + 'static>(
    files: &Model,
    device: &D,
    plan: &GeneratorPlan,
) -> Result<(Box<dyn Execution>, Fallback), RuntimeError>
where
    D::Lane: DecodingLane,
{
    let (model, _) = files.load_writer(device, plan.dtype)?;
    let (dtype, threads) = (plan.dtype, plan.threads);
    let device = device.clone();
    let execution = move |limits: DecoderLimits, bytes: u64| {
        let lane = device.lane(&LaneSpec {
            arena_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            threads,
        })?;
        let execution = DecoderExecution::new(lane, Arc::clone(&model), dtype, limits)?;
        Ok::<Box<dyn Execution>, DeviceError>(Box::new(execution))
    };
    let (single, single_bytes) = (plan.single, plan.single_bytes);
    let first = execution(plan.limits, plan.lane_bytes)?;
    Ok((first, Box::new(move || execution(single, single_bytes))))
}

/// What every working lane answers: one token after a source without content.
fn trial(files: &Model) -> Result<PoolRequest, RuntimeError> {
    let tokens = files.text_tokenizer()?.encode("");
    let settings = GenerationSettings {
        num_beams: 1,
        min_length: 0,
        max_length: 2,
        do_sample: false,
        ..files.settings()?.clone()
    };
    let mut request = PoolRequest::new(ModelIndex(0), tokens, OutputSet::default());
    request.generation = Some(Arc::new(settings));
    Ok(request)
}
