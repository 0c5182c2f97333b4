//! Whole models on the emulated GPU, against the reference outputs.

mod emulation;

use std::path::PathBuf;

use emulation::Machine;
use sessile_cuda::CudaDevice;
use sessile_device::{
    Admission, DType, Device, Event, Execution, LaneSpec, ModelIndex, Output, OutputKind,
    OutputSet, Request, RequestId, RowSource,
};
use sessile_models::checkpoint::Checkpoint;
use sessile_models::{EncoderExecution, ModelFiles};

fn path(relative: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(relative)
}

/// The name and text of every input.
fn inputs(model: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path(&format!("{model}/inputs.json"))).unwrap();
    let entries: serde_json::Value = serde_json::from_str(&text).unwrap();
    entries
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| {
            let name = entry["name"].as_str()?.to_owned();
            Some((name, entry["sequence"].as_str()?.to_owned()))
        })
        .collect()
}

/// Runs every request in one execution.
fn answers(
    device: &CudaDevice,
    files: &ModelFiles,
    dtype: DType,
    budget: usize,
    requests: &[(Vec<u32>, OutputSet)],
) -> Vec<Output> {
    let (model, _) = files.load(device, dtype, 1026).unwrap();
    let lane = device
        .lane(&LaneSpec {
            arena_bytes: 64 << 20,
            threads: 1,
        })
        .unwrap();
    let mut execution = EncoderExecution::<CudaDevice>::new(lane, vec![model], budget);
    for (index, (tokens, outputs)) in requests.iter().enumerate() {
        let request = Request {
            id: RequestId(index as u64),
            model: ModelIndex(0),
            tokens: tokens.clone(),
            outputs: *outputs,
            generation: None,
        };
        assert!(matches!(execution.admit(request), Admission::Accepted));
    }
    let mut answers: Vec<Option<Output>> = vec![None; requests.len()];
    let mut events = Vec::new();
    while !execution.is_idle() {
        execution.step(&mut events).unwrap();
        for (id, event) in events.drain(..) {
            match event {
                Event::Done(output) => answers[id.0 as usize] = Some(output),
                other => panic!("{id:?}: {other:?}"),
            }
        }
    }
    answers.into_iter().map(Option::unwrap).collect()
}

fn expected(checkpoint: &Checkpoint, name: &str) -> Option<Vec<f32>> {
    checkpoint.tensor(name)?;
    let rows = checkpoint.rows(name).ok()?;
    let mut values = vec![0.0; rows.rows() * rows.cols()];
    rows.read_rows(0, &mut values).ok()?;
    Some(values)
}

fn assert_close(name: &str, expected: &[f32], actual: &[f32]) {
    assert_eq!(expected.len(), actual.len(), "{name}");
    let largest = expected.iter().fold(0_f32, |most, x| most.max(x.abs()));
    let worst = expected
        .iter()
        .zip(actual)
        .map(|(a, b)| (a - b).abs())
        .fold(0_f32, f32::max);
    assert!(
        worst <= 1e-4 * largest,
        "{name}: off by {worst} where the largest value is {largest}"
    );
}

fn assert_aligned(name: &str, expected: &[f32], actual: &[f32]) {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    let cosine = dot(expected, actual) / (dot(expected, expected) * dot(actual, actual)).sqrt();
    assert!(cosine > 0.999, "{name}: cosine {cosine}");
}

/// What the references call each output.
fn names(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Mean => "mean_residues",
        OutputKind::MeanAll => "mean_all_tokens",
        OutputKind::Cls => "cls",
        OutputKind::Logits => "logits",
        OutputKind::Contacts => "contacts",
        OutputKind::Attention => "attention_last",
        OutputKind::HiddenStates => "hidden_states",
        OutputKind::UnmaskedLogprob => "unmasked_logprob",
        OutputKind::MaskedLogprob => "masked_marginal_logprob",
        other => panic!("{other:?}"),
    }
}

const ESM2: [OutputKind; 8] = [
    OutputKind::Mean,
    OutputKind::MeanAll,
    OutputKind::Cls,
    OutputKind::Logits,
    OutputKind::Contacts,
    OutputKind::Attention,
    OutputKind::HiddenStates,
    OutputKind::UnmaskedLogprob,
];

fn check_esm2(model: &str, dtype: DType, by_library: bool, longest: usize) {
    let machine = Machine::new();
    let device = machine.device(0, by_library);
    let files = ModelFiles::open(&path(model)).unwrap();
    let reference = Checkpoint::open(&path(&format!("{model}/expected.safetensors"))).unwrap();
    let inputs: Vec<_> = inputs(model)
        .into_iter()
        .filter(|(_, text)| text.len() <= longest)
        .collect();
    let kinds: Vec<OutputKind> = match dtype {
        DType::F32 => ESM2.to_vec(),
        _ => vec![OutputKind::Mean, OutputKind::MeanAll, OutputKind::Cls],
    };
    let requests: Vec<_> = inputs
        .iter()
        .map(|(name, text)| {
            let tokens = files.tokenizer().encode(text.as_bytes()).tokens;
            let has = |kind| expected(&reference, &format!("{name}.{}", names(kind))).is_some();
            let mut outputs: OutputSet = kinds.iter().copied().filter(|kind| has(*kind)).collect();
            if dtype == DType::F32 && text.len() < 8 && has(OutputKind::MaskedLogprob) {
                outputs = outputs.with(OutputKind::MaskedLogprob);
            }
            (tokens, outputs)
        })
        .collect();
    let found = answers(&device, &files, dtype, 600, &requests);
    let mut compared = 0;
    for ((name, _), output) in inputs.iter().zip(&found) {
        for (kind, tensor) in output.parts() {
            let name = format!("{name}.{}", names(*kind));
            let wanted = expected(&reference, &name).unwrap();
            if dtype == DType::F32 {
                assert_close(&name, &wanted, &tensor.data);
            } else {
                assert_aligned(&name, &wanted, &tensor.data);
            }
            compared += 1;
        }
    }
    assert!(compared >= 3 * inputs.len(), "{compared} tensors");
    machine.check_memory();
}

#[test]
fn esm2_in_f32_on_own_kernels() {
    check_esm2("esm2/tiny_a", DType::F32, false, 260);
}

#[test]
fn esm2_in_f32_on_cublaslt() {
    check_esm2("esm2/tiny_b", DType::F32, true, 100);
}

#[test]
fn esm2_in_bf16() {
    check_esm2("esm2/tiny_a", DType::Bf16, false, 300);
    check_esm2("esm2/tiny_b", DType::Bf16, true, 100);
}

#[test]
fn esm2_in_f16() {
    check_esm2("esm2/tiny_b", DType::F16, false, 100);
    check_esm2("esm2/tiny_a", DType::F16, true, 40);
}
