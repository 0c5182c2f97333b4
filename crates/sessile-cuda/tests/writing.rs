//! Models that write, on emulated GPUs: what the reference wrote, on one GPU and on several, beside
//! the processor, and when a GPU is lost in the middle of texts.
//!
//! The driver is found by the environment, so each test runs in a process of its own.

mod emulation;
#[path = "../../sessile-runtime/tests/golden/mod.rs"]
mod golden;

use std::sync::Arc;

use emulation::in_a_process;
use golden::decode::Run;
use golden::{bart, translation};
use sessile_device::{DType, DeviceId, GenerationSettings, ModelIndex, OutputKind, OutputSet};
use sessile_models::Model;
use sessile_models::tokenizer::Preprocessing;
use sessile_runtime::{
    DTypeChoice, InstanceReason, Instances, MemoryPlan, Pool, PoolOptions, PoolRequest, Resident,
    RuntimeErrorKind, WritingOptions, plan_pool,
};

/// Room for the longest of `runs`.
fn options(devices: &str, runs: &[Run], instances: usize) -> PoolOptions {
    let most = |of: fn(&Run) -> usize| runs.iter().map(of).max().unwrap();
    let settings = GenerationSettings {
        num_beams: most(|run| run.settings.num_beams),
        max_length: most(|run| run.settings.max_length),
        ..runs[0].settings.clone()
    };
    PoolOptions {
        devices: devices.parse().unwrap(),
        dtype: DTypeChoice::Only(DType::F32),
        threads: Some(1),
        writing: WritingOptions {
            instances: Instances::Exactly(instances),
            source_tokens: Some(most(|run| run.source.len())),
            ..WritingOptions::of(settings)
        },
        ..PoolOptions::default()
    }
}

fn request(run: &Run) -> PoolRequest {
    let mut request = PoolRequest::new(ModelIndex(0), run.source.clone(), OutputSet::default());
    request.generation = Some(Arc::new(run.settings.clone()));
    request
}

/// What the pool writes is what the reference wrote.
fn check(pool: &Pool, runs: &[Run]) {
    let requests = runs.iter().map(|run| (run, request(run)));
    for (run, answer) in pool.infer_many(requests) {
        let output = answer.unwrap_or_else(|error| panic!("{}: {error}", run.name));
        assert_eq!(
            output.generated().unwrap().tokens,
            run.written,
            "{}",
            run.name
        );
    }
}

/// Sources that an emulator reads in reasonable time.
fn short(runs: Vec<Run>) -> Vec<Run> {
    runs.into_iter()
        .filter(|run| run.source.len() <= 130)
        .collect()
}

#[test]
fn bart_writes_what_the_reference_wrote() {
    in_a_process("summaries", &[]);
    in_a_process("summaries", &[("SESSILE_CUDA_PRODUCTS", "own")]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn summaries() {
    let runs = bart::runs();
    let pool = Pool::new(&[bart::open()], &options("cuda:0", &runs, 4)).unwrap();
    check(&pool, &runs);
    let report = pool.writing_report(ModelIndex(0)).unwrap();
    assert_eq!(
        (report.inferences, report.instances),
        (runs.len() as u64, 4)
    );
    assert!(report.mean_batch > 2.0, "{report:?}");
}

#[test]
fn prostt5_writes_what_the_reference_wrote() {
    in_a_process("states", &[]);
    in_a_process("states", &[("SESSILE_CUDA_PRODUCTS", "own")]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn states() {
    let runs = translation::runs();
    let model = translation::open(Preprocessing::Standard);
    let options = options("cuda:0", &runs, 4);
    let pool = Pool::new([Resident::Writes(&model)], &options).unwrap();
    check(&pool, &runs);
}

#[test]
fn every_gpu_has_instances_of_its_own() {
    in_a_process("several", &[("FAKE_GPUS", "4")]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn several() {
    let runs = short(bart::runs());
    for gpus in [1, 2, 4] {
        let names: Vec<String> = (0..gpus).map(|gpu| format!("cuda:{gpu}")).collect();
        let options = options(&names.join(","), &runs, 3);
        let pool = Pool::new(&[bart::open()], &options).unwrap();
        assert_eq!(pool.metrics().model_loads.get(), gpus, "once on each GPU");
        assert_eq!(pool.kernel_families().len(), 1);
        check(&pool, &runs);
        let report = pool.writing_report(ModelIndex(0)).unwrap();
        assert_eq!(report.instances as u64, 3 * gpus);
        assert_eq!(report.memory.len() as u64, gpus);
        for (lane, metrics) in pool.lanes().iter().zip(pool.lane_metrics()) {
            assert!(
                metrics.written.get() > 0,
                "{} has written nothing",
                lane.device
            );
        }
    }
}

#[test]
fn the_processor_and_a_gpu_write_from_one_queue() {
    in_a_process("mixed", &[]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn mixed() {
    let runs = short(bart::runs());
    let pool = Pool::new(&[bart::open()], &options("cuda:1,cpu", &runs, 1)).unwrap();
    let devices = pool.lanes().iter().map(|lane| lane.device);
    assert!(devices.eq([DeviceId::Cuda(1), DeviceId::Cpu]));
    assert_eq!(pool.kernel_families().len(), 2);
    check(&pool, &runs);
    for (lane, metrics) in pool.lanes().iter().zip(pool.lane_metrics()) {
        assert!(
            metrics.written.get() > 0,
            "{} has written nothing",
            lane.device
        );
    }
}

#[test]
fn a_gpu_that_is_lost_in_the_middle_of_texts_gives_them_back() {
    in_a_process("lost", &[("FAKE_GPU_FAILS_AFTER", "2000")]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn lost() {
    let runs = short(bart::runs());
    let pool = Pool::new(&[bart::open()], &options("cuda:0,cuda:1", &runs, 3)).unwrap();
    let greedy = runs.iter().find(|run| run.settings.num_beams == 1).unwrap();
    check(&pool, &runs);
    let lanes = pool.lane_metrics();
    assert!(!lanes[0].is_out() && lanes[1].is_out());
    assert!(
        lanes[1].given_back.get() > 0,
        "it was in the middle of texts"
    );
    let report = pool.writing_report(ModelIndex(0)).unwrap();
    assert_eq!(report.instances, 3, "those of the other GPU");
    // With the other one, tokens are told as they are written.
    let (listener, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut request = request(greedy);
    request.on_token = Some(listener);
    pool.submit_waiting(request).wait().unwrap();
    let mut tokens = Vec::new();
    while let Some(token) = told.blocking_recv() {
        tokens.push(token);
    }
    assert_eq!(tokens, greedy.written[1..greedy.written.len() - 1]);
    drop(pool);
    // With the lost one alone there is none.
    let error = Pool::new(&[bart::open()], &options("cuda:1", &runs, 3));
    assert_eq!(error.err().unwrap().kind(), RuntimeErrorKind::Device);
}

#[test]
fn readers_and_a_writer_share_a_gpu() {
    in_a_process("together", &[]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn together() {
    let runs = short(bart::runs());
    let reader = Model::open(&golden::path("esm2/tiny_a")).unwrap();
    let wanted = OutputSet::default().with(OutputKind::Mean);
    let options = PoolOptions {
        outputs: wanted,
        token_budget: Some(1024),
        ..options("cuda:0", &runs[..4], 2)
    };
    let writer = bart::open();
    let pool = Pool::new([&writer, &reader], &options).unwrap();
    let devices: Vec<usize> = pool.lanes().iter().map(|lane| lane.index).collect();
    assert_eq!(devices.len(), 3, "two lanes that read and one that writes");
    let tokens = reader.tokenizer().encode(b"MKTAYIAKQR").tokens;
    let ask = || PoolRequest::new(ModelIndex(1), tokens.clone(), wanted);
    let pending: Vec<_> = (0..20).map(|_| pool.submit(ask()).unwrap()).collect();
    check(&pool, &runs[..4]);
    for answer in pending {
        assert!(answer.wait().unwrap().get(OutputKind::Mean).is_some());
    }
    // What a model has not is refused by name.
    let mut text = ask();
    text.generation = Some(Arc::new(runs[0].settings.clone()));
    let vector = PoolRequest::new(ModelIndex(0), runs[0].source.clone(), wanted);
    let none = PoolRequest::new(ModelIndex(2), tokens.clone(), wanted);
    for (request, words) in [
        (text, "writes no text"),
        (vector, "no Mean output"),
        (none, "no model number 2"),
    ] {
        let error = pool.submit_waiting(request).wait().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn instances_follow_from_the_memory_of_a_gpu() {
    in_a_process("planned", &[("FAKE_GPU_MEMORY", "460000000")]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn planned() {
    let runs = bart::runs();
    let mut wanted = options("cuda:0", &runs, 1);
    wanted.writing.instances = Instances::Usual;
    let plan = |options: &PoolOptions| -> MemoryPlan {
        let mut plans = plan_pool(&[bart::open()], options).unwrap();
        plans.remove(0)
    };
    let fits = plan(&wanted);
    let lane = fits.models[0].writing.as_ref().unwrap();
    assert_eq!(lane.reason, InstanceReason::Memory, "{lane:?}");
    assert!((2..64).contains(&lane.instances), "{lane:?}");
    fits.check().unwrap();
    // One more does not fit, and is refused with the numbers.
    wanted.writing.instances = Instances::Exactly(lane.instances + 1);
    let error = plan(&wanted).check().unwrap_err();
    assert_eq!(error.kind(), RuntimeErrorKind::DoesNotFit);
    assert!(error.to_string().contains("instances"), "{error}");
    // What is planned is what is taken.
    wanted.writing.instances = Instances::Exactly(lane.instances);
    let pool = Pool::new(&[bart::open()], &wanted).unwrap();
    check(&pool, &short(runs)[..6]);
}
