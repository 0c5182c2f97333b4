//! Which GPU computed what.

use std::collections::BTreeMap;

use serde::Serialize;
use sessile_device::DeviceId;
use utoipa::ToSchema;

/// Which GPU computed which sequences.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = GPUDistributionInfo)]
pub(crate) struct GpuDistributionInfo {
    /// Number of sequences.
    total_sequences: usize,
    /// GPUs that took part; a CPU counts as one.
    num_gpus_used: usize,
    /// Number of sequences by GPU.
    sequences_per_gpu: BTreeMap<String, usize>,
    /// Places in the request by GPU.
    gpu_assignments: BTreeMap<String, Vec<usize>>,
}

impl GpuDistributionInfo {
    /// From the GPU of each sequence, in order.
    pub(super) fn new(gpus: impl Iterator<Item = u32>) -> Self {
        let mut assignments: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut total = 0;
        for (index, gpu) in gpus.enumerate() {
            assignments
                .entry(format!("gpu_{gpu}"))
                .or_default()
                .push(index);
            total += 1;
        }
        GpuDistributionInfo {
            total_sequences: total,
            num_gpus_used: assignments.len(),
            sequences_per_gpu: assignments
                .iter()
                .map(|(gpu, indices)| (gpu.clone(), indices.len()))
                .collect(),
            gpu_assignments: assignments,
        }
    }
}

/// The number that ESM2_MultiGPU_Inference gives a device: the GPU's own, 0 for a CPU.
pub(super) fn gpu_id(device: DeviceId) -> u32 {
    match device {
        DeviceId::Cuda(ordinal) => ordinal,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sequences_are_listed_by_gpu() {
        let info = GpuDistributionInfo::new([0, 2, 0].into_iter());
        let expected = json!({
            "total_sequences": 3,
            "num_gpus_used": 2,
            "sequences_per_gpu": {"gpu_0": 2, "gpu_2": 1},
            "gpu_assignments": {"gpu_0": [0, 2], "gpu_2": [1]},
        });
        assert_eq!(serde_json::to_value(info).unwrap(), expected);
    }
}
