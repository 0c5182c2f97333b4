//! ProstT5's decoder against the reference outputs: scores, and the tokens of every setting.

use std::sync::Arc;

use crate::golden::Expected;
use crate::golden::decode::{generate, ids, load, states_and_scores, with_arguments};
use crate::golden::run::{levels, processor};
use serde_json::{Value, json};
use sessile_cpu::Isa;
use sessile_device::{DType, GenerationSettings};
use sessile_models::t5::Translation;
use sessile_models::tokenizer::{Preprocessing, ProstT5Tokenizer};
use sessile_models::{DecoderLimits, Model, ModelErrorKind, OpenOptions};

const MODEL: &str = "prostt5/tiny";

const LIMITS: DecoderLimits = DecoderLimits {
    rows: 13,
    own_cells: 600,
    source_cells: 120,
    encode_tokens: 60,
};

fn open(preprocessing: Preprocessing) -> Model {
    let options = OpenOptions {
        preprocessing,
        ..OpenOptions::default()
    };
    Model::open_with(&crate::golden::path(MODEL), &options).unwrap()
}

fn tokenizer(files: &Model) -> &Arc<ProstT5Tokenizer> {
    files.text_tokenizer().unwrap().as_prost_t5().unwrap()
}

/// Proteins of the reference's runs, with what it wrote.
fn runs() -> Vec<(String, Vec<u8>, Value)> {
    let numbers = crate::golden::json(&format!("{MODEL}/expected.json"));
    let sequences = crate::golden::sequences(MODEL);
    let runs = numbers["generation"].as_object().unwrap();
    runs.iter()
        .map(|(name, run)| {
            let named = |sequence: &&crate::golden::Sequence| sequence.name == *name;
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

#[test]
fn scores_are_those_of_the_reference() {
    let numbers = crate::golden::json(&format!("{MODEL}/expected.json"));
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    let files = open(Preprocessing::Standard);
    let source = ids(&crate::golden::json(&format!("{MODEL}/tokens.json"))["len40"]);
    let written = ids(&numbers["decoder_input_ids"]);
    for isa in levels() {
        let (model, mut lane) = load(&files, &processor(isa), DType::F32, 1);
        let (states, scores) = states_and_scores(&model, &mut lane, DType::F32, &source, &written);
        expected.assert_close("len40.last_hidden_state", &states);
        expected.assert_close("len40.decoder_logits", &scores.concat());
    }
}

#[test]
fn bf16_scores_point_where_the_reference_points() {
    let numbers = crate::golden::json(&format!("{MODEL}/expected.json"));
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    let files = open(Preprocessing::Standard);
    let source = ids(&crate::golden::json(&format!("{MODEL}/tokens.json"))["len40"]);
    let written = ids(&numbers["decoder_input_ids"]);
    for isa in levels() {
        let (model, mut lane) = load(&files, &processor(isa), DType::Bf16, 1);
        let (_, scores) = states_and_scores(&model, &mut lane, DType::Bf16, &source, &written);
        // The first step, and those behind it, as one vector.
        let first = expected.values("len40.decoder_logits")[..150].to_vec();
        let cosine = cosine(&first, &scores[0]);
        assert!(cosine > 0.999, "{isa}: cosine {cosine}");
        expected.assert_aligned("len40.decoder_logits", &scores.concat(), 0.999);
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Requests of all settings share each step, in a lane that has room for a few at a time.
#[test]
fn tokens_of_every_setting_are_those_of_the_reference() {
    let files = open(Preprocessing::Standard);
    let hidden_end = open(Preprocessing::GenomeEntropy);
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for (name, residues, run) in runs() {
        for (setting, run) in run.as_object().unwrap() {
            let Some(text) = run.get("text") else {
                continue;
            };
            let hides_end = setting.contains("genome_entropy");
            let tokenizer = tokenizer(if hides_end { &hidden_end } else { &files });
            let settings = with_arguments(
                files.settings().unwrap(),
                &arguments(setting, residues.len()),
            );
            requests.push((tokenizer.encode(&residues).tokens, settings));
            let text = text.as_str().unwrap().to_owned();
            expected.push((format!("{name} {setting}"), ids(&run["ids"]), text));
        }
    }
    assert_eq!(requests.len(), 35, "runs of the reference");
    for isa in levels().filter(|&isa| isa != Isa::Portable) {
        for threads in [1, 2] {
            let (model, lane) = load(&files, &processor(isa), DType::F32, threads);
            let answers = generate(&model, lane, DType::F32, LIMITS, &requests);
            for (answer, (name, tokens, text)) in answers.iter().zip(&expected) {
                assert_eq!(answer, tokens, "{isa} {threads} threads: {name}");
                assert_eq!(
                    files.text_tokenizer().unwrap().decode(answer),
                    *text,
                    "{name}"
                );
            }
        }
    }
}

/// Both modes as the pipelines ask for them, with the lengths that they make themselves.
#[test]
fn translations_have_the_states_of_the_reference() {
    let modes = [
        (Preprocessing::Standard, "greedy_max_L_plus_1"),
        (Preprocessing::GenomeEntropy, "beam3_genome_entropy_lengths"),
    ];
    for (preprocessing, setting) in modes {
        let files = open(preprocessing);
        let translation = Translation::new(
            Arc::clone(tokenizer(&files)),
            Translation::defaults(preprocessing, files.settings().unwrap()),
        );
        let runs = runs();
        let requests: Vec<(Vec<u32>, GenerationSettings)> = runs
            .iter()
            .map(|(_, residues, _)| {
                let tokens = translation.tokenizer().encode(residues).tokens;
                (tokens, translation.settings(residues.len()))
            })
            .collect();
        let (model, lane) = load(&files, &processor(Isa::detect().unwrap()), DType::F32, 2);
        let answers = generate(&model, lane, DType::F32, LIMITS, &requests);
        for (answer, (name, residues, run)) in answers.iter().zip(&runs) {
            let states = translation.states(answer, residues.len());
            let expected = run[setting]["three_di_trimmed"].as_str().unwrap();
            assert_eq!(states, expected.to_uppercase(), "{name} {setting}");
            assert_eq!(states.len(), residues.len(), "{name} {setting}");
        }
    }
}

/// States become residues, and nothing but residues.
#[test]
fn the_way_back_writes_residues() {
    let files = open(Preprocessing::Standard);
    let tokenizer = tokenizer(&files);
    let settings = GenerationSettings {
        min_length: 7,
        max_length: 7,
        allowed_tokens: Some(tokenizer.residue_tokens().into()),
        ..files.settings().unwrap().clone()
    };
    let source = tokenizer.encode_states(b"fksgkd").unwrap();
    assert_eq!(source, tokenizer.encode_text("<fold2AA> f k s g k d"));
    let (model, lane) = load(&files, &processor(Isa::detect().unwrap()), DType::F32, 1);
    let answers = generate(&model, lane, DType::F32, LIMITS, &[(source, settings)]);
    let residues = tokenizer.decode(&answers[0]);
    assert_eq!(residues.len(), 6, "{residues}");
    assert!(
        residues.bytes().all(|byte| byte.is_ascii_uppercase()),
        "{residues}"
    );
}

#[test]
fn an_encoder_alone_has_no_decoder() {
    let path = crate::golden::path(&format!("{MODEL}/variant_encoder_f16"));
    let files = Model::open(&path).unwrap();
    let device = sessile_cpu::CpuDevice::new(sessile_cpu::CpuOptions {
        isa: None,
        threads: 1,
    })
    .unwrap();
    let error = files.load_writer(&device, DType::F32).err().unwrap();
    assert_eq!(error.kind(), ModelErrorKind::MissingTensor);
    assert!(error.to_string().contains("no decoder"), "{error}");
}
