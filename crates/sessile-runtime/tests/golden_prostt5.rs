//! ProstT5's encoder and 3Di head against the reference outputs, on every instruction set of this
//! machine.

mod golden;

use golden::run::{Place, answers, places, values};
use golden::{Expected, sequences};
use sessile_cpu::Isa;
use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::three_di::StateSequence;
use sessile_models::{ModelFiles, OpenOptions};

const MODEL: &str = "prostt5/tiny";

/// Every form in which the head is published.
const HEADS: [&str; 3] = ["model.pt", "finetuned_model.pth", "model.safetensors"];

fn open(model: &str, head: &str) -> ModelFiles {
    let options = OpenOptions {
        head: Some(golden::path(&format!("{MODEL}/cnn/{head}"))),
        ..OpenOptions::default()
    };
    ModelFiles::open_with(&golden::path(model), &options).unwrap()
}

/// Token ids of every text and protein of the golden files, with their names.
fn tokens() -> Vec<(String, Vec<u32>)> {
    let ids = golden::json(&format!("{MODEL}/tokens.json"));
    ids.as_object()
        .unwrap()
        .iter()
        .map(|(name, ids)| (name.clone(), serde_json::from_value(ids.clone()).unwrap()))
        .collect()
}

fn check_f32(place: &Place, head: &str) {
    let files = open(MODEL, head);
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    let numbers = golden::json(&format!("{MODEL}/expected.json"));
    let outputs: OutputSet = [
        OutputKind::Mean,
        OutputKind::HiddenStates,
        OutputKind::ThreeDi,
    ]
    .into_iter()
    .collect();
    let (names, requests): (Vec<_>, Vec<_>) = tokens()
        .into_iter()
        .map(|(name, ids)| (name, (ids, outputs)))
        .unzip();
    let answers = answers(place.clone(), &files, DType::F32, 4096, 1, &requests);
    let mut strings = 0;
    for ((name, output), (tokens, _)) in names.iter().zip(&answers).zip(&requests) {
        let part = |what: &str| format!("{name}.{what}");
        expected.assert_close(&part("mean_residues"), values(output, OutputKind::Mean));
        let states = output.get(OutputKind::HiddenStates).unwrap();
        let hidden = states.shape[2];
        let last = &states.data[states.data.len() - tokens.len() * hidden..];
        if expected.has(&part("last_hidden_state")) {
            expected.assert_close(&part("last_hidden_state"), last);
        } else {
            expected.assert_close(&part("last_hidden_state_first16"), &last[..16 * hidden]);
        }
        if expected.has(&part("encoder_hidden_states")) {
            expected.assert_close(&part("encoder_hidden_states"), &states.data);
        }
        if !expected.has(&part("cnn_logits")) {
            continue;
        }
        let logits = output.get(OutputKind::ThreeDi).unwrap();
        expected.assert_close(&part("cnn_logits"), &logits.data);
        let found = StateSequence::three_di(logits);
        expected.assert_close(&part("cnn_max_prob"), &found.probabilities);
        let wanted = &numbers["cnn"][name];
        assert_eq!(found.states, wanted["three_di"].as_str().unwrap(), "{name}");
        let masks = [
            (0.25, "three_di_masked_below_25pct"),
            (0.6, "three_di_masked_below_60pct"),
        ];
        for (threshold, key) in masks {
            assert_eq!(
                found.masked(threshold),
                wanted[key].as_str().unwrap(),
                "{name}"
            );
        }
        let percent = 100.0 * found.mean_probability().unwrap();
        let mean = wanted["mean_probability_percent"].as_f64().unwrap();
        assert!(
            (percent - mean).abs() < 0.0051,
            "{name}: {percent} for {mean}"
        );
        strings += 1;
    }
    assert_eq!(strings, 11);
}

#[test]
fn encoder_and_head_in_f32() {
    places().for_each(|place| check_f32(&place, HEADS[2]));
}

#[test]
fn every_form_of_the_head() {
    HEADS[..2]
        .iter()
        .for_each(|head| check_f32(&Isa::detect().unwrap().into(), head));
}

#[test]
fn the_head_beside_the_model_is_found() {
    let files = ModelFiles::open(&golden::path(MODEL)).unwrap();
    assert!(files.head().is_some());
    let alone = ModelFiles::open(&golden::path(&format!("{MODEL}/variant_encoder_f16"))).unwrap();
    assert!(alone.head().is_none());
    let hash = |files: &ModelFiles| files.content_hash().unwrap();
    // The same tensors in another form have the same hash.
    assert_eq!(hash(&files), hash(&open(MODEL, HEADS[0])));
}

#[test]
fn an_encoder_alone_in_f16() {
    let model = format!("{MODEL}/variant_encoder_f16");
    let files = open(&model, HEADS[0]);
    let expected = Expected::open(&format!("{model}/expected.safetensors"));
    let mean = OutputSet::default().with(OutputKind::Mean);
    // The vocabulary is the published one: this folder has no tokenizer.
    let requests: Vec<_> = sequences(MODEL)
        .iter()
        .map(|sequence| {
            let encoding = files.tokenizer().encode(sequence.text.as_bytes());
            (encoding.tokens, mean)
        })
        .collect();
    let answers = answers(
        Isa::detect().unwrap(),
        &files,
        DType::F32,
        4096,
        1,
        &requests,
    );
    for (sequence, output) in sequences(MODEL).iter().zip(&answers) {
        let name = format!("{}.mean_residues", sequence.name);
        expected.assert_close(&name, values(output, OutputKind::Mean));
    }
}

#[test]
fn bf16_is_near_and_decides_alike_where_the_margin_is_wide() {
    let files = open(MODEL, HEADS[2]);
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    let outputs: OutputSet = [OutputKind::Mean, OutputKind::ThreeDi]
        .into_iter()
        .collect();
    let (names, requests): (Vec<_>, Vec<_>) = tokens()
        .into_iter()
        .map(|(name, ids)| (name, (ids, outputs)))
        .unzip();
    for place in places() {
        let answers = answers(place.clone(), &files, DType::Bf16, 4096, 1, &requests);
        for (name, output) in names.iter().zip(&answers) {
            let part = |what: &str| format!("{name}.{what}");
            expected.assert_aligned(
                &part("mean_residues"),
                values(output, OutputKind::Mean),
                0.999,
            );
            if expected.has(&part("cnn_logits")) {
                let wanted = expected.values(&part("cnn_logits"));
                let found = values(output, OutputKind::ThreeDi);
                golden::assert_same_choices(name, &wanted, found, 20, 0.1);
            }
        }
    }
}
