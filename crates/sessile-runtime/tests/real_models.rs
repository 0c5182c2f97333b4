//! Two models with trained weights against their own Python packages. The weights lie where
//! `SESSILE_REAL_MODELS` says; `xtask/check-real-models.sh` fetches them and runs this.

#![allow(clippy::print_stdout, reason = "what was skipped, and how fast it was")]

use std::path::PathBuf;
use std::time::Instant;

use sessile_cpu::Isa;
use sessile_device::{DType, Output, OutputKind, OutputSet};
use sessile_models::Model;

use crate::golden::run::{BUDGET, Place, answers, values};
use crate::golden::{assert_aligned, assert_close, json};

/// Scores of tokens that stand for no residue are left out of AntiBERTy's likelihood.
const SPECIAL_TOKENS: usize = 5;

fn model(name: &str) -> Option<Model> {
    let Some(folder) = std::env::var_os("SESSILE_REAL_MODELS").map(PathBuf::from) else {
        println!("SKIPPED: SESSILE_REAL_MODELS does not say where {name} is");
        return None;
    };
    Some(Model::open(&folder.join(name)).unwrap())
}

fn floats(entry: &serde_json::Value, key: &str) -> Vec<f32> {
    serde_json::from_value(entry[key].clone()).unwrap()
}

/// The sequences of a file of references as tokens, which are those of the reference.
fn tokens(model: &Model, entries: &[serde_json::Value]) -> Vec<Vec<u32>> {
    let encode = |entry: &serde_json::Value| {
        let text = entry["text"].as_str().unwrap();
        let tokens = model.tokenizer().encode(text.as_bytes()).tokens;
        let ids: Vec<u32> = serde_json::from_value(entry["ids"].clone()).unwrap();
        assert_eq!(tokens, ids, "{text}");
        tokens
    };
    entries.iter().map(encode).collect()
}

fn run(model: &Model, dtype: DType, tokens: &[Vec<u32>], kinds: &[OutputKind]) -> Vec<Output> {
    let outputs: OutputSet = kinds.iter().copied().collect();
    let requests: Vec<_> = tokens.iter().map(|ids| (ids.clone(), outputs)).collect();
    let place = Place::Cpu(Isa::detect().unwrap());
    let begun = Instant::now();
    let answers = answers(&place, model, dtype, BUDGET, &requests);
    let count: usize = tokens.iter().map(Vec::len).sum();
    println!(
        "{} in {dtype}: {count} tokens in {:.2} s, with loading",
        model.name(),
        begun.elapsed().as_secs_f64()
    );
    answers
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter().map(|value| value / length).collect()
}

/// For each vector the others, the most similar first.
fn rankings(vectors: &[Vec<f32>]) -> Vec<Vec<usize>> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let rank = |of: usize| {
        let mut others: Vec<usize> = (0..vectors.len()).filter(|other| *other != of).collect();
        others.sort_by(|&a, &b| {
            let [a, b] = [a, b].map(|other| dot(&vectors[of], &vectors[other]));
            b.total_cmp(&a)
        });
        others
    };
    (0..vectors.len()).map(rank).collect()
}

#[test]
fn mini_lm_gives_the_vectors_of_its_package() {
    let Some(model) = model("minilm") else { return };
    let entries = json("real/mini_lm.json");
    let entries = entries.as_array().unwrap();
    let tokens = tokens(&model, entries);
    let expected: Vec<_> = entries
        .iter()
        .map(|entry| floats(entry, "vector"))
        .collect();
    for dtype in [DType::F32, DType::Bf16] {
        let answers = run(&model, dtype, &tokens, &[OutputKind::MeanAll]);
        let found: Vec<_> = answers
            .iter()
            .map(|output| unit(values(output, OutputKind::MeanAll)))
            .collect();
        for ((expected, found), entry) in expected.iter().zip(&found).zip(entries) {
            let text = entry["text"].as_str().unwrap();
            match dtype {
                DType::F32 => assert_close(text, expected, found),
                _ => assert_aligned(text, expected, found, 0.999),
            }
        }
        assert_eq!(rankings(&found), rankings(&expected), "{dtype}");
    }
}

#[test]
fn antiberty_gives_the_vectors_and_likelihoods_of_its_package() {
    let Some(model) = model("antiberty") else {
        return;
    };
    let entries = json("real/antiberty.json");
    let entries = entries.as_array().unwrap();
    let tokens = tokens(&model, entries);
    let kinds = [OutputKind::Mean, OutputKind::Cls, OutputKind::MaskedLogprob];
    for dtype in [DType::F32, DType::Bf16] {
        // A masked scan is a pass for each residue: in bf16 the short sequence is enough.
        let tokens = match dtype {
            DType::F32 => &tokens[..],
            _ => &tokens[tokens.len() - 1..],
        };
        let entries = &entries[entries.len() - tokens.len()..];
        let answers = run(&model, dtype, tokens, &kinds);
        let names = ["mean", "cls", "masked_logprob"];
        for (output, entry) in answers.iter().zip(entries) {
            for (name, kind) in names.into_iter().zip(kinds) {
                let (expected, found) = (floats(entry, name), values(output, kind));
                match dtype {
                    DType::F32 => assert_close(name, &expected, found),
                    _ => assert_aligned(name, &expected, found, 0.999),
                }
            }
        }
    }
    // Its own likelihood of a sequence counts residues alone: from the scores of each, hidden.
    let mask = model.tokenizer().mask().unwrap();
    let (last, entry) = (tokens.last().unwrap(), entries.last().unwrap());
    let hidden: Vec<Vec<u32>> = (1..last.len() - 1)
        .map(|at| {
            let mut tokens = last.clone();
            tokens[at] = mask;
            tokens
        })
        .collect();
    let answers = run(&model, DType::F32, &hidden, &[OutputKind::Logits]);
    let scores = answers.iter().enumerate().map(|(index, output)| {
        let logits = output.get(OutputKind::Logits).unwrap();
        let row = &logits.data[(index + 1) * logits.shape[1]..][..logits.shape[1]];
        let residues = row[SPECIAL_TOKENS..]
            .iter()
            .map(|&score| f64::from(score).exp());
        f64::from(row[last[index + 1] as usize]) - residues.sum::<f64>().ln()
    });
    let mean = scores.sum::<f64>() / hidden.len() as f64;
    let own = entry["pseudo_log_likelihood"].as_f64().unwrap();
    assert!((mean - own).abs() < 1e-4, "{mean} for {own}");
}
