//! How many lanes of what size a device gets, and what they and the models take of its memory.

use std::sync::Arc;

use sessile_device::DeviceId;
use sessile_models::Model;

use crate::discovery::{self, FoundDevice};
use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::options::{
    DEFAULT_TOKEN_BUDGET, GPU_LANES, GPU_TOKEN_BUDGETS, MAX_TOKEN_BUDGET, MIN_TOKEN_BUDGET,
    PoolOptions, check_lanes, check_threads,
};
use crate::plan::{self, MemoryPlan};

/// Plans the memory of every chosen device, without loading anything.
///
/// # Errors
///
/// When an option makes no sense, a device is not there or a checkpoint does not fit its
/// configuration. Whether a plan fits is its own question: [`MemoryPlan::check`].
pub fn plan(models: &[Model], options: &PoolOptions) -> Result<Vec<MemoryPlan>, RuntimeError> {
    let devices = discovery::choose(&options.devices)?;
    plan_on(models, options, &devices)
}

pub(super) fn plan_on(
    models: &[Model],
    options: &PoolOptions,
    devices: &[FoundDevice],
) -> Result<Vec<MemoryPlan>, RuntimeError> {
    devices
        .iter()
        .map(|device| plan_device(models, options, device))
        .collect()
}

/// Plans the memory of one device, which need not be there.
///
/// # Errors
///
/// As [`plan()`].
pub fn plan_device(
    models: &[Model],
    options: &PoolOptions,
    device: &FoundDevice,
) -> Result<MemoryPlan, RuntimeError> {
    check_threads(options.threads)?;
    check_lanes(options.instances)?;
    if let Some(budget) = options.token_budget
        && !(MIN_TOKEN_BUDGET..=MAX_TOKEN_BUDGET).contains(&budget)
    {
        return Err(RuntimeError::new(
            RuntimeErrorKind::Option,
            format!("--token-budget must lie between {MIN_TOKEN_BUDGET} and {MAX_TOKEN_BUDGET}"),
        ));
    }
    if matches!(device.id, DeviceId::Cuda(_)) {
        // Two lanes: one copies and waits while the other computes. Where that is too much, less.
        let budgets = match options.token_budget {
            Some(budget) => vec![budget],
            None => GPU_TOKEN_BUDGETS.to_vec(),
        };
        let lanes = options
            .instances
            .map_or(vec![GPU_LANES, 1], |lanes| vec![lanes]);
        let mut plan = None;
        for budget in budgets {
            for &lanes in &lanes {
                let shape = LaneShape {
                    lanes,
                    threads: 1,
                    budget,
                };
                let next = plan_lanes(models, options, device, shape)?;
                let fits = next.check().is_ok();
                plan = Some(next);
                if fits {
                    break;
                }
            }
            if plan.as_ref().is_some_and(|plan| plan.check().is_ok()) {
                break;
            }
        }
        return plan.ok_or_else(|| RuntimeError::new(RuntimeErrorKind::Option, "no lanes"));
    }
    let threads = options.threads.unwrap_or(device.cores);
    // Lanes of one thread have no barriers between them and give the throughput.
    let lanes = options.instances.unwrap_or(threads);
    let shape = LaneShape {
        lanes,
        threads: (threads / lanes).max(1),
        budget: options.token_budget.unwrap_or(DEFAULT_TOKEN_BUDGET),
    };
    plan_lanes(models, options, device, shape)
}

/// How many lanes of what size.
struct LaneShape {
    lanes: usize,
    threads: usize,
    budget: usize,
}

fn plan_lanes(
    models: &[Model],
    options: &PoolOptions,
    device: &FoundDevice,
    shape: LaneShape,
) -> Result<MemoryPlan, RuntimeError> {
    let dtype = device.dtype(options.dtype)?;
    let models = models
        .iter()
        .map(|files| {
            let max_tokens = max_tokens(files, options);
            let geometry = Arc::clone(&device.geometry);
            plan::plan_model(
                files,
                geometry,
                dtype,
                max_tokens,
                shape.budget,
                options.outputs,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(MemoryPlan {
        device: device.id,
        dtype,
        workspace_bytes: models
            .iter()
            .map(|model| model.workspace_bytes)
            .max()
            .unwrap_or(0),
        models,
        lanes: shape.lanes,
        threads_per_lane: shape.threads,
        token_budget: shape.budget,
        available_bytes: device.available_bytes,
        reserve_bytes: options.memory_reserve,
    })
}

pub(super) fn max_tokens(files: &Model, options: &PoolOptions) -> usize {
    options.max_tokens.unwrap_or(files.description().max_tokens)
}
