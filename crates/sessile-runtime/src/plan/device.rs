//! What a device gets: lanes that read, and for each model that writes as many instances as fit.

use std::sync::Arc;

use sessile_models::Model;

use super::memory::{MemoryPlan, ModelPlan};
use super::reading;
use super::writing::Writer;
use crate::backend::FoundDevice;
use crate::discovery;
use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::options::{MAX_TOKEN_BUDGET, MIN_TOKEN_BUDGET, PoolOptions, check_lanes, check_threads};
use crate::resident::{self, Resident};

/// Plans the memory of every chosen device, without loading anything.
///
/// # Errors
///
/// When an option makes no sense, a device is not there or a checkpoint does not fit its
/// configuration. Whether a plan fits is its own question: [`MemoryPlan::check`].
pub fn plan<'a>(
    models: impl IntoIterator<Item: Into<Resident<'a>>>,
    options: &PoolOptions,
) -> Result<Vec<MemoryPlan>, RuntimeError> {
    let models = resident::all(models);
    let devices = discovery::choose(&options.devices)?;
    plan_on(&models, options, &devices)
}

pub(crate) fn plan_on(
    models: &[Resident<'_>],
    options: &PoolOptions,
    devices: &[FoundDevice],
) -> Result<Vec<MemoryPlan>, RuntimeError> {
    devices
        .iter()
        .map(|device| on_device(models, options, device))
        .collect()
}

/// Plans the memory of one device, which need not be there.
///
/// # Errors
///
/// As [`plan()`].
pub fn plan_device<'a>(
    models: impl IntoIterator<Item: Into<Resident<'a>>>,
    options: &PoolOptions,
    device: &FoundDevice,
) -> Result<MemoryPlan, RuntimeError> {
    on_device(&resident::all(models), options, device)
}

fn on_device(
    models: &[Resident<'_>],
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
    let dtype = device.dtype(options.dtype)?;
    let budgets = device.backend.budgets();
    let threads = options.threads.unwrap_or(device.cores).max(1);
    let mut plan = MemoryPlan {
        device: device.id,
        dtype,
        models: Vec::new(),
        lanes: 0,
        threads_per_lane: 0,
        token_budget: 0,
        workspace_bytes: 0,
        available_bytes: options.memory.or(device.available_bytes),
        reserve_bytes: options.memory_reserve,
    };
    let (mut readers, mut writers) = (Vec::new(), Vec::new());
    for (index, model) in models.iter().enumerate() {
        match *model {
            Resident::Reads(files) => readers.push((index, files)),
            Resident::Writes(files) => {
                let geometry = Arc::clone(&device.geometry);
                let writer = Writer::new(files, geometry, dtype, options, budgets.texts)?;
                writers.push((index, writer));
            }
        }
    }
    // What those that write take with their weights at least.
    let mut least = 0_u64;
    for (_, writer) in &writers {
        least = least.saturating_add(writer.weight_bytes().saturating_add(writer.least_bytes()?));
    }
    let room = plan.room();
    let mut planned = read(&readers, options, device, threads, &mut plan, least)?;
    let mut left = room.map(|room| {
        let reading = plan.workspace_bytes.saturating_mul(plan.lanes as u64);
        let weights: u64 = planned.iter().map(|(_, model)| model.weight_bytes).sum();
        room.saturating_sub(reading.saturating_add(weights))
    });
    for (index, writer) in &writers {
        // The room of those that follow is theirs.
        least -= writer
            .weight_bytes()
            .saturating_add(writer.least_bytes()?)
            .min(least);
        let room = left.map(|left| left.saturating_sub(least));
        let model = writer.plan(threads, room)?;
        let lane = model.writing.as_ref().map_or(0, |lane| lane.lane_bytes);
        left = left.map(|left| left.saturating_sub(model.weight_bytes.saturating_add(lane)));
        planned.push((*index, model));
    }
    planned.sort_by_key(|(index, _)| *index);
    plan.models = planned.into_iter().map(|(_, model)| model).collect();
    Ok(plan)
}

/// Plans the lanes that read: the first shape in the order of the device's budgets that fits beside
/// `others`, or the last one.
fn read(
    readers: &[(usize, &Model)],
    options: &PoolOptions,
    device: &FoundDevice,
    threads: usize,
    plan: &mut MemoryPlan,
    others: u64,
) -> Result<Vec<(usize, ModelPlan)>, RuntimeError> {
    let mut planned = Vec::new();
    if readers.is_empty() {
        return Ok(planned);
    }
    let budgets = device.backend.budgets();
    let tokens = match options.token_budget {
        Some(budget) => vec![budget],
        None => budgets.tokens.to_vec(),
    };
    let lanes = match (options.instances, budgets.lanes) {
        (Some(lanes), _) => vec![lanes],
        (None, []) => vec![threads],
        (None, lanes) => lanes.to_vec(),
    };
    for budget in tokens {
        planned.clear();
        for &(index, files) in readers {
            let model = reading::plan_model(
                files,
                Arc::clone(&device.geometry),
                plan.dtype,
                options.longest(files),
                budget,
                options.outputs,
            )?;
            planned.push((index, model));
        }
        let workspaces = planned.iter().map(|(_, model)| model.workspace_bytes);
        plan.workspace_bytes = workspaces.max().unwrap_or(0);
        plan.token_budget = budget;
        let weights: u64 = planned.iter().map(|(_, model)| model.weight_bytes).sum();
        for &lanes in &lanes {
            plan.lanes = lanes;
            plan.threads_per_lane = (threads / lanes).max(1);
            let reading = plan.workspace_bytes.saturating_mul(lanes as u64);
            let all = reading.saturating_add(weights).saturating_add(others);
            if plan.room().is_none_or(|room| all <= room) {
                return Ok(planned);
            }
        }
    }
    Ok(planned)
}
