//! The golden suite: reading the reference outputs of `tests/golden`, and comparing every model with
//! them on whatever device it is given. `sessile-cuda` runs this very source on an emulated GPU.

#![allow(dead_code, reason = "each test file uses its own part of this")]

pub mod bart;
pub mod company;
pub mod decode;
pub mod dnabert_s;
pub mod esm2;
pub mod families;
pub mod modernbert;
pub mod prostt5;
pub mod run;
pub mod translation;

use std::path::PathBuf;

use run::Place;
use sessile_device::RowSource;
use sessile_models::Model;
use sessile_models::checkpoint::Checkpoint;

/// A path below `tests/golden`.
pub fn path(relative: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(relative)
}

/// A JSON file below `tests/golden`.
pub fn json(relative: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(path(relative)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// One entry of an `inputs.json`.
pub struct Sequence {
    pub name: String,
    pub text: String,
}

/// The sequences of a model's `inputs.json`; entries without one are left out.
pub fn sequences(model: &str) -> Vec<Sequence> {
    json(&format!("{model}/inputs.json"))
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| {
            Some(Sequence {
                name: entry["name"].as_str().unwrap().to_owned(),
                text: entry["sequence"].as_str()?.to_owned(),
            })
        })
        .collect()
}

/// A sequence as tokens, which are those of the reference.
pub struct Case {
    pub name: String,
    pub tokens: Vec<u32>,
}

impl Case {
    /// What the reference calls an output of this sequence.
    pub fn part(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }
}

/// The sequences of a model that are not too long for a place. `ids` has the token ids of the
/// reference by the sequences' names.
pub fn cases(model: &str, files: &Model, ids: &serde_json::Value, place: &Place) -> Vec<Case> {
    let cases: Vec<Case> = sequences(model)
        .into_iter()
        .map(|Sequence { name, text }| {
            let tokens = files.tokenizer().encode(text.as_bytes()).tokens;
            let ids: Vec<u32> = serde_json::from_value(ids[&name]["input_ids"].clone()).unwrap();
            assert_eq!(tokens, ids, "{name}: token ids");
            Case { name, tokens }
        })
        .filter(|case| place.takes(&case.tokens))
        .collect();
    assert!(cases.len() > 5, "{model}: {} sequences", cases.len());
    cases
}

/// The tensors of an `expected.safetensors`.
pub struct Expected(Checkpoint);

impl Expected {
    /// Opens the file.
    pub fn open(relative: &str) -> Self {
        Expected(Checkpoint::open(&path(relative)).unwrap())
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.0.tensor(name).is_some()
    }

    /// The values of a tensor.
    pub fn values(&self, name: &str) -> Vec<f32> {
        let rows = self
            .0
            .rows(name)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut values = vec![0.0; rows.rows() * rows.cols()];
        rows.read_rows(0, &mut values).unwrap();
        values
    }

    /// Compares with a tolerance of 1e-4 of the largest expected value.
    pub fn assert_close(&self, name: &str, actual: &[f32]) {
        assert_close(name, &self.values(name), actual);
    }

    /// Compares the last states of a sequence: all rows of them, or as many as are kept, which
    /// `first` names.
    pub fn assert_last_states(&self, case: &Case, states: &[f32], first: (&str, usize)) {
        if self.has(&case.part("last_hidden_state")) {
            self.assert_close(&case.part("last_hidden_state"), states);
        } else {
            let kept = &states[..first.1 * (states.len() / case.tokens.len())];
            self.assert_close(&case.part(&format!("last_hidden_state_{}", first.0)), kept);
        }
    }

    /// Compares the direction of a vector.
    pub fn assert_aligned(&self, name: &str, actual: &[f32], at_least: f64) {
        assert_aligned(name, &self.values(name), actual, at_least);
    }
}

/// Compares with a tolerance of 1e-4 of the largest expected value.
pub fn assert_close(name: &str, expected: &[f32], actual: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{name}: number of values");
    let largest = expected
        .iter()
        .fold(0_f32, |largest, value| largest.max(value.abs()));
    let difference = expected
        .iter()
        .zip(actual)
        .map(|(expected, actual)| (expected - actual).abs())
        .fold(0_f32, f32::max);
    let is_finite = actual.iter().all(|value| value.is_finite());
    assert!(
        is_finite && difference <= 1e-4 * largest,
        "{name}: off by {difference} where the largest value is {largest}"
    );
}

/// Compares the direction of a vector.
pub fn assert_aligned(name: &str, expected: &[f32], actual: &[f32], at_least: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}: number of values");
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    let lengths = dot(expected, expected) * dot(actual, actual);
    let cosine = dot(expected, actual) / lengths.sqrt();
    assert!(cosine > at_least, "{name}: cosine {cosine}");
}

/// Compares the best of `states` scores of every row, where the expected best is ahead of the next
/// by more than `margin`. Fails when that is so for no row at all.
pub fn assert_same_choices(
    name: &str,
    expected: &[f32],
    actual: &[f32],
    states: usize,
    margin: f32,
) {
    assert_eq!(actual.len(), expected.len(), "{name}: number of scores");
    let best = |row: &[f32]| {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        (order[0], row[order[0]] - row[order[1]])
    };
    let mut wide = 0;
    let rows = expected
        .chunks_exact(states)
        .zip(actual.chunks_exact(states));
    for (index, (expected, actual)) in rows.enumerate() {
        let (choice, ahead) = best(expected);
        if ahead > margin {
            assert_eq!(
                best(actual).0,
                choice,
                "{name}: row {index}, ahead by {ahead}"
            );
            wide += 1;
        }
    }
    assert!(
        wide > 0 || expected.len() < 20 * states,
        "{name}: no wide margin"
    );
}
