//! What requests ask of a device: the numbers behind the roofs of a measurement.

use sessile_device::{CellTable, Device, Lane, LaneSpec, PackedBatch, PlanDevice, PlanLane};
use sessile_models::Model;
use sessile_models::generation::{Caches, Step};

use super::{GeneratorOptions, plan_generator};
use crate::discovery;
use crate::error::RuntimeError;

/// What requests ask of a device, whatever device that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GeneratorWork {
    /// Floating-point operations of reading the sources.
    pub encode_flops: u64,
    /// Floating-point operations of all steps.
    pub decode_flops: u64,
    /// Bytes of weights and cells that all steps read.
    pub decode_bytes: u64,
}

impl GeneratorWork {
    /// How long it takes at best where so many operations and so many bytes can be had per second.
    pub fn seconds(&self, flops: f64, bytes: f64) -> f64 {
        let arithmetic = self.decode_flops as f64 / flops;
        let reading = self.decode_bytes as f64 / bytes;
        self.encode_flops as f64 / flops + arithmetic.max(reading)
    }
}

/// Counts what sources of these lengths, in tokens, ask for when all are answered together in
/// `steps` steps. The beams of a source are taken to share all their cells.
///
/// # Errors
///
/// As [`plan_generator`].
pub fn generator_work(
    files: &Model,
    options: &GeneratorOptions,
    sources: &[usize],
    steps: usize,
) -> Result<GeneratorWork, RuntimeError> {
    let plan = plan_generator(files, options)?;
    // Where it is planned: the processor.
    let found = discovery::processor()?;
    let device = PlanDevice::new(found.geometry);
    let (model, _) = files.load_writer(&device, plan.dtype)?;
    let mut lane: PlanLane = device.lane(&LaneSpec {
        arena_bytes: usize::MAX,
        threads: 1,
    })?;
    let tokens: usize = sources.iter().sum();
    let beams = options.settings.num_beams;
    let rows = sources.len() * beams;
    let caches = Caches::new(
        &mut lane,
        model.info(),
        plan.dtype,
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
    Ok(GeneratorWork {
        encode_flops: encoded.flops,
        decode_flops: all.flops - encoded.flops,
        decode_bytes: all.bytes_read - encoded.bytes_read,
    })
}
