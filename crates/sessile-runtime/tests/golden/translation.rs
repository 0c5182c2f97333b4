//! ProstT5's decoder against the reference outputs: what it wrote under every setting.

use std::sync::Arc;

use serde_json::{Value, json};
use sessile_models::tokenizer::{Preprocessing, ProstT5Tokenizer};
use sessile_models::{Model, OpenOptions};

use super::decode::{Run, ids, with_arguments};

pub const MODEL: &str = "prostt5/tiny";

pub fn open(preprocessing: Preprocessing) -> Model {
    let options = OpenOptions {
        preprocessing,
        ..OpenOptions::default()
    };
    Model::open_with(&super::path(MODEL), &options).unwrap()
}

pub fn tokenizer(files: &Model) -> &Arc<ProstT5Tokenizer> {
    files.text_tokenizer().unwrap().as_prost_t5().unwrap()
}

/// Proteins of the reference's runs, with what it wrote.
pub fn proteins() -> Vec<(String, Vec<u8>, Value)> {
    let numbers = super::json(&format!("{MODEL}/expected.json"));
    let sequences = super::sequences(MODEL);
    let runs = numbers["generation"].as_object().unwrap();
    runs.iter()
        .map(|(name, run)| {
            let named = |sequence: &&super::Sequence| sequence.name == *name;
            let residues = sequences.iter().find(named).unwrap().text.clone();
            (name.clone(), residues.into_bytes(), run.clone())
        })
        .collect()
}

/// The arguments of a setting, as the golden files' README has them.
fn arguments(setting: &str, residues: usize) -> Value {
    match setting {
        "greedy_max_L_plus_1" => {
            json!({ "min_length": residues + 1, "max_length": residues + 2 })
        }
        "greedy_genome_entropy_lengths" | "beam3_genome_entropy_lengths" => json!({
            "num_beams": if setting.starts_with("beam3") { 3 } else { 1 },
            "min_length": 9 + 2 * residues,
            "max_length": 9 + 2 * residues,
            "repetition_penalty": 1.2,
        }),
        "beam3_free" => json!({
            "num_beams": 3,
            "max_length": 2 * residues + 10,
            "early_stopping": true,
        }),
        "beam3_no_early_stop_lp0.6" => json!({
            "num_beams": 3,
            "max_length": 2 * residues + 10,
            "min_length": 2,
            "length_penalty": 0.6,
            "no_repeat_ngram_size": 2,
            "early_stopping": false,
        }),
        other => panic!("{other}"),
    }
}

/// Every run of the reference: all proteins with all settings.
pub fn runs() -> Vec<Run> {
    let files = open(Preprocessing::Standard);
    let hidden_end = open(Preprocessing::GenomeEntropy);
    let mut runs = Vec::new();
    for (name, residues, run) in proteins() {
        for (setting, run) in run.as_object().unwrap() {
            let Some(text) = run.get("text") else {
                continue;
            };
            let hides_end = setting.contains("genome_entropy");
            let tokenizer = tokenizer(if hides_end { &hidden_end } else { &files });
            let arguments = arguments(setting, residues.len());
            let written = ids(&run["ids"]);
            let decoded = files.text_tokenizer().unwrap().decode(&written);
            assert_eq!(Some(&*decoded), text.as_str(), "{name}");
            runs.push(Run {
                name: format!("{name} {setting}"),
                source: tokenizer.encode(&residues).tokens,
                settings: with_arguments(files.settings().unwrap(), &arguments),
                written,
            });
        }
    }
    assert_eq!(runs.len(), 35, "runs of the reference");
    runs
}
