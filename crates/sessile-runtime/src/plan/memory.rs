//! The numbers of a plan, and whether they fit.

use sessile_device::{DType, DeviceId};
use sessile_models::{DecoderLimits, ModelInfo};

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
    /// Bytes of workspace that a lane needs to read with it.
    pub workspace_bytes: u64,
    /// Floating-point operations per token at the model's longest sequence.
    pub flops_per_token: f64,
    /// Its lane, if it writes.
    pub writing: Option<WritingPlan>,
}

/// The lane of a model that writes: caches and a workspace of its own.
#[derive(Clone, Debug)]
pub struct WritingPlan {
    /// Threads of the lane (CPU).
    pub threads: usize,
    /// Requests that are answered at the same time: the instances.
    pub instances: usize,
    /// Why so many.
    pub reason: InstanceReason,
    /// Most of them that were to be had.
    pub most: usize,
    /// What the lane has room for.
    pub limits: DecoderLimits,
    /// The same for one request at a time: what a lane that failed falls back on.
    pub single: DecoderLimits,
    /// Bytes of caches and workspace of that.
    pub single_bytes: u64,
    /// Bytes of caches and workspace.
    pub lane_bytes: u64,
    /// Bytes of the caches among them.
    pub cache_bytes: u64,
    /// Bytes that one instance more would take.
    pub instance_bytes: u64,
}

impl WritingPlan {
    /// Bytes of the workspace, which all instances share.
    pub fn workspace_bytes(&self) -> u64 {
        self.lane_bytes.saturating_sub(self.cache_bytes)
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

/// What one device will hold.
#[derive(Clone, Debug)]
pub struct MemoryPlan {
    /// The device.
    pub device: DeviceId,
    /// The number format of the models there.
    pub dtype: DType,
    /// The models, each resident once.
    pub models: Vec<ModelPlan>,
    /// Lanes that share those that read.
    pub lanes: usize,
    /// Threads of one of these lanes (CPU).
    pub threads_per_lane: usize,
    /// Tokens of a batch.
    pub token_budget: usize,
    /// Bytes of the workspace of one of these lanes: the largest of the models.
    pub workspace_bytes: u64,
    /// Bytes the device has left, where that is known.
    pub available_bytes: Option<u64>,
    /// Bytes to leave alone.
    pub reserve_bytes: u64,
}

impl MemoryPlan {
    /// The lanes of the models that write.
    pub fn writing(&self) -> impl Iterator<Item = &WritingPlan> {
        self.models
            .iter()
            .filter_map(|model| model.writing.as_ref())
    }

    /// Bytes of all weights.
    pub fn weight_bytes(&self) -> u64 {
        self.models.iter().map(|model| model.weight_bytes).sum()
    }

    /// Bytes in all.
    pub fn total_bytes(&self) -> u64 {
        let reading = self.workspace_bytes.saturating_mul(self.lanes as u64);
        self.writing().map(|writing| writing.lane_bytes).fold(
            self.weight_bytes().saturating_add(reading),
            u64::saturating_add,
        )
    }

    /// Bytes of workspace per token of the budget.
    pub fn workspace_bytes_per_token(&self) -> u64 {
        self.workspace_bytes / (self.token_budget as u64).max(1)
    }

    /// Bytes that a plan may take beside the reserve, where that is known.
    pub(super) fn room(&self) -> Option<u64> {
        let available = self.available_bytes?;
        Some(available.saturating_sub(self.reserve_bytes))
    }

    /// Checks that the plan fits.
    ///
    /// # Errors
    ///
    /// `DoesNotFit` with the numbers.
    pub fn check(&self) -> Result<(), RuntimeError> {
        let needed = self.total_bytes().saturating_add(self.reserve_bytes);
        let available = match self.available_bytes {
            Some(available) if needed > available => available,
            _ => return Ok(()),
        };
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let mut parts = vec![format!(
            "weights {} MiB ({})",
            mib(self.weight_bytes()),
            self.dtype
        )];
        if self.lanes > 0 {
            parts.push(format!(
                "{} lanes of {} MiB workspace",
                self.lanes,
                mib(self.workspace_bytes)
            ));
        }
        for writing in self.writing() {
            let instances = match writing.instances {
                1 => "one instance".to_owned(),
                several => format!("{several} instances"),
            };
            let caches = mib(writing.cache_bytes);
            let workspace = mib(writing.workspace_bytes());
            parts.push(format!("caches of {instances} {caches} MiB"));
            parts.push(format!("workspace {workspace} MiB"));
        }
        parts.push(format!("reserve {} MiB", mib(self.reserve_bytes)));
        let hint = match self.lanes {
            0 => "use fewer beams, a smaller --max-length or --dtype bf16",
            _ => "use fewer lanes (--instances), a smaller --token-budget or --dtype bf16",
        };
        Err(RuntimeError::new(
            RuntimeErrorKind::DoesNotFit,
            format!(
                "{} has {} MiB left, {} MiB are needed: {}",
                self.device,
                mib(available),
                mib(needed),
                parts.join(", "),
            ),
        )
        .with_hint(hint))
    }
}
