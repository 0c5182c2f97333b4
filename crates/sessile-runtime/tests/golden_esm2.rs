//! ESM-2 against the reference outputs, on every instruction set of this machine.

mod golden;

use golden::run::{Place, answers, places, values};
use golden::{Expected, sequences};
use sessile_cpu::Isa;
use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::ModelFiles;

fn check_f32(model: &str, place: &Place) {
    let files = ModelFiles::open(&golden::path(model)).unwrap();
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
            let mut outputs: OutputSet = [
                OutputKind::Mean,
                OutputKind::MeanAll,
                OutputKind::Cls,
                OutputKind::Logits,
                OutputKind::HiddenStates,
                OutputKind::UnmaskedLogprob,
            ]
            .into_iter()
            .collect();
            let name = |what: &str| format!("{}.{what}", sequence.name);
            // The masked scans of the longest sequences take hundreds of passes: nothing for the
            // fast kernels, minutes for the others.
            let scan = sequence.text.len() < 120 || place.is_fast();
            if expected.has(&name("masked_marginal_logprob")) && scan {
                outputs = outputs.with(OutputKind::MaskedLogprob);
            }
            if expected.has(&name("contacts")) {
                outputs = outputs.with(OutputKind::Contacts);
            }
            if expected.has(&name("attention_last")) {
                outputs = outputs.with(OutputKind::Attention);
            }
            (tokens, outputs)
        })
        .collect();
    let answers = answers(place.clone(), &files, DType::F32, 4096, 1, &requests);
    for ((sequence, output), (tokens, _)) in sequences.iter().zip(&answers).zip(&requests) {
        let name = |what: &str| format!("{}.{what}", sequence.name);
        expected.assert_close(&name("mean_residues"), values(output, OutputKind::Mean));
        expected.assert_close(
            &name("mean_all_tokens"),
            values(output, OutputKind::MeanAll),
        );
        expected.assert_close(&name("cls"), values(output, OutputKind::Cls));
        let states = output.get(OutputKind::HiddenStates).unwrap();
        let hidden = states.shape[2];
        let last = &states.data[states.data.len() - tokens.len() * hidden..];
        let logits = values(output, OutputKind::Logits);
        if expected.has(&name("last_hidden_state")) {
            expected.assert_close(&name("last_hidden_state"), last);
            expected.assert_close(&name("logits"), logits);
        } else {
            let first = &last[..16 * hidden];
            expected.assert_close(&name("last_hidden_state_first16"), first);
            let ending = &last[last.len() - 4 * hidden..];
            expected.assert_close(&name("last_hidden_state_last4"), ending);
            expected.assert_close(&name("logits_first16"), &logits[..16 * 33]);
        }
        if expected.has(&name("hidden_states")) {
            expected.assert_close(&name("hidden_states"), &states.data);
        }
        if expected.has(&name("attention_last")) {
            let attention = values(output, OutputKind::Attention);
            expected.assert_close(&name("attention_last"), attention);
        }
        if expected.has(&name("contacts")) {
            expected.assert_close(&name("contacts"), values(output, OutputKind::Contacts));
        }
        if expected.has(&name("unmasked_logprob")) {
            let unmasked = values(output, OutputKind::UnmaskedLogprob);
            expected.assert_close(&name("unmasked_logprob"), unmasked);
        }
        if let Some(masked) = output.get(OutputKind::MaskedLogprob) {
            expected.assert_close(&name("masked_marginal_logprob"), &masked.data);
            let mean =
                masked.data.iter().map(|&x| f64::from(x)).sum::<f64>() / masked.data.len() as f64;
            let want = numbers[&sequence.name]["pll_masked_mean"].as_f64().unwrap();
            assert!(
                (mean - want).abs() < 1e-4,
                "{}: {mean} for {want}",
                sequence.name
            );
        }
    }
}

#[test]
fn tiny_a_in_f32() {
    places().for_each(|place| check_f32("esm2/tiny_a", &place));
}

#[test]
fn tiny_b_in_f32() {
    places().for_each(|place| check_f32("esm2/tiny_b", &place));
}

#[test]
fn both_in_bf16() {
    for model in ["esm2/tiny_a", "esm2/tiny_b"] {
        let files = ModelFiles::open(&golden::path(model)).unwrap();
        let expected = Expected::open(&format!("{model}/expected.safetensors"));
        let sequences = sequences(model);
        let pooled: OutputSet = [OutputKind::Mean, OutputKind::MeanAll, OutputKind::Cls]
            .into_iter()
            .collect();
        let requests: Vec<_> = sequences
            .iter()
            .map(|sequence| {
                (
                    files.tokenizer().encode(sequence.text.as_bytes()).tokens,
                    pooled,
                )
            })
            .collect();
        for place in places() {
            let answers = answers(place.clone(), &files, DType::Bf16, 4096, 1, &requests);
            for (sequence, output) in sequences.iter().zip(&answers) {
                let name = |what: &str| format!("{}.{what}", sequence.name);
                let pairs = [
                    ("mean_residues", OutputKind::Mean),
                    ("mean_all_tokens", OutputKind::MeanAll),
                    ("cls", OutputKind::Cls),
                ];
                for (what, kind) in pairs {
                    expected.assert_aligned(&name(what), values(output, kind), 0.999);
                }
            }
        }
    }
}

/// The same model in other file formats; the references are those of the rounded weights.
#[test]
fn every_file_format_of_tiny_a() {
    let cases = [
        ("variant_f16", "esm2/tiny_a/variant_f16"),
        ("variant_bf16", "esm2/tiny_a/variant_bf16"),
        ("variant_bin", "esm2/tiny_a"),
        ("variant_sharded", "esm2/tiny_a"),
        ("fair_esm/esm2_t3_tiny.pt", "esm2/tiny_a"),
    ];
    let sequences = sequences("esm2/tiny_a");
    for (variant, reference) in cases {
        let files = ModelFiles::open(&golden::path(&format!("esm2/tiny_a/{variant}"))).unwrap();
        let expected = Expected::open(&format!("{reference}/expected.safetensors"));
        let pooled: OutputSet = [OutputKind::Mean, OutputKind::MeanAll]
            .into_iter()
            .collect();
        let requests: Vec<_> = sequences
            .iter()
            .map(|sequence| {
                let tokens = files.tokenizer().encode(sequence.text.as_bytes()).tokens;
                let contacts = expected.has(&format!("{}.contacts", sequence.name));
                (
                    tokens,
                    if contacts {
                        pooled.with(OutputKind::Contacts)
                    } else {
                        pooled
                    },
                )
            })
            .collect();
        let isa = Isa::detect().unwrap();
        let answers = answers(isa, &files, DType::F32, 4096, 1, &requests);
        for (sequence, output) in sequences.iter().zip(&answers) {
            let name = |what: &str| format!("{}.{what}", sequence.name);
            expected.assert_close(&name("mean_residues"), values(output, OutputKind::Mean));
            expected.assert_close(
                &name("mean_all_tokens"),
                values(output, OutputKind::MeanAll),
            );
            if let Some(contacts) = output.get(OutputKind::Contacts) {
                expected.assert_close(&name("contacts"), &contacts.data);
            }
        }
    }
}
