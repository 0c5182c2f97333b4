//! ProstT5's decoder against the reference outputs: scores, and the tokens of every setting.

use std::sync::Arc;

use crate::golden::Expected;
use crate::golden::decode::{check, generate, ids, load, states_and_scores};
use crate::golden::run::{levels, processor};
use crate::golden::translation::{MODEL, open, proteins, runs, tokenizer};
use sessile_cpu::Isa;
use sessile_device::{DType, GenerationSettings};
use sessile_models::t5::Translation;
use sessile_models::tokenizer::Preprocessing;
use sessile_models::{DecoderLimits, Model, ModelErrorKind};

const LIMITS: DecoderLimits = DecoderLimits {
    rows: 13,
    own_cells: 600,
    source_cells: 120,
    encode_tokens: 60,
};

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
    let runs = runs();
    for isa in levels().filter(|&isa| isa != Isa::Portable) {
        for threads in [1, 2] {
            let (model, lane) = load(&files, &processor(isa), DType::F32, threads);
            check(
                &model,
                lane,
                LIMITS,
                &runs,
                &format!("{isa} {threads} threads"),
            );
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
        let runs = proteins();
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
