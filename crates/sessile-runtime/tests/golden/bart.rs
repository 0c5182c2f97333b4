//! BART against the reference outputs, on any device: the encoder's states, and the scores of the
//! first tokens.

use sessile_device::{DType, DecodingLane, Device};
use sessile_models::Model;

use super::decode::{LaneOf, ids, load, states_and_scores};
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

fn check<D: Device>(files: &Model, device: &D, dtype: DType, place: &Place)
where
    LaneOf<D>: DecodingLane,
{
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
