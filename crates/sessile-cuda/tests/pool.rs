//! The program's own pool over an emulated machine with two GPUs: one queue, whatever pulls from it.
//!
//! The driver is found by the environment, as it is by users, so each test runs in a process of its
//! own, started by [`in_a_process`].

mod emulation;

use emulation::in_a_process;
use sessile_device::{DType, DeviceId, ModelIndex, OutputKind, OutputSet};
use sessile_models::Model;
use sessile_runtime::{DTypeChoice, Pool, PoolOptions, PoolRequest, RuntimeErrorKind, discovery};

fn wanted() -> OutputSet {
    [OutputKind::Mean, OutputKind::PerResidue]
        .into_iter()
        .collect()
}

fn options(devices: &str, dtype: DType, budget: usize) -> PoolOptions {
    PoolOptions {
        devices: devices.parse().unwrap(),
        dtype: DTypeChoice::Only(dtype),
        token_budget: Some(budget),
        threads: Some(1),
        outputs: wanted(),
        max_tokens: Some(300),
        ..PoolOptions::default()
    }
}

fn files() -> Model {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/golden/esm2/tiny_b"
    );
    Model::open(path.as_ref()).unwrap()
}

/// Sequences of many lengths, those around the tiles of the kernels among them.
fn sequences(rounds: usize) -> Vec<Vec<u8>> {
    let lengths = [1, 2, 30, 31, 61, 62, 63, 64, 65, 126, 127, 200];
    let mut state = 7_u64;
    (0..rounds)
        .flat_map(|_| lengths)
        .map(|length| {
            (0..length)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    b"LAGVSERTIDPKQNFYMHWC"[(state >> 33) as usize % 20]
                })
                .collect()
        })
        .collect()
}

/// Every answer, in the order of the sequences.
fn answers(pool: &Pool, sequences: &[Vec<u8>]) -> Vec<Vec<f32>> {
    let tokenizer = files().tokenizer().clone();
    let requests = sequences.iter().enumerate().map(|(index, sequence)| {
        let tokens = tokenizer.encode(sequence).tokens;
        (index, PoolRequest::new(ModelIndex(0), tokens, wanted()))
    });
    pool.infer_many(requests)
        .map(|(index, answer)| {
            let output = answer.unwrap_or_else(|error| panic!("{index}: {error}"));
            output
                .parts()
                .iter()
                .flat_map(|(_, tensor)| tensor.data.clone())
                .collect()
        })
        .collect()
}

fn same_bytes(a: &[Vec<f32>], b: &[Vec<f32>]) -> bool {
    let bits = |all: &[Vec<f32>]| -> Vec<Vec<u32>> {
        all.iter()
            .map(|one| one.iter().map(|x| x.to_bits()).collect())
            .collect()
    };
    bits(a) == bits(b)
}

#[test]
fn both_gpus_are_used_and_the_bytes_are_the_same() {
    in_a_process("bytes", &[]);
    in_a_process("bytes", &[("SESSILE_CUDA_PRODUCTS", "own")]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn bytes() {
    let sequences = sequences(1);
    for dtype in [DType::Bf16, DType::F32] {
        let auto = Pool::new(&[files()], &options("auto", dtype, 1024)).unwrap();
        let ids: Vec<DeviceId> = auto.lanes().iter().map(|lane| lane.device).collect();
        let (first, second) = (DeviceId::Cuda(0), DeviceId::Cuda(1));
        assert_eq!(ids, [first, first, second, second]);
        assert_eq!(auto.metrics().model_loads.get(), 2, "once on each GPU");
        assert_eq!(
            auto.kernel_families().len(),
            1,
            "{:?}",
            auto.kernel_families()
        );
        let expected = answers(&auto, &sequences);
        drop(auto);
        // Budgets of one sequence and of all, one lane, the other GPU.
        for (devices, budget, lanes) in [("cuda:1", 64, 1), ("cuda:0", 65_536, 2)] {
            let options = PoolOptions {
                instances: Some(lanes),
                ..options(devices, dtype, budget)
            };
            let pool = Pool::new(&[files()], &options).unwrap();
            assert_eq!(pool.lanes().len(), lanes);
            let found = answers(&pool, &sequences);
            assert!(same_bytes(&expected, &found), "{devices} {budget} {dtype}");
        }
    }
}

#[test]
fn the_processor_and_a_gpu_pull_from_one_queue() {
    in_a_process("mixed", &[]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn mixed() {
    let sequences = sequences(4);
    let cpu = Pool::new(&[files()], &options("cpu", DType::F32, 512)).unwrap();
    let expected = answers(&cpu, &sequences);
    drop(cpu);
    let pool = Pool::new(&[files()], &options("cuda:1,cpu", DType::F32, 128)).unwrap();
    let found = answers(&pool, &sequences);
    for (expected, found) in expected.iter().zip(&found) {
        let largest = expected.iter().fold(0_f32, |most, x| most.max(x.abs()));
        for (a, b) in expected.iter().zip(found) {
            assert!((a - b).abs() <= 1e-4 * largest, "{a} {b}");
        }
    }
    // A lane that never got a turn would be no pool; the processor is far ahead of the emulator.
    for (lane, metrics) in pool.lanes().iter().zip(pool.lane_metrics()) {
        assert!(metrics.tokens.get() > 0, "{} has done nothing", lane.device);
    }
    assert_eq!(pool.kernel_families().len(), 2);
}

#[test]
fn the_work_of_a_gpu_that_is_lost_moves() {
    in_a_process("lost", &[("FAKE_GPU_FAILS_AFTER", "150")]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn lost() {
    let sequences = sequences(2);
    let alone = Pool::new(&[files()], &options("cuda:0", DType::Bf16, 128)).unwrap();
    let expected = answers(&alone, &sequences);
    drop(alone);
    let pool = Pool::new(&[files()], &options("cuda:0,cuda:1", DType::Bf16, 128)).unwrap();
    let found = answers(&pool, &sequences);
    assert!(same_bytes(&expected, &found));
    let out: Vec<bool> = pool
        .lane_metrics()
        .iter()
        .map(|lane| lane.is_out())
        .collect();
    assert_eq!(out, [false, false, true, true], "the lanes of the lost GPU");
    drop(pool);
    // Nothing is loaded onto it any more.
    let error = Pool::new(&[files()], &options("cuda:1", DType::Bf16, 128))
        .err()
        .unwrap();
    assert_eq!(error.kind(), RuntimeErrorKind::Device);
    // By itself the program goes on with the other one.
    let rest = Pool::new(&[files()], &options("auto", DType::Bf16, 128)).unwrap();
    assert!(
        rest.lanes()
            .iter()
            .all(|lane| lane.device == DeviceId::Cuda(0))
    );
    assert!(same_bytes(&expected, &answers(&rest, &sequences)));
}

#[test]
fn what_does_not_fit_is_refused_with_numbers() {
    in_a_process("small", &[("FAKE_GPU_MEMORY", "407000000")]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn small() {
    let options = options("cuda:0", DType::Bf16, 16_384);
    let error = Pool::new(&[files()], &options).err().unwrap();
    assert_eq!(error.kind(), RuntimeErrorKind::DoesNotFit);
    assert!(error.to_string().contains("MiB are needed"), "{error}");
    // Chosen by the program, batches are as small as they must be.
    let smaller = PoolOptions {
        token_budget: None,
        ..options
    };
    let pool = Pool::new(&[files()], &smaller).unwrap();
    assert!(pool.plans()[0].token_budget < 16_384);
    assert_eq!(answers(&pool, &sequences(1)).len(), 12);
}

#[test]
fn what_was_not_lent_is_not_used() {
    in_a_process("lent", &[("SLURM_JOB_GPUS", "1")]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn lent() {
    let found = discovery::survey().unwrap();
    let names: Vec<String> = found
        .devices
        .iter()
        .map(|device| device.id.to_string())
        .collect();
    assert_eq!(names, ["cpu", "cuda:1"]);
    assert_eq!(found.unused[0].name, "cuda:0");
    let error = Pool::new(&[files()], &options("cuda:0", DType::Bf16, 128))
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("not lent to this job"),
        "{error}"
    );
}
