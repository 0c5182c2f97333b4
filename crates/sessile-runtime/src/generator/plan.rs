//! What a model that generates needs of a device: the weights once, and for each request that is
//! answered at the same time its caches and its share of the workspace.

use std::sync::Arc;

use sessile_device::{
    CellTable, DType, Device, DeviceId, GenerationSettings, Lane, LaneSpec, PackedBatch,
    PlanDevice, PlanLane,
};
use sessile_models::generation::{Caches, SequenceToSequence, Step};
use sessile_models::{DecoderLimits, GeneratorInfo, Model};

use super::GeneratorOptions;
use crate::discovery;
use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::options::check_threads;

/// Requests that are answered at the same time unless chosen otherwise. More of them share the
/// reading of the weights; from here on the arithmetic takes as long as the reading.
pub const DEFAULT_REQUESTS: usize = 32;

/// Most requests that a lane answers at the same time.
const MOST_REQUESTS: usize = 4096;

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

/// How many requests may be answered at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// So many.
    Exactly(usize),
    /// As many as fit, up to this.
    UpTo(usize),
}

impl Default for Instances {
    fn default() -> Self {
        Instances::UpTo(DEFAULT_REQUESTS)
    }
}

/// Why there are as many instances as there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceReason {
    /// So many were asked for.
    Asked,
    /// No more are wanted; memory would hold more.
    Limit,
    /// One more would not fit the memory.
    Memory,
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
    /// Requests that are answered at the same time: the instances.
    pub requests: usize,
    /// Why so many.
    pub reason: InstanceReason,
    /// What the lane has room for.
    pub limits: DecoderLimits,
    /// The same for one request at a time: what a lane that failed falls back on.
    pub single: DecoderLimits,
    /// Bytes of caches and workspace of that.
    pub single_bytes: u64,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// Bytes of caches and workspace.
    pub lane_bytes: u64,
    /// Bytes of the caches among them.
    pub cache_bytes: u64,
    /// Bytes that one instance more would take.
    pub instance_bytes: u64,
    /// Bytes the device has left, where that is known.
    pub available_bytes: Option<u64>,
    /// Bytes to leave alone.
    pub reserve_bytes: u64,
}

impl GeneratorPlan {
    /// Bytes in all.
    pub fn total_bytes(&self) -> u64 {
        self.weight_bytes.saturating_add(self.lane_bytes)
    }

    /// Bytes of the workspace, which all instances share.
    pub fn workspace_bytes(&self) -> u64 {
        self.lane_bytes.saturating_sub(self.cache_bytes)
    }
}

/// Plans a pool without loading anything.
///
/// # Errors
///
/// `DoesNotFit` with the numbers when there is no room for one request, or for as many as were
/// asked for; `Option` and `Device` for options that make no sense here.
pub fn plan_generator(
    files: &Model,
    options: &GeneratorOptions,
) -> Result<GeneratorPlan, RuntimeError> {
    let found = discovery::processor_only(&options.devices, "text is generated")?;
    let dtype = found.dtype(options.dtype)?;
    check_threads(options.threads)?;
    let threads = options.threads.unwrap_or(found.cores);
    let device = PlanDevice::new(Arc::clone(&found.geometry));
    let (model, _) = files.load_writer(&device, dtype)?;
    let reads = files.description().max_tokens;
    let sizes = Sizes {
        model: &*model,
        device: &device,
        dtype,
        options,
        longest: options.source_tokens.unwrap_or(reads).min(reads),
    };
    check(options, model.info())?;
    let weight_bytes = device.weight_bytes();
    let available_bytes = options.memory.or(found.available_bytes);
    let room = available_bytes.map(|bytes| {
        bytes
            .saturating_sub(options.memory_reserve)
            .saturating_sub(weight_bytes)
    });
    let fits = |requests: usize| -> Result<bool, RuntimeError> {
        let bytes = sizes.of(requests, room)?.lane;
        Ok(room.is_none_or(|room| bytes <= room))
    };
    let (requests, reason) = match options.instances {
        Instances::Exactly(number) => (number, InstanceReason::Asked),
        Instances::UpTo(most) if fits(most)? => (most, InstanceReason::Limit),
        Instances::UpTo(most) => {
            // The greatest number that fits, or 1.
            let (mut good, mut bad) = (1, most);
            while good + 1 < bad {
                let middle = good.midpoint(bad);
                if fits(middle)? {
                    good = middle;
                } else {
                    bad = middle;
                }
            }
            (good, InstanceReason::Memory)
        }
    };
    let bytes = sizes.of(requests, room)?;
    let does_fit = room.is_none_or(|room| bytes.lane <= room);
    let plan = GeneratorPlan {
        device: found.id,
        dtype,
        info: model.info().clone(),
        threads,
        requests,
        reason,
        limits: sizes.limits(requests),
        single: sizes.limits(1),
        single_bytes: sizes.of(1, room)?.lane,
        weight_bytes,
        lane_bytes: bytes.lane,
        cache_bytes: bytes.caches,
        instance_bytes: if does_fit {
            let more = sizes.of(requests + 1, None)?.lane;
            more.saturating_sub(bytes.lane)
        } else {
            0
        },
        available_bytes,
        reserve_bytes: options.memory_reserve,
    };
    if does_fit {
        Ok(plan)
    } else {
        Err(does_not_fit(&plan))
    }
}

/// Refuses numbers that no lane can have.
fn check(options: &GeneratorOptions, info: &GeneratorInfo) -> Result<(), RuntimeError> {
    let refuse = |message: String| Err(RuntimeError::new(RuntimeErrorKind::Option, message));
    let instances = match options.instances {
        Instances::Exactly(number) | Instances::UpTo(number) => number,
    };
    if !(1..=MOST_REQUESTS).contains(&instances) {
        return refuse(format!(
            "{instances} instances: there can be 1 to {MOST_REQUESTS}"
        ));
    }
    let settings = &options.settings;
    if settings.max_length > info.max_target_tokens {
        return refuse(format!(
            "max_length {} is more than the {} tokens that the model can write",
            settings.max_length, info.max_target_tokens
        ));
    }
    Ok(())
}

fn does_not_fit(plan: &GeneratorPlan) -> RuntimeError {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let needed = plan.total_bytes().saturating_add(plan.reserve_bytes);
    let instances = match plan.requests {
        1 => "one instance".to_owned(),
        several => format!("{several} instances"),
    };
    RuntimeError::new(
        RuntimeErrorKind::DoesNotFit,
        format!(
            "{} has {} MiB left, {} MiB are needed: weights {} MiB ({}), caches of {instances} {} \
             MiB, workspace {} MiB, reserve {} MiB",
            plan.device,
            mib(plan.available_bytes.unwrap_or(0)),
            mib(needed),
            mib(plan.weight_bytes),
            plan.dtype,
            mib(plan.cache_bytes),
            mib(plan.workspace_bytes()),
            mib(plan.reserve_bytes),
        ),
    )
    .with_hint("use fewer beams, a smaller --max-length or --dtype bf16")
}

/// Bytes of a lane.
struct LaneBytes {
    lane: u64,
    caches: u64,
}

/// What lanes of several sizes take.
struct Sizes<'a> {
    model: &'a dyn SequenceToSequence<PlanDevice>,
    device: &'a PlanDevice,
    dtype: DType,
    options: &'a GeneratorOptions,
    /// Longest source, in tokens.
    longest: usize,
}

impl Sizes<'_> {
    /// Room for one request of the greatest sizes, and for `requests` of the usual ones.
    fn limits(&self, requests: usize) -> DecoderLimits {
        let settings = &self.options.settings;
        let Some(usual) = self.options.usual else {
            return DecoderLimits::for_requests(requests, settings, self.longest);
        };
        let longest = DecoderLimits::for_requests(1, settings, self.longest);
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

    /// The height of a lane's arena when everything is full; only the caches where they alone take
    /// more than `room`.
    fn of(&self, requests: usize, room: Option<u64>) -> Result<LaneBytes, RuntimeError> {
        let limits = self.limits(requests);
        let mut lane: PlanLane = self.device.lane(&LaneSpec {
            arena_bytes: usize::MAX,
            threads: 1,
        })?;
        let caches = Caches::new(
            &mut lane,
            self.model.info(),
            self.dtype,
            limits.own_cells,
            limits.source_cells,
        )?;
        let cache_bytes = lane.report().arena_bytes as u64;
        if room.is_some_and(|room| cache_bytes > room) {
            return Ok(LaneBytes {
                lane: cache_bytes,
                caches: cache_bytes,
            });
        }
        let mut batch = PackedBatch::default();
        let mut left = limits.encode_tokens;
        while left > 0 {
            let tokens = vec![0; left.min(self.longest)];
            left -= tokens.len();
            batch.push(&tokens);
        }
        let mark = lane.mark();
        let cells = vec![0; batch.tokens().len()];
        self.model.encode(&mut lane, &batch, &cells, &caches)?;
        lane.release(mark);
        self.model.decode(&mut lane, &self.step(&limits), &caches)?;
        Ok(LaneBytes {
            lane: lane.report().arena_bytes as u64,
            caches: cache_bytes,
        })
    }

    /// A step of as many rows and cells as there can be, with lists as long as they can become.
    fn step(&self, limits: &DecoderLimits) -> Step {
        let rows = limits.rows;
        let mut step = Step {
            tokens: vec![0; rows],
            positions: vec![0; rows],
            own_cells: vec![0; rows],
            own: CellTable::default(),
            source: CellTable::default(),
        };
        let mut left = limits.own_cells;
        for row in 0..rows {
            let even = left.div_ceil(rows - row);
            let list = even.max(self.options.settings.max_length).min(left);
            step.own.push((0..list).map(|_| 0), 1);
            left -= list;
        }
        step.source.push((0..limits.source_cells).map(|_| 0), rows);
        step
    }
}
