//! Models on their way onto one device: each once, with the lanes that serve them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sessile_device::{
    Device, DeviceError, Execution, LaneSpec, OperationClass, OperationTime, TimedDevice,
};
use sessile_models::{DecoderExecution, DecoderLimits, EncoderExecution, LoadReport};

use crate::error::RuntimeError;
use crate::lane::{LaneInfo, PoolLane};
use crate::metrics::Metrics;
use crate::options::PoolOptions;
use crate::plan::memory::MemoryPlan;
use crate::resident::Resident;

/// A device whose lanes keep time.
pub(crate) trait Clock: Send + Sync {
    fn times(&self) -> Vec<(OperationClass, OperationTime)>;
    fn reset(&self);
}

impl<D: Device> Clock for TimedDevice<D> {
    fn times(&self) -> Vec<(OperationClass, OperationTime)> {
        TimedDevice::times(self)
    }

    fn reset(&self) {
        TimedDevice::reset(self);
    }
}

/// A device that is open, of whatever kind.
pub trait OpenDevice: Send + Sync {
    /// Loads the models onto it and makes its lanes.
    ///
    /// # Errors
    ///
    /// Whatever keeps a model from being loaded or a lane from being made.
    fn load(
        &self,
        models: &[Resident<'_>],
        options: &PoolOptions,
        plan: MemoryPlan,
        metrics: &Metrics,
    ) -> Result<Loaded, RuntimeError>;
}

impl<D: Device + Clone> OpenDevice for D {
    fn load(
        &self,
        models: &[Resident<'_>],
        options: &PoolOptions,
        plan: MemoryPlan,
        metrics: &Metrics,
    ) -> Result<Loaded, RuntimeError> {
        if options.timed {
            let device = TimedDevice::new(self.clone());
            let mut loaded = load_onto(&device, models, options, plan, metrics)?;
            loaded.clock = Some(Box::new(device));
            Ok(loaded)
        } else {
            load_onto(self, models, options, plan, metrics)
        }
    }
}

/// A device with its models and lanes.
pub struct Loaded {
    pub(crate) plan: MemoryPlan,
    pub(crate) kernel_family: String,
    pub(crate) reports: Vec<LoadReport>,
    /// Lanes that read.
    pub(crate) readers: Vec<PoolLane>,
    /// The lane of each model that writes.
    pub(crate) writers: VecDeque<PoolLane>,
    clock: Option<Box<dyn Clock>>,
}

impl Loaded {
    /// What keeps the time of its lanes, where that was asked for.
    pub(crate) fn take_clock(&mut self) -> Option<Box<dyn Clock>> {
        self.clock.take()
    }
}

/// Loads the models onto one device and makes its lanes.
fn load_onto<D: Device + Clone>(
    device: &D,
    models: &[Resident<'_>],
    options: &PoolOptions,
    plan: MemoryPlan,
    metrics: &Metrics,
) -> Result<Loaded, RuntimeError> {
    let (mut readers, mut writers) = (Vec::new(), Vec::new());
    let mut reports = Vec::new();
    for (model, planned) in models.iter().zip(&plan.models) {
        let files = model.files();
        let (reader, report) = match &planned.writing {
            Some(writing) => {
                let (model, report) = files.load_writer(device, plan.dtype)?;
                writers.push((model, writing));
                (None, report)
            }
            None => {
                let most = options.longest(files);
                let (model, report) = files.load(device, plan.dtype, most)?;
                (Some(model), report)
            }
        };
        metrics.model_loads.add(1);
        readers.push(reader);
        reports.push(report);
    }
    let info = |index, token_budget| LaneInfo {
        device: plan.device,
        index,
        token_budget,
    };
    let mut reading = Vec::new();
    for index in 0..plan.lanes {
        let lane = device.lane(&LaneSpec {
            arena_bytes: bounded(plan.workspace_bytes),
            threads: plan.threads_per_lane,
        })?;
        let execution = EncoderExecution::<D>::serving(lane, readers.clone(), plan.token_budget);
        reading.push(PoolLane {
            info: info(index, plan.token_budget),
            execution: Box::new(execution),
            fallback: None,
        });
    }
    let mut writing = VecDeque::new();
    for (number, (model, planned)) in writers.into_iter().enumerate() {
        let (device, dtype, threads) = (device.clone(), plan.dtype, planned.threads);
        let execution = move |limits: DecoderLimits, bytes: u64| {
            let arena_bytes = bounded(bytes);
            let lane = device.lane(&LaneSpec {
                arena_bytes,
                threads,
            })?;
            let execution = DecoderExecution::new(lane, Arc::clone(&model), dtype, limits)?;
            Ok::<Box<dyn Execution>, DeviceError>(Box::new(execution))
        };
        let (single, single_bytes) = (planned.single, planned.single_bytes);
        writing.push_back(PoolLane {
            info: info(plan.lanes + number, planned.limits.source_cells),
            execution: execution(planned.limits, planned.lane_bytes)?,
            fallback: Some(Box::new(move || execution(single, single_bytes))),
        });
    }
    Ok(Loaded {
        kernel_family: device.kernel_family(plan.dtype),
        plan,
        reports,
        readers: reading,
        writers: writing,
        clock: None,
    })
}

fn bounded(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The times of all clocks together, the most time first.
pub(crate) fn times(clocks: &[Box<dyn Clock>]) -> Vec<(OperationClass, OperationTime)> {
    let mut all: Vec<(OperationClass, OperationTime)> = Vec::new();
    for (class, time) in clocks.iter().flat_map(|clock| clock.times()) {
        match all.iter_mut().find(|(known, _)| *known == class) {
            Some((_, sum)) => {
                sum.calls += time.calls;
                sum.rows += time.rows;
                sum.flops += time.flops;
                sum.time += time.time;
            }
            None => all.push((class, time)),
        }
    }
    all.sort_by_key(|(_, time): &(_, OperationTime)| {
        std::cmp::Reverse(time.time.max(Duration::ZERO))
    });
    all
}
