//! What whole jobs ask of a pool, on an emulated GPU: the vectors of viral frames, from two models
//! that are resident together, and structure states of proteins.

mod emulation;
#[path = "../../sessile-runtime/tests/golden/mod.rs"]
mod golden;

use emulation::in_a_process;
use golden::{Expected, assert_aligned, assert_close};
use sessile_device::{DType, DeviceId, ModelIndex, Output, OutputKind, OutputSet};
use sessile_models::Model;
use sessile_models::three_di::StateSequence;
use sessile_runtime::{DTypeChoice, Pool, PoolOptions, PoolRequest};

/// A pool on the second GPU with two lanes and small batches.
fn pool(models: &[Model], dtype: DType, outputs: OutputSet) -> Pool {
    let options = PoolOptions {
        devices: "cuda:1".parse().unwrap(),
        dtype: DTypeChoice::Only(dtype),
        token_budget: Some(1024),
        instances: Some(2),
        outputs,
        ..PoolOptions::default()
    };
    let pool = Pool::new(models, &options).unwrap();
    let lanes = pool.lanes().iter().map(|lane| lane.device);
    assert!(lanes.eq([DeviceId::Cuda(1); 2]));
    pool
}

fn answers(pool: &Pool, requests: Vec<PoolRequest>) -> Vec<Output> {
    let requests = requests.into_iter().enumerate();
    pool.infer_many(requests)
        .map(|(index, answer)| answer.unwrap_or_else(|error| panic!("{index}: {error}")))
        .collect()
}

#[test]
fn frames_of_viruses_become_vectors() {
    in_a_process("frames_in_f32", &[]);
    in_a_process("frames_in_bf16", &[("SESSILE_CUDA_PRODUCTS", "own")]);
}

/// The names and letters of a FASTA file.
fn records(name: &str) -> Vec<(String, Vec<u8>)> {
    let text = std::fs::read_to_string(golden::path(&format!("virnucpro/{name}"))).unwrap();
    text.split('>')
        .skip(1)
        .map(|record| {
            let (name, letters) = record.split_once('\n').unwrap();
            (
                name.trim().to_owned(),
                letters.replace('\n', "").into_bytes(),
            )
        })
        .collect()
}

#[test]
#[ignore = "runs in a process of its own"]
fn frames_in_f32() {
    frames(DType::F32);
}

#[test]
#[ignore = "runs in a process of its own"]
fn frames_in_bf16() {
    frames(DType::Bf16);
}

/// Every fourth frame: its nucleotides and its protein, one behind the other, so that both models are
/// asked in turn.
fn frames(dtype: DType) {
    let models =
        ["dnabert_s/tiny_a", "esm2/tiny_a"].map(|model| Model::open(&golden::path(model)).unwrap());
    let kinds = [OutputKind::MeanAll, OutputKind::Mean];
    let pool = pool(&models, dtype, kinds.into_iter().collect());
    assert_eq!(pool.metrics().model_loads.get(), 2, "each model once");
    let files = [
        records("input300_identified_nucleotide.fa"),
        records("input300_identified_protein.faa"),
    ];
    let rows: Vec<usize> = (0..files[0].len()).step_by(4).collect();
    let requests = rows.iter().flat_map(|&row| {
        [0, 1].map(|index| {
            let tokens = models[index].tokenizer().encode(&files[index][row].1);
            let outputs = OutputSet::default().with(kinds[index]);
            PoolRequest::new(ModelIndex(index), tokens.tokens, outputs)
        })
    });
    let found = answers(&pool, requests.collect());
    // A row of the reference is both vectors.
    let merged = Expected::open("virnucpro/e2e300/expected.safetensors").values("merged");
    let ids = golden::json("virnucpro/e2e300/ids.json");
    for (&row, outputs) in rows.iter().zip(found.chunks_exact(2)) {
        let name = &files[0][row].0;
        assert_eq!(Some(name.as_str()), ids["merged_ids"][row].as_str());
        let values = |index: usize| outputs[index].get(kinds[index]).unwrap().data.clone();
        let vector = [values(0), values(1)].concat();
        let expected = &merged[row * vector.len()..][..vector.len()];
        match dtype {
            DType::F32 => assert_close(name, expected, &vector),
            _ => assert_aligned(name, expected, &vector, 0.999),
        }
    }
    for metrics in pool.lane_metrics() {
        assert!(metrics.tokens.get() > 0, "a lane that has done nothing");
    }
}

#[test]
fn proteins_become_structure_states() {
    in_a_process("states", &[]);
    in_a_process("states", &[("SESSILE_CUDA_PRODUCTS", "own")]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn states() {
    let files = golden::prostt5::open("prostt5/tiny", golden::prostt5::HEADS[2]);
    let numbers = golden::json("prostt5/tiny/expected.json");
    let outputs = OutputSet::default().with(OutputKind::ThreeDi);
    let pool = pool(std::slice::from_ref(&files), DType::F32, outputs);
    let proteins: Vec<_> = golden::sequences("prostt5/tiny")
        .into_iter()
        .filter(|protein| !numbers["cnn"][&protein.name].is_null())
        .collect();
    let requests = proteins.iter().map(|protein| {
        let tokens = files.tokenizer().encode(protein.text.as_bytes()).tokens;
        PoolRequest::new(ModelIndex(0), tokens, outputs)
    });
    let found = answers(&pool, requests.collect());
    assert_eq!(found.len(), 11);
    for (protein, output) in proteins.iter().zip(&found) {
        let states = StateSequence::three_di(output.get(OutputKind::ThreeDi).unwrap()).states;
        let wanted = &numbers["cnn"][&protein.name]["three_di"];
        assert_eq!(Some(states.as_str()), wanted.as_str(), "{}", protein.name);
    }
}
