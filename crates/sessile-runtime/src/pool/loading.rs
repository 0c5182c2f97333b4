//! Models on their way onto devices: all devices at once, each once.

use std::time::Duration;

use sessile_cpu::{CpuDevice, CpuOptions};
use sessile_device::{
    Device, DeviceId, Execution, LaneSpec, OperationClass, OperationTime, TimedDevice,
};
use sessile_models::{EncoderExecution, LoadReport, Model};

use super::LaneInfo;
use super::planning::max_tokens;
use crate::discovery::FoundDevice;
use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::machine;
use crate::metrics::Metrics;
use crate::options::{DeviceChoice, PoolOptions};
use crate::plan::MemoryPlan;

/// A device whose lanes keep time.
pub(super) trait Clock: Send + Sync {
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

/// A device with its models and lanes.
pub(super) struct Loaded {
    pub(super) plan: MemoryPlan,
    pub(super) kernel_family: String,
    pub(super) reports: Vec<LoadReport>,
    pub(super) lanes: Vec<(LaneInfo, Box<dyn Execution>)>,
    pub(super) clock: Option<Box<dyn Clock>>,
}

/// Loads the models onto every planned device, all devices at once. Where the program chose the
/// devices itself, one that does not work is left aside as long as another one does.
pub(super) fn load(
    models: &[Model],
    options: &PoolOptions,
    planned: Vec<(FoundDevice, MemoryPlan)>,
    metrics: &Metrics,
) -> Result<Vec<Loaded>, RuntimeError> {
    let is_choice_ours = options.devices == DeviceChoice::Auto;
    // All load at once and share the cores.
    let threads = options.threads.unwrap_or_else(machine::cores);
    let threads = threads.div_ceil(planned.len().max(1));
    let results: Vec<Result<Loaded, RuntimeError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = planned
            .into_iter()
            .map(|(device, plan)| {
                std::thread::Builder::new().spawn_scoped(scope, move || {
                    plan.check()?;
                    load_one(models, options, threads, &device, plan, metrics)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let thread = thread.map_err(RuntimeError::no_thread)?;
                thread.join().unwrap_or_else(|_| {
                    Err(RuntimeError::new(
                        RuntimeErrorKind::Device,
                        "a fault in the program stopped the loading",
                    ))
                })
            })
            .collect()
    });
    let some_work = results.iter().any(Result::is_ok);
    let mut loaded = Vec::new();
    for result in results {
        match result {
            Ok(device) => loaded.push(device),
            Err(error) if is_choice_ours && some_work => {
                tracing::warn!(%error, "a device is left aside");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(loaded)
}

fn load_one(
    models: &[Model],
    options: &PoolOptions,
    threads: usize,
    found: &FoundDevice,
    plan: MemoryPlan,
    metrics: &Metrics,
) -> Result<Loaded, RuntimeError> {
    match (plan.device, &found.cuda) {
        (DeviceId::Cpu, _) => {
            let device = CpuDevice::new(CpuOptions {
                isa: None,
                threads: plan.lanes * plan.threads_per_lane,
            })?;
            load_timed(device, models, options, plan, metrics)
        }
        (_, Some(gpu)) => {
            let device = gpu.open(threads)?;
            load_timed(device, models, options, plan, metrics)
        }
        (other, None) => Err(RuntimeError::new(
            RuntimeErrorKind::Device,
            format!("device {other} can not be used"),
        )),
    }
}

fn load_timed<D: Device>(
    device: D,
    models: &[Model],
    options: &PoolOptions,
    plan: MemoryPlan,
    metrics: &Metrics,
) -> Result<Loaded, RuntimeError> {
    if options.timed {
        let device = TimedDevice::new(device);
        let mut loaded = load_onto(&device, models, options, plan, metrics)?;
        loaded.clock = Some(Box::new(device));
        Ok(loaded)
    } else {
        load_onto(&device, models, options, plan, metrics)
    }
}

/// Loads the models onto one device and makes its lanes.
fn load_onto<D: Device>(
    device: &D,
    models: &[Model],
    options: &PoolOptions,
    plan: MemoryPlan,
    metrics: &Metrics,
) -> Result<Loaded, RuntimeError> {
    let mut loaded = Vec::new();
    let mut reports = Vec::new();
    for files in models {
        let (model, report) = files.load(device, plan.dtype, max_tokens(files, options))?;
        metrics.model_loads.add(1);
        loaded.push(model);
        reports.push(report);
    }
    let mut lanes: Vec<(LaneInfo, Box<dyn Execution>)> = Vec::new();
    for index in 0..plan.lanes {
        let spec = LaneSpec {
            arena_bytes: usize::try_from(plan.workspace_bytes).unwrap_or(usize::MAX),
            threads: plan.threads_per_lane,
        };
        let lane = device.lane(&spec)?;
        let execution = EncoderExecution::<D>::new(lane, loaded.clone(), plan.token_budget);
        let info = LaneInfo {
            device: plan.device,
            index,
            token_budget: plan.token_budget,
        };
        lanes.push((info, Box::new(execution)));
    }
    Ok(Loaded {
        kernel_family: device.kernel_family(plan.dtype),
        plan,
        reports,
        lanes,
        clock: None,
    })
}

/// The times of all clocks together, the most time first.
pub(super) fn times(clocks: &[Box<dyn Clock>]) -> Vec<(OperationClass, OperationTime)> {
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
