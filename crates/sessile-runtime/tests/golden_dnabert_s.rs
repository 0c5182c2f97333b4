//! DNABERT-S and DNABERT-2 against the reference outputs, on every instruction set of this machine.

mod golden;

use golden::run::{Place, answers, places, values};
use golden::{Expected, sequences};
use sessile_cpu::Isa;
use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::ModelFiles;
use sessile_models::tokenizer::BpeTokenizer;

const MODELS: [&str; 2] = ["dnabert_s/tiny_a", "dnabert_s/tiny_b"];

fn check_f32(model: &str, path: &str, place: &Place) {
    let files = ModelFiles::open(&golden::path(path)).unwrap();
    let expected = Expected::open(&format!("{model}/expected.safetensors"));
    let numbers = golden::json(&format!("{model}/expected.json"));
    let sequences = sequences(model);
    let requests: Vec<_> = sequences
        .iter()
        .map(|sequence| {
            let tokens = files.tokenizer().encode(sequence.text.as_bytes()).tokens;
            let ids: Vec<u32> =
                serde_json::from_value(numbers[&sequence.name]["input_ids"].clone()).unwrap();
            assert_eq!(tokens, ids, "{}: token ids", sequence.name);
            let name = |what: &str| format!("{}.{what}", sequence.name);
            let mut outputs: OutputSet = [OutputKind::MeanAll, OutputKind::HiddenStates]
                .into_iter()
                .collect();
            if expected.has(&name("pooler")) {
                outputs = outputs.with(OutputKind::Pooler);
            }
            if expected.has(&name("mlm_logits")) {
                outputs = outputs.with(OutputKind::Logits);
            }
            (tokens, outputs)
        })
        .collect();
    let answers = answers(place.clone(), &files, DType::F32, 4096, 1, &requests);
    let mut heads = 0;
    for ((sequence, output), (tokens, _)) in sequences.iter().zip(&answers).zip(&requests) {
        let name = |what: &str| format!("{}.{what}", sequence.name);
        let mean = values(output, OutputKind::MeanAll);
        expected.assert_close(&name("mean_all_tokens"), mean);
        let states = output.get(OutputKind::HiddenStates).unwrap();
        let hidden = states.shape[2];
        let layer = tokens.len() * hidden;
        let last = &states.data[states.data.len() - layer..];
        if expected.has(&name("last_hidden_state")) {
            expected.assert_close(&name("last_hidden_state"), last);
        } else {
            expected.assert_close(&name("last_hidden_state_first8"), &last[..8 * hidden]);
        }
        if expected.has(&name("all_layers")) {
            expected.assert_close(&name("embedding_output"), &states.data[..layer]);
            expected.assert_close(&name("all_layers"), &states.data[layer..]);
        }
        if let Some(pooler) = output.get(OutputKind::Pooler) {
            expected.assert_close(&name("pooler"), &pooler.data);
            heads += 1;
        }
        if let Some(logits) = output.get(OutputKind::Logits) {
            expected.assert_close(&name("mlm_logits"), &logits.data);
            heads += 1;
        }
    }
    assert!(heads > 0, "{model}: no head was compared");
}

#[test]
fn hidden_states_and_heads_in_f32() {
    for model in MODELS {
        places().for_each(|place| check_f32(model, model, &place));
    }
}

#[test]
fn the_torch_file_of_tiny_b() {
    check_f32(
        "dnabert_s/tiny_b",
        "dnabert_s/tiny_b/pytorch_model.bin",
        &Isa::detect().unwrap().into(),
    );
}

#[test]
fn means_in_bf16() {
    for model in MODELS {
        let files = ModelFiles::open(&golden::path(model)).unwrap();
        let expected = Expected::open(&format!("{model}/expected.safetensors"));
        let sequences = sequences(model);
        let mean = OutputSet::default().with(OutputKind::MeanAll);
        let requests: Vec<_> = sequences
            .iter()
            .map(|sequence| {
                let encoding = files.tokenizer().encode(sequence.text.as_bytes());
                (encoding.tokens, mean)
            })
            .collect();
        for place in places() {
            let answers = answers(place.clone(), &files, DType::Bf16, 4096, 1, &requests);
            for (sequence, output) in sequences.iter().zip(&answers) {
                let name = format!("{}.mean_all_tokens", sequence.name);
                expected.assert_aligned(&name, values(output, OutputKind::MeanAll), 0.999);
            }
        }
    }
}

#[test]
fn merges_as_text_and_as_pairs_give_the_same_ids() {
    for model in MODELS {
        let open = |file: &str| {
            BpeTokenizer::from_file(&golden::path(&format!("{model}/{file}"))).unwrap()
        };
        let (text, pairs) = (open("tokenizer.json"), open("tokenizer_merge_pairs.json"));
        let numbers = golden::json(&format!("{model}/expected.json"));
        for sequence in sequences(model) {
            let ids: Vec<u32> =
                serde_json::from_value(numbers[&sequence.name]["input_ids"].clone()).unwrap();
            assert_eq!(text.encode(sequence.text.as_bytes()).tokens, ids);
            assert_eq!(pairs.encode(sequence.text.as_bytes()).tokens, ids);
        }
    }
}
