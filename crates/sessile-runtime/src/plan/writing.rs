//! What a model that writes needs of a device: the weights once, and for each text that is written
//! at the same time its caches and its share of the workspace.

use std::sync::Arc;

use sessile_device::{
    CellTable, DType, Device, GenerationSettings, Geometry, Lane, LaneSpec, PackedBatch,
    PlanDevice, PlanLane,
};
use sessile_models::generation::{Caches, SequenceToSequence, Step};
use sessile_models::{DecoderLimits, Model};

use super::memory::{InstanceReason, ModelPlan, WritingPlan};
use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::options::{Instances, PoolOptions, WritingOptions};

/// Most texts that a lane writes at the same time.
const MOST_INSTANCES: usize = 4096;

/// A model that writes, before it is known how many texts it writes at the same time.
pub(super) struct Writer<'a> {
    name: &'a str,
    model: Arc<dyn SequenceToSequence<PlanDevice>>,
    device: PlanDevice,
    dtype: DType,
    options: &'a WritingOptions,
    settings: GenerationSettings,
    /// Longest source, in tokens.
    longest: usize,
    /// Fewest instances, and most.
    instances: (usize, usize),
}

/// Bytes of a lane.
struct LaneBytes {
    lane: u64,
    caches: u64,
}

impl<'a> Writer<'a> {
    /// Counts the weights, and refuses numbers that no lane can have. `usual` instances are enough
    /// where nothing else is asked for.
    pub(super) fn new(
        files: &'a Model,
        geometry: Arc<dyn Geometry>,
        dtype: DType,
        options: &'a PoolOptions,
        usual: usize,
    ) -> Result<Self, RuntimeError> {
        let device = PlanDevice::new(geometry);
        let (model, _) = files.load_writer(&device, dtype)?;
        let options = &options.writing;
        let settings = match &options.settings {
            Some(settings) => settings,
            None => files.settings()?,
        };
        let instances = match options.instances {
            Instances::Exactly(number) => (number, number),
            Instances::UpTo(most) => (1, most),
            Instances::Usual => (1, usual),
        };
        let refuse = |message: String| Err(RuntimeError::new(RuntimeErrorKind::Option, message));
        if !(1..=MOST_INSTANCES).contains(&instances.1) {
            return refuse(format!(
                "{} instances: there can be 1 to {MOST_INSTANCES}",
                instances.1
            ));
        }
        let most = model.info().max_target_tokens();
        if settings.max_length > most {
            return refuse(format!(
                "max_length {} is more than the {most} tokens that the model can write",
                settings.max_length
            ));
        }
        let reads = files.description().max_tokens;
        Ok(Writer {
            name: files.name(),
            model,
            device,
            dtype,
            options,
            settings: settings.clone(),
            longest: options.source_tokens.unwrap_or(reads).min(reads),
            instances,
        })
    }

    pub(super) fn weight_bytes(&self) -> u64 {
        self.device.weight_bytes()
    }

    /// Bytes of the smallest lane that will do.
    pub(super) fn least_bytes(&self) -> Result<u64, RuntimeError> {
        Ok(self.of(self.instances.0, None)?.lane)
    }

    /// The plan in `room` bytes, weights included.
    pub(super) fn plan(
        &self,
        threads: usize,
        room: Option<u64>,
    ) -> Result<ModelPlan, RuntimeError> {
        let weight_bytes = self.weight_bytes();
        let room = room.map(|room| room.saturating_sub(weight_bytes));
        let fits = |instances: usize| -> Result<bool, RuntimeError> {
            let bytes = self.of(instances, room)?.lane;
            Ok(room.is_none_or(|room| bytes <= room))
        };
        let (least, most) = self.instances;
        let (instances, reason) = if matches!(self.options.instances, Instances::Exactly(_)) {
            (most, InstanceReason::Asked)
        } else if fits(most)? {
            (most, InstanceReason::Limit)
        } else {
            // The greatest number that fits, or the least.
            let (mut good, mut bad) = (least, most);
            while good + 1 < bad {
                let middle = good.midpoint(bad);
                if fits(middle)? {
                    good = middle;
                } else {
                    bad = middle;
                }
            }
            (good, InstanceReason::Memory)
        };
        let bytes = self.of(instances, room)?;
        let does_fit = room.is_none_or(|room| bytes.lane <= room);
        let instance_bytes = if does_fit {
            let more = self.of(instances + 1, None)?.lane;
            more.saturating_sub(bytes.lane)
        } else {
            0
        };
        Ok(ModelPlan {
            name: self.name.to_owned(),
            info: self.model.info().clone(),
            weight_bytes,
            workspace_bytes: 0,
            flops_per_token: 0.0,
            writing: Some(WritingPlan {
                threads,
                instances,
                reason,
                most,
                limits: self.limits(instances),
                single: self.limits(1),
                single_bytes: self.of(1, room)?.lane,
                lane_bytes: bytes.lane,
                cache_bytes: bytes.caches,
                instance_bytes,
            }),
        })
    }

    /// Room for one request of the greatest sizes, and for `instances` of the usual ones.
    fn limits(&self, instances: usize) -> DecoderLimits {
        let settings = &self.settings;
        let Some(usual) = self.options.usual else {
            return DecoderLimits::for_requests(instances, settings, self.longest);
        };
        let longest = DecoderLimits::for_requests(1, settings, self.longest);
        let usual_settings = GenerationSettings {
            max_length: usual.written_tokens,
            ..settings.clone()
        };
        let usual = DecoderLimits::for_requests(instances, &usual_settings, usual.source_tokens);
        DecoderLimits {
            rows: usual.rows,
            own_cells: usual.own_cells.max(longest.own_cells),
            source_cells: usual.source_cells.max(longest.source_cells),
            encode_tokens: longest.encode_tokens,
        }
    }

    /// The height of a lane's arena when everything is full; only the caches where they alone take
    /// more than `room`.
    fn of(&self, instances: usize, room: Option<u64>) -> Result<LaneBytes, RuntimeError> {
        let limits = self.limits(instances);
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
            let list = even.max(self.settings.max_length).min(left);
            step.own.push((0..list).map(|_| 0), 1);
            left -= list;
        }
        step.source.push((0..limits.source_cells).map(|_| 0), rows);
        step
    }
}

/// What requests ask of a device, whatever device that is: the numbers behind the roofs of a
/// measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WritingWork {
    /// Floating-point operations of reading the sources.
    pub encode_flops: u64,
    /// Floating-point operations of all steps.
    pub decode_flops: u64,
    /// Bytes of weights and cells that all steps read.
    pub decode_bytes: u64,
}

impl WritingWork {
    /// How long it takes at best where so many operations and so many bytes can be had per second.
    pub fn seconds(&self, flops: f64, bytes: f64) -> f64 {
        let arithmetic = self.decode_flops as f64 / flops;
        let reading = self.decode_bytes as f64 / bytes;
        self.encode_flops as f64 / flops + arithmetic.max(reading)
    }
}

/// Counts what sources of these lengths, in tokens, ask for when all are answered together in
/// `steps` steps with so many beams. The beams of a source are taken to share all their cells.
///
/// # Errors
///
/// When the checkpoint does not fit its configuration.
pub fn count_writing(
    files: &Model,
    geometry: Arc<dyn Geometry>,
    dtype: DType,
    beams: usize,
    sources: &[usize],
    steps: usize,
) -> Result<WritingWork, RuntimeError> {
    let device = PlanDevice::new(geometry);
    let (model, _) = files.load_writer(&device, dtype)?;
    let mut lane: PlanLane = device.lane(&LaneSpec {
        arena_bytes: usize::MAX,
        threads: 1,
    })?;
    let tokens: usize = sources.iter().sum();
    let rows = sources.len() * beams;
    let caches = Caches::new(
        &mut lane,
        model.info(),
        dtype,
        steps * sources.len(),
        tokens,
    )?;
    let mut batch = PackedBatch::default();
    for &length in sources {
        batch.push(&vec![0; length]);
    }
    let mark = lane.mark();
    model.encode(&mut lane, &batch, &vec![0; tokens], &caches)?;
    lane.release(mark);
    let encoded = lane.report();
    for length in 1..=steps {
        let mut step = Step {
            tokens: vec![0; rows],
            positions: vec![0; rows],
            own_cells: vec![0; rows],
            own: CellTable::default(),
            source: CellTable::default(),
        };
        for &source in sources {
            step.own.push((0..length).map(|_| 0), beams);
            step.source.push((0..source).map(|_| 0), beams);
        }
        let mark = lane.mark();
        model.decode(&mut lane, &step, &caches)?;
        lane.release(mark);
    }
    let all = lane.report();
    Ok(WritingWork {
        encode_flops: encoded.flops,
        decode_flops: all.flops - encoded.flops,
        decode_bytes: all.bytes_read - encoded.bytes_read,
    })
}
