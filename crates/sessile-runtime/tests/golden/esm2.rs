//! ESM-2 against the reference outputs, on any device.

use sessile_device::{DType, Output, OutputKind, OutputSet};
use sessile_models::Model;

use super::run::{BUDGET, Place, answers, last_states, values};
use super::{Case, Expected, cases, json, path};

/// The two models.
pub const MODELS: [&str; 2] = ["esm2/tiny_a", "esm2/tiny_b"];

/// Every output in f32.
pub fn in_f32(model: &str, place: &Place) {
    let files = Model::open(&path(model)).unwrap();
    let expected = Expected::open(&format!("{model}/expected.safetensors"));
    let numbers = json(&format!("{model}/expected.json"));
    let cases = cases(model, &files, &numbers, place);
    let requests: Vec<_> = cases
        .iter()
        .map(|case| (case.tokens.clone(), wanted(&expected, case, place)))
        .collect();
    let answers = answers(place, &files, DType::F32, BUDGET, &requests);
    for (case, output) in cases.iter().zip(&answers) {
        check_f32(&expected, case, output);
        if let Some(masked) = output.get(OutputKind::MaskedLogprob) {
            expected.assert_close(&case.part("masked_marginal_logprob"), &masked.data);
            let mean =
                masked.data.iter().map(|&x| f64::from(x)).sum::<f64>() / masked.data.len() as f64;
            let want = numbers[&case.name]["pll_masked_mean"].as_f64().unwrap();
            assert!(
                (mean - want).abs() < 1e-4,
                "{}: {mean} for {want}",
                case.name
            );
        }
    }
}

fn wanted(expected: &Expected, case: &Case, place: &Place) -> OutputSet {
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
    let scan = case.tokens.len() - 2 <= place.longest_scan();
    let optional = [
        ("masked_marginal_logprob", OutputKind::MaskedLogprob, scan),
        ("contacts", OutputKind::Contacts, true),
        ("attention_last", OutputKind::Attention, true),
    ];
    for (what, kind, is_asked) in optional {
        if is_asked && expected.has(&case.part(what)) {
            outputs = outputs.with(kind);
        }
    }
    outputs
}

fn check_f32(expected: &Expected, case: &Case, output: &Output) {
    let always = [
        ("mean_residues", OutputKind::Mean),
        ("mean_all_tokens", OutputKind::MeanAll),
        ("cls", OutputKind::Cls),
    ];
    for (what, kind) in always {
        expected.assert_close(&case.part(what), values(output, kind));
    }
    let last = last_states(output, &case.tokens);
    expected.assert_last_states(case, last, ("first16", 16));
    let logits = values(output, OutputKind::Logits);
    if expected.has(&case.part("logits")) {
        expected.assert_close(&case.part("logits"), logits);
    } else {
        let ending = &last[last.len() - 4 * (last.len() / case.tokens.len())..];
        expected.assert_close(&case.part("last_hidden_state_last4"), ending);
        expected.assert_close(&case.part("logits_first16"), &logits[..16 * 33]);
    }
    let sometimes = [
        ("hidden_states", OutputKind::HiddenStates),
        ("attention_last", OutputKind::Attention),
        ("contacts", OutputKind::Contacts),
        ("unmasked_logprob", OutputKind::UnmaskedLogprob),
    ];
    for (what, kind) in sometimes {
        if expected.has(&case.part(what)) {
            expected.assert_close(&case.part(what), values(output, kind));
        }
    }
}

/// The pooled outputs in a format of 16 bits.
pub fn in_16_bits(model: &str, place: &Place, dtype: DType) {
    let files = Model::open(&path(model)).unwrap();
    let expected = Expected::open(&format!("{model}/expected.safetensors"));
    let cases = cases(
        model,
        &files,
        &json(&format!("{model}/expected.json")),
        place,
    );
    let pairs = [
        ("mean_residues", OutputKind::Mean),
        ("mean_all_tokens", OutputKind::MeanAll),
        ("cls", OutputKind::Cls),
    ];
    let pooled: OutputSet = pairs.into_iter().map(|(_, kind)| kind).collect();
    let requests: Vec<_> = cases
        .iter()
        .map(|case| (case.tokens.clone(), pooled))
        .collect();
    let answers = answers(place, &files, dtype, BUDGET, &requests);
    for (case, output) in cases.iter().zip(&answers) {
        for (what, kind) in pairs {
            expected.assert_aligned(&case.part(what), values(output, kind), 0.999);
        }
    }
}
