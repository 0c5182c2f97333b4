//! A pool for a model that generates: how many requests fit, and the lanes that answer them.
//!
//! The weights are there once. Each request that is answered at the same time costs the cells of
//! its hypotheses and of its source, and a share of the step's workspace; all of them share every
//! step. On a CPU one lane has all threads: decoding is bound by reading the weights, and lanes
//! beside each other would read them once each.

use std::sync::Arc;
use std::time::Instant;

use sessile_cpu::{CpuDevice, CpuOptions};
use sessile_device::{
    CellTable, DType, Device, DeviceId, Execution, GenerationSettings, Lane, LaneSpec, PackedBatch,
    PlanDevice, PlanLane, TimedDevice,
};
use sessile_models::generation::{Caches, SequenceToSequence, Step};
use sessile_models::{DecoderExecution, DecoderLimits, GeneratorFiles, GeneratorInfo};

use crate::discovery;
use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::metrics::Metrics;
use crate::options::{DTypeChoice, DeviceChoice, Dispatch};
use crate::pool::{LaneInfo, Pool};

/// Requests that are answered at the same time unless chosen otherwise. More of them share the
/// reading of the weights; from here on the arithmetic takes as long as the reading.
pub const DEFAULT_REQUESTS: usize = 32;

/// The sizes of most requests, where they differ much: memory is planned for one request of the
/// greatest sizes and for so many of these. The cells of a lane are one store for all requests, so
/// a long one takes the room of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// Tokens of a source, special ones included.
    pub source_tokens: usize,
    /// Tokens of an answer, the start token included.
    pub written_tokens: usize,
}

/// What a user can choose about such a pool.
#[derive(Clone, Debug)]
pub struct GeneratorOptions {
    /// Devices to use.
    pub devices: DeviceChoice,
    /// CPU threads in total; `None`: one per core.
    pub threads: Option<usize>,
    /// Number format.
    pub dtype: DTypeChoice,
    /// Requests that are answered at the same time; `None`: as many as fit, up to
    /// [`DEFAULT_REQUESTS`].
    pub requests: Option<usize>,
    /// The settings that need most: beams and greatest length.
    pub settings: GenerationSettings,
    /// The sizes of most requests; `None`: as great as can be.
    pub usual: Option<Usual>,
    /// Longest source to make room for, in tokens; `None`: what the model reads.
    pub source_tokens: Option<usize>,
    /// Bytes of memory to leave alone.
    pub memory_reserve: u64,
    /// Keep time by operation.
    pub timed: bool,
}

/// What a device will hold.
#[derive(Clone, Debug)]
pub struct GeneratorPlan {
    /// The device.
    pub device: DeviceId,
    /// The number format there.
    pub dtype: DType,
    /// What the model is.
    pub info: GeneratorInfo,
    /// Threads of the lane (CPU).
    pub threads: usize,
    /// Requests that are answered at the same time.
    pub requests: usize,
    /// What the lane has room for.
    pub limits: DecoderLimits,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// Bytes of caches and workspace.
    pub lane_bytes: u64,
    /// Bytes the device has left, where that is known.
    pub available_bytes: Option<u64>,
    /// Bytes to leave alone.
    pub reserve_bytes: u64,
}

impl GeneratorPlan {
    /// Bytes in all.
    pub fn total_bytes(&self) -> u64 {
        self.weight_bytes + self.lane_bytes
    }
}

/// Plans a pool without loading anything.
///
/// # Errors
///
/// `DoesNotFit` with the numbers when there is no room for one request, `Option` and `Device` for
/// options that make no sense here.
pub fn plan_generator(
    files: &GeneratorFiles,
    options: &GeneratorOptions,
) -> Result<GeneratorPlan, RuntimeError> {
    let devices = discovery::choose(discovery::discover()?, &options.devices)?;
    let found = devices
        .into_iter()
        .find(|device| device.id == DeviceId::Cpu)
        .ok_or_else(|| {
            RuntimeError::new(
                RuntimeErrorKind::Device,
                "text is generated on the CPU only, so far",
            )
            .with_hint("use --devices cpu")
        })?;
    let dtype = found.dtype(options.dtype)?;
    let threads = options.threads.unwrap_or(found.cores);
    if threads == 0 || options.requests == Some(0) {
        return Err(RuntimeError::new(
            RuntimeErrorKind::Option,
            "--threads and --instances must be at least 1",
        ));
    }
    let device = PlanDevice::new(Arc::clone(&found.geometry));
    let (model, _) = files.load(&device, dtype)?;
    let reads = files.max_source_tokens();
    let longest = options.source_tokens.unwrap_or(reads).min(reads);
    let mut plan = GeneratorPlan {
        device: found.id,
        dtype,
        info: model.info().clone(),
        threads,
        requests: options.requests.unwrap_or(DEFAULT_REQUESTS),
        limits: DecoderLimits::for_requests(1, &options.settings, 1),
        weight_bytes: device.weight_bytes(),
        lane_bytes: 0,
        available_bytes: found.available_bytes,
        reserve_bytes: options.memory_reserve,
    };
    loop {
        plan.limits = limits(plan.requests, options, longest);
        plan.lane_bytes = lane_bytes(&*model, &device, dtype, &plan.limits, options, longest)?;
        let needed = plan.total_bytes().saturating_add(plan.reserve_bytes);
        match plan.available_bytes {
            Some(available) if needed > available => {}
            _ => return Ok(plan),
        }
        if options.requests.is_some() || plan.requests == 1 {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            return Err(RuntimeError::new(
                RuntimeErrorKind::DoesNotFit,
                format!(
                    "{} has {} MiB left, {} MiB are needed: weights {} MiB ({}), caches and \
                     workspace of {} requests {} MiB, reserve {} MiB",
                    plan.device,
                    mib(plan.available_bytes.unwrap_or(0)),
                    mib(needed),
                    mib(plan.weight_bytes),
                    plan.dtype,
                    plan.requests,
                    mib(plan.lane_bytes),
                    mib(plan.reserve_bytes),
                ),
            )
            .with_hint("use fewer beams, a smaller --max-length or --dtype bf16"));
        }
        plan.requests = (plan.requests / 2).max(1);
    }
}

/// Room for one request of the greatest sizes, and for `requests` of the usual ones.
fn limits(requests: usize, options: &GeneratorOptions, source_tokens: usize) -> DecoderLimits {
    let settings = &options.settings;
    let Some(usual) = options.usual else {
        return DecoderLimits::for_requests(requests, settings, source_tokens);
    };
    let longest = DecoderLimits::for_requests(1, settings, source_tokens);
    let usual_settings = GenerationSettings {
        max_length: usual.written_tokens,
        ..settings.clone()
    };
    let usual = DecoderLimits::for_requests(requests, &usual_settings, usual.source_tokens);
    DecoderLimits {
        rows: usual.rows,
        own_cells: usual.own_cells.max(longest.own_cells),
        source_cells: usual.source_cells.max(longest.source_cells),
        encode_tokens: longest.encode_tokens,
    }
}

/// The height of a lane's arena when everything is full.
fn lane_bytes(
    model: &dyn SequenceToSequence<PlanDevice>,
    device: &PlanDevice,
    dtype: DType,
    limits: &DecoderLimits,
    options: &GeneratorOptions,
    longest: usize,
) -> Result<u64, RuntimeError> {
    let mut lane: PlanLane = device.lane(&LaneSpec {
        arena_bytes: usize::MAX,
        threads: 1,
    })?;
    let caches = Caches::new(
        &mut lane,
        model.info(),
        dtype,
        limits.own_cells,
        limits.source_cells,
    )?;
    let mut batch = PackedBatch::default();
    let mut left = limits.encode_tokens;
    while left > 0 {
        let tokens = vec![0; left.min(longest)];
        left -= tokens.len();
        batch.push(&tokens);
    }
    let mark = lane.mark();
    model.encode(&mut lane, &batch, &vec![0; batch.tokens().len()], &caches)?;
    lane.release(mark);

    let rows = limits.rows;
    let mut step = Step {
        tokens: vec![0; rows],
        positions: vec![0; rows],
        own_cells: vec![0; rows],
        own: CellTable::default(),
        source: CellTable::default(),
    };
    // As many cells as there are, with lists as long as they can become.
    let mut left = limits.own_cells;
    for row in 0..rows {
        let even = left.div_ceil(rows - row);
        let list = even.max(options.settings.max_length).min(left);
        step.own.push((0..list).map(|_| 0), 1);
        left -= list;
    }
    step.source.push((0..limits.source_cells).map(|_| 0), rows);
    model.decode(&mut lane, &step, &caches)?;
    Ok(lane.report().arena_bytes as u64)
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
}

impl GeneratorPool {
    /// Plans, loads the weights once and starts the lane.
    ///
    /// # Errors
    ///
    /// As [`plan_generator`], and whatever keeps the model from being loaded.
    pub fn new(files: &GeneratorFiles, options: &GeneratorOptions) -> Result<Self, RuntimeError> {
        let plan = plan_generator(files, options)?;
        let begun = Instant::now();
        let device = CpuDevice::new(CpuOptions {
            isa: None,
            threads: plan.threads,
        })?;
        let kernel_family = device.kernel_family(plan.dtype);
        let spec = LaneSpec {
            arena_bytes: plan.lane_bytes as usize,
            threads: plan.threads,
        };
        let mut clock = None;
        let execution: Box<dyn Execution> = if options.timed {
            let device = TimedDevice::new(device);
            let (model, _) = files.load(&device, plan.dtype)?;
            let lane = device.lane(&spec)?;
            clock = Some(device);
            Box::new(DecoderExecution::new(lane, model, plan.dtype, plan.limits)?)
        } else {
            let (model, _) = files.load(&device, plan.dtype)?;
            let lane = device.lane(&spec)?;
            Box::new(DecoderExecution::new(lane, model, plan.dtype, plan.limits)?)
        };
        let lane = LaneInfo {
            device: plan.device,
            index: 0,
            token_budget: plan.limits.source_cells,
        };
        let metrics = Arc::new(Metrics::default());
        metrics.model_loads.add(1);
        let dispatch = Dispatch {
            max_batch_requests: plan.requests,
            ..Dispatch::default()
        };
        Ok(GeneratorPool {
            pool: Pool::with_lanes(vec![(lane, execution)], metrics, &dispatch, None)
                .loaded_in(begun.elapsed()),
            plan,
            kernel_family,
            clock,
        })
    }
}
