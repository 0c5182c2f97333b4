//! ProstT5's encoder and 3Di head against the reference outputs, on any device.

use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::three_di::StateSequence;
use sessile_models::{Model, OpenOptions};

use super::run::{BUDGET, Place, answers, last_states, values};
use super::{Case, Expected, assert_same_choices, json, path};

pub const MODEL: &str = "prostt5/tiny";

/// Every form in which the head is published.
pub const HEADS: [&str; 3] = ["model.pt", "finetuned_model.pth", "model.safetensors"];

/// A model with one of the heads.
pub fn open(model: &str, head: &str) -> Model {
    let options = OpenOptions {
        head: Some(path(&format!("{MODEL}/cnn/{head}"))),
        ..OpenOptions::default()
    };
    Model::open_with(&path(model), &options).unwrap()
}

/// Every text and protein of the golden files that is not too long.
fn cases(place: &Place) -> Vec<Case> {
    let ids = json(&format!("{MODEL}/tokens.json"));
    ids.as_object()
        .unwrap()
        .iter()
        .map(|(name, ids)| Case {
            name: name.clone(),
            tokens: serde_json::from_value(ids.clone()).unwrap(),
        })
        .filter(|case| place.takes(&case.tokens))
        .collect()
}

fn requests(cases: &[Case], outputs: OutputSet) -> Vec<(Vec<u32>, OutputSet)> {
    let tokens = cases.iter().map(|case| case.tokens.clone());
    tokens.map(|tokens| (tokens, outputs)).collect()
}

/// States, scores and strings in f32.
pub fn in_f32(place: &Place, head: &str) {
    let files = open(MODEL, head);
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    let numbers = json(&format!("{MODEL}/expected.json"));
    let outputs: OutputSet = [
        OutputKind::Mean,
        OutputKind::HiddenStates,
        OutputKind::ThreeDi,
    ]
    .into_iter()
    .collect();
    let cases = cases(place);
    let requests = requests(&cases, outputs);
    let answers = answers(place, &files, DType::F32, BUDGET, &requests);
    let mut strings = 0;
    for (case, output) in cases.iter().zip(&answers) {
        let mean = values(output, OutputKind::Mean);
        expected.assert_close(&case.part("mean_residues"), mean);
        let last = last_states(output, &case.tokens);
        expected.assert_last_states(case, last, ("first16", 16));
        if expected.has(&case.part("encoder_hidden_states")) {
            let states = values(output, OutputKind::HiddenStates);
            expected.assert_close(&case.part("encoder_hidden_states"), states);
        }
        if !expected.has(&case.part("cnn_logits")) {
            continue;
        }
        let logits = output.get(OutputKind::ThreeDi).unwrap();
        expected.assert_close(&case.part("cnn_logits"), &logits.data);
        let found = StateSequence::three_di(logits);
        expected.assert_close(&case.part("cnn_max_prob"), &found.probabilities);
        check_strings(&case.name, &found, &numbers["cnn"][&case.name]);
        strings += 1;
    }
    let all = numbers["cnn"].as_object().unwrap().len();
    assert!(
        strings >= 9 && (strings == all) == (cases.len() == 15),
        "{strings} of {all}"
    );
}

fn check_strings(name: &str, found: &StateSequence, wanted: &serde_json::Value) {
    assert_eq!(found.states, wanted["three_di"].as_str().unwrap(), "{name}");
    let masks = [
        (0.25, "three_di_masked_below_25pct"),
        (0.6, "three_di_masked_below_60pct"),
    ];
    for (threshold, key) in masks {
        let masked = found.masked(threshold);
        assert_eq!(masked, wanted[key].as_str().unwrap(), "{name}");
    }
    let percent = 100.0 * found.mean_probability().unwrap();
    let mean = wanted["mean_probability_percent"].as_f64().unwrap();
    assert!(
        (percent - mean).abs() < 0.0051,
        "{name}: {percent} for {mean}"
    );
}

/// A format of 16 bits is near, and decides alike where the margin is wide.
pub fn in_16_bits(place: &Place, dtype: DType) {
    let files = open(MODEL, HEADS[2]);
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    let outputs: OutputSet = [OutputKind::Mean, OutputKind::ThreeDi]
        .into_iter()
        .collect();
    let cases = cases(place);
    let answers = answers(place, &files, dtype, BUDGET, &requests(&cases, outputs));
    for (case, output) in cases.iter().zip(&answers) {
        let mean = values(output, OutputKind::Mean);
        expected.assert_aligned(&case.part("mean_residues"), mean, 0.999);
        if expected.has(&case.part("cnn_logits")) {
            let scores = expected.values(&case.part("cnn_logits"));
            let found = values(output, OutputKind::ThreeDi);
            let margin = if dtype == DType::Bf16 { 0.1 } else { 0.02 };
            assert_same_choices(&case.name, &scores, found, 20, margin);
        }
    }
}
