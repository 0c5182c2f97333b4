//! What a model that reads needs: its weights, and the workspace of a lane.

use std::sync::Arc;

use sessile_device::{
    DType, Device, Geometry, LaneSpec, Output, OutputKind, OutputSet, PlanDevice, PlanLane,
    PlanReport,
};
use sessile_models::Model;
use sessile_models::encoder::{Encoder, Job, Pass, Scratch};

use super::memory::ModelPlan;
use crate::error::RuntimeError;

/// Counts what `files` needs on a device of this geometry.
///
/// # Errors
///
/// When the checkpoint does not fit its configuration.
pub fn plan_model(
    files: &Model,
    geometry: Arc<dyn Geometry>,
    dtype: DType,
    max_tokens: usize,
    token_budget: usize,
    outputs: OutputSet,
) -> Result<ModelPlan, RuntimeError> {
    let device = PlanDevice::new(geometry);
    let (model, _) = files.load(&device, dtype, max_tokens)?;
    let info = model.info().clone();
    let mut workspace = 0;
    // The two extremes of a full batch: few long sequences need most for attention and contact
    // maps, many short ones for vectors and offsets.
    for length in [max_tokens, info.special_tokens + 1] {
        let count = (token_budget / length).max(1);
        let report = run(
            &*model,
            &device,
            &lengths(length, count, token_budget),
            outputs,
        )?;
        workspace = workspace.max(report.arena_bytes);
    }
    let longest = run(
        &*model,
        &device,
        &[max_tokens],
        OutputSet::default().with(OutputKind::Mean),
    )?;
    Ok(ModelPlan {
        name: files.name().to_owned(),
        weight_bytes: device.weight_bytes(),
        workspace_bytes: workspace as u64,
        flops_per_token: longest.flops as f64 / max_tokens as f64,
        info,
        writing: None,
    })
}

/// Lengths of a full batch: `count` sequences of `length` tokens and what is left of the budget.
fn lengths(length: usize, count: usize, token_budget: usize) -> Vec<usize> {
    let mut lengths = vec![length; count];
    let rest = token_budget.saturating_sub(length * count);
    if rest > 2 {
        lengths.push(rest);
    }
    lengths
}

/// Counts the floating-point operations of one pass over sequences of these lengths, in tokens.
///
/// # Errors
///
/// When the checkpoint does not fit its configuration.
pub fn count_flops(
    files: &Model,
    geometry: Arc<dyn Geometry>,
    dtype: DType,
    max_tokens: usize,
    lengths: &[usize],
    outputs: OutputSet,
) -> Result<u64, RuntimeError> {
    let device = PlanDevice::new(geometry);
    let (model, _) = files.load(&device, dtype, max_tokens)?;
    Ok(run(&*model, &device, lengths, outputs)?.flops)
}

/// Runs one pass over sequences of these lengths on a lane that counts.
fn run(
    model: &dyn Encoder<PlanDevice>,
    device: &PlanDevice,
    lengths: &[usize],
    outputs: OutputSet,
) -> Result<PlanReport, RuntimeError> {
    let mut lane: PlanLane = device.lane(&LaneSpec {
        arena_bytes: usize::MAX,
        threads: 1,
    })?;
    let mut pass = Pass::default();
    let masked = outputs.contains(OutputKind::MaskedLogprob);
    let outputs: OutputSet = outputs
        .iter()
        .filter(|&kind| kind != OutputKind::MaskedLogprob && model.info().outputs.contains(kind))
        // These are read layer by layer or head by head and take no more than one layer or head;
        // their values pile up in host memory, which the runtime bounds.
        .collect();
    for &length in lengths {
        let tokens = vec![0; length];
        let position = (masked && outputs.is_empty()).then_some((1, 0));
        pass.push(
            &tokens,
            Job {
                outputs,
                masked: position,
            },
        );
    }
    let mut results: Vec<Output> = Vec::new();
    model.forward(&mut lane, &pass, &mut Scratch::default(), &mut results)?;
    Ok(lane.report())
}
