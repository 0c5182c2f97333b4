//! The memory plan: what will be needed, before anything is loaded.
//!
//! Weights are counted from the checkpoint's header, the workspace of a lane by running the model
//! on a [`PlanDevice`]. What does not fit is refused with these numbers.

use std::sync::Arc;

use sessile_device::{
    DType, Device, DeviceId, Geometry, LaneSpec, Output, OutputKind, OutputSet, PlanDevice,
    PlanLane, PlanReport,
};
use sessile_models::encoder::{Encoder, Job, Pass, Scratch};
use sessile_models::{Model, ModelInfo};

use crate::error::{RuntimeError, RuntimeErrorKind};

/// The share of one model in a plan.
#[derive(Clone, Debug)]
pub struct ModelPlan {
    /// The name users know it by.
    pub name: String,
    /// What it is.
    pub info: ModelInfo,
    /// Bytes of its packed weights, once per device.
    pub weight_bytes: u64,
    /// Bytes of workspace a lane needs to run it.
    pub workspace_bytes: u64,
    /// Floating-point operations per token at the model's longest sequence.
    pub flops_per_token: f64,
}

/// What one device will hold.
#[derive(Clone, Debug)]
pub struct MemoryPlan {
    /// The device.
    pub device: DeviceId,
    /// The number format of the models there.
    pub dtype: DType,
    /// The models, each resident once.
    pub models: Vec<ModelPlan>,
    /// Lanes that share them.
    pub lanes: usize,
    /// Threads of one lane (CPU).
    pub threads_per_lane: usize,
    /// Tokens of a batch.
    pub token_budget: usize,
    /// Bytes of one lane's workspace: the largest of the models.
    pub workspace_bytes: u64,
    /// Bytes the device has left, where that is known.
    pub available_bytes: Option<u64>,
    /// Bytes to leave alone.
    pub reserve_bytes: u64,
}

impl MemoryPlan {
    /// Bytes of all weights.
    pub fn weight_bytes(&self) -> u64 {
        self.models.iter().map(|model| model.weight_bytes).sum()
    }

    /// Bytes in all.
    pub fn total_bytes(&self) -> u64 {
        self.weight_bytes() + self.workspace_bytes * self.lanes as u64
    }

    /// Bytes of workspace per token of the budget.
    pub fn workspace_bytes_per_token(&self) -> u64 {
        self.workspace_bytes / (self.token_budget as u64).max(1)
    }

    /// Checks that the plan fits.
    ///
    /// # Errors
    ///
    /// `DoesNotFit` with the numbers.
    pub fn check(&self) -> Result<(), RuntimeError> {
        let Some(available) = self.available_bytes else {
            return Ok(());
        };
        let needed = self.total_bytes().saturating_add(self.reserve_bytes);
        if needed <= available {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(RuntimeError::new(
            RuntimeErrorKind::DoesNotFit,
            format!(
                "{} has {} MiB left, {} MiB are needed: weights {} MiB ({}), {} lanes of {} MiB \
                 workspace, reserve {} MiB",
                self.device,
                mib(available),
                mib(needed),
                mib(self.weight_bytes()),
                self.dtype,
                self.lanes,
                mib(self.workspace_bytes),
                mib(self.reserve_bytes),
            ),
        )
        .with_hint("use fewer lanes (--instances), a smaller --token-budget or --dtype bf16"))
    }
}

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
