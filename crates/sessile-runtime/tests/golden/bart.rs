//! BART against the reference outputs, on any device: the encoder's states, the scores of the first
//! tokens, and what was written under every setting.

use sessile_device::{DType, Device};
use sessile_models::Model;
use sessile_models::generation::settings_from_json;

use super::decode::{Run, ids, load, states_and_scores, with_arguments};
use super::run::{Place, processor};
use super::{Case, Expected, json, path};

pub const MODEL: &str = "bart/tiny";

/// Columns of the encoder's states.
const HIDDEN: usize = 48;

/// The model's files.
pub fn open() -> Model {
    Model::open(&path(MODEL)).unwrap()
}

/// The names of all texts.
pub fn names() -> Vec<String> {
    let inputs = json(&format!("{MODEL}/inputs.json"));
    let names = inputs.as_array().unwrap().iter();
    names
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect()
}

/// States and scores in a number format: by value in f32, by direction in 16 bits.
pub fn states_and_scores_in(dtype: DType, place: &Place) {
    states_and_scores_of(&open(), dtype, place);
}

/// The same of the model in another layout.
pub fn states_and_scores_of(files: &Model, dtype: DType, place: &Place) {
    match place {
        Place::Cpu(isa) => check(files, &processor(*isa), dtype, place),
        Place::Cuda(device) | Place::Emulated { device, .. } => check(files, device, dtype, place),
    }
}

fn check<D: Device>(files: &Model, device: &D, dtype: DType, place: &Place) {
    let numbers = json(&format!("{MODEL}/expected.json"));
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    let (model, mut lane) = load(files, device, dtype, 1);
    let cases = names().into_iter().map(|name| Case {
        tokens: ids(&numbers[&name]["input_ids"]),
        name,
    });
    for case in cases.filter(|case| place.takes(&case.tokens)) {
        let (states, scores) = states_and_scores(&model, &mut lane, dtype, &case.tokens, &[2, 0]);
        let (what, states) = if expected.has(&case.part("encoder_last_hidden_state")) {
            ("encoder_last_hidden_state", &states[..])
        } else {
            ("encoder_last_hidden_state_first16", &states[..16 * HIDDEN])
        };
        let parts = [
            (what, states),
            ("first_logits", &scores[0]),
            ("second_logits", &scores[1]),
        ];
        for (what, found) in parts {
            match dtype {
                DType::F32 => expected.assert_close(&case.part(what), found),
                _ => expected.assert_aligned(&case.part(what), found, 0.999),
            }
        }
    }
}

/// Every run of the reference: all texts with all settings, and every key of a
/// generation_config.json that is built in, alone and with beams.
pub fn runs() -> Vec<Run> {
    let numbers = json(&format!("{MODEL}/expected.json"));
    let source = |name: &str| ids(&numbers[name]["input_ids"]);
    let mut runs = Vec::new();
    let files = open();
    for name in names() {
        for (setting, run) in numbers[&name].as_object().unwrap() {
            let Some(arguments) = run.get("args") else {
                continue;
            };
            runs.push(Run {
                name: format!("{name} {setting}"),
                source: source(&name),
                settings: with_arguments(files.settings().unwrap(), arguments),
                written: ids(&run["ids"]),
            });
        }
    }
    assert_eq!(runs.len(), 31, "runs of the reference");
    let config = json(&format!("{MODEL}/config.json"));
    let configured = json(&format!("{MODEL}/settings.json"));
    for (name, run) in configured.as_object().unwrap() {
        let settings = settings_from_json(Some(&run["generation_config"]), &config).unwrap();
        for (text, tokens) in run["ids"].as_object().unwrap() {
            runs.push(Run {
                name: format!("{name} {text}"),
                source: source(text),
                settings: settings.clone(),
                written: ids(tokens),
            });
        }
    }
    assert_eq!(runs.len(), 31 + 51, "runs of the reference");
    runs
}
