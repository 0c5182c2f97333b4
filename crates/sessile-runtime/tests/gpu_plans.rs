//! Plans for GPUs that are not here: models of published sizes on 1 to 8 GPUs of 8 to 192 GB.

use std::path::Path;
use std::sync::Arc;

use sessile_cuda::CudaGeometry;
use sessile_device::{DType, DeviceId, OutputKind, OutputSet};
use sessile_models::Model;
use sessile_models::esm2::{Esm2Config, tensor_shapes};
use sessile_runtime::backend::Cuda;
use sessile_runtime::{FoundDevice, MemoryPlan, PoolOptions, RuntimeErrorKind, plan_device};

/// A checkpoint of a published size whose tensors have a header and no bytes.
fn checkpoint(folder: &Path, name: &str) -> Model {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).unwrap();
    let config = Esm2Config::published(name).unwrap();
    std::fs::write(folder.join("config.json"), config.to_json().to_string()).unwrap();
    let golden = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/golden/esm2/tiny_a"
    );
    std::fs::copy(format!("{golden}/vocab.txt"), folder.join("vocab.txt")).unwrap();
    let mut end = 0_u64;
    let mut header = serde_json::Map::new();
    for (name, shape) in tensor_shapes(&config) {
        let bytes = shape.iter().map(|&n| n as u64).product::<u64>() * 2;
        let entry = serde_json::json!({
            "dtype": "BF16", "shape": shape, "data_offsets": [end, end + bytes],
        });
        header.insert(name, entry);
        end += bytes;
    }
    let header = serde_json::Value::from(header).to_string();
    let file = std::fs::File::create(folder.join("model.safetensors")).unwrap();
    let mut start = (header.len() as u64).to_le_bytes().to_vec();
    start.extend_from_slice(header.as_bytes());
    std::io::Write::write_all(&mut &file, &start).unwrap();
    // A hole: it takes no room on the disk.
    file.set_len(start.len() as u64 + end).unwrap();
    Model::open(&folder).unwrap()
}

fn gpu(ordinal: u32, gigabytes: u64) -> FoundDevice {
    FoundDevice {
        id: DeviceId::Cuda(ordinal),
        description: "a GPU on paper".to_owned(),
        dtypes: vec![DType::Bf16, DType::F16, DType::F32],
        available_bytes: Some(gigabytes * 1_000_000_000),
        cores: 0,
        rates: None,
        notes: Vec::new(),
        geometry: Arc::new(CudaGeometry),
        backend: &Cuda,
        hardware: None,
    }
}

fn plan(files: &Model, gpu: &FoundDevice, options: &PoolOptions) -> MemoryPlan {
    let options = PoolOptions {
        outputs: OutputSet::default().with(OutputKind::Mean),
        ..options.clone()
    };
    // A plan reads no weights: the same files may be planned again and again.
    plan_device([files], &options, gpu).unwrap()
}

#[test]
fn published_models_on_gpus_of_all_sizes() {
    let folder = tempfile::tempdir().unwrap();
    // The model, its parameters in millions, the sizes of GPUs that hold it.
    let cases = [
        ("esm2_t6_8M_UR50D", 8, [true, true, true, true, true]),
        ("esm2_t33_650M_UR50D", 651, [true, true, true, true, true]),
        ("esm2_t36_3B_UR50D", 2841, [true, true, true, true, true]),
        (
            "esm2_t48_15B_UR50D",
            15_138,
            [false, false, true, true, true],
        ),
    ];
    for (name, parameters, fits) in cases {
        let files = checkpoint(folder.path(), name);
        for (gigabytes, fits) in [8, 24, 40, 80, 192].into_iter().zip(fits) {
            let gpus: Vec<FoundDevice> = (0..8).map(|ordinal| gpu(ordinal, gigabytes)).collect();
            let plans: Vec<MemoryPlan> = gpus
                .iter()
                .map(|gpu| plan(&files, gpu, &PoolOptions::default()))
                .collect();
            for count in [1, 2, 4, 8] {
                // Every GPU holds the weights once, whatever their number.
                let weights: u64 = plans[..count].iter().map(MemoryPlan::weight_bytes).sum();
                assert_eq!(weights, count as u64 * plans[0].weight_bytes());
            }
            let first = &plans[0];
            assert_eq!(first.dtype, DType::Bf16);
            let millions = first.weight_bytes() / 2_000_000;
            assert!(
                (parameters - 2..parameters + 2 + parameters / 50).contains(&millions),
                "{name}: {millions} million"
            );
            assert_eq!(
                first.check().is_ok(),
                fits,
                "{name} on {gigabytes} GB: {first:?}"
            );
            if let Err(error) = first.check() {
                assert_eq!(error.kind(), RuntimeErrorKind::DoesNotFit);
                assert!(error.to_string().contains("cuda:0"), "{error}");
            }
            assert!((1..=2).contains(&first.lanes));
            if gigabytes >= 80 {
                assert_eq!((first.lanes, first.token_budget), (2, 16_384), "{name}");
            }
        }
    }
}

#[test]
fn what_is_asked_for_is_not_made_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let files = checkpoint(folder.path(), "esm2_t33_650M_UR50D");
    let options = PoolOptions {
        token_budget: Some(262_144),
        instances: Some(3),
        ..PoolOptions::default()
    };
    let large = plan(&files, &gpu(0, 192), &options);
    assert_eq!((large.lanes, large.token_budget), (3, 262_144));
    assert!(large.check().is_ok());
    let small = plan(&files, &gpu(0, 8), &options);
    assert_eq!((small.lanes, small.token_budget), (3, 262_144));
    assert!(small.check().is_err());
    // A lane's workspace grows with its batches, and not by more than they do.
    let half = PoolOptions {
        token_budget: Some(131_072),
        ..options
    };
    let half = plan(&files, &gpu(0, 192), &half);
    assert!(half.workspace_bytes * 2 < large.workspace_bytes * 11 / 10);
    assert!(half.workspace_bytes * 2 > large.workspace_bytes * 9 / 10);
}
