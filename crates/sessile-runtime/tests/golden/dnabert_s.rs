//! DNABERT-S and DNABERT-2 against the reference outputs, on any device.

use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::Model;

use super::run::{BUDGET, Place, answers, last_states, values};
use super::{Expected, cases, json, path};

/// The two models: with a pooler, and with the head of a masked language model.
pub const MODELS: [&str; 2] = ["dnabert_s/tiny_a", "dnabert_s/tiny_b"];

/// Every output of `model` in f32, its weights read from `weights`.
pub fn in_f32(model: &str, weights: &str, place: &Place) {
    let files = Model::open(&path(weights)).unwrap();
    let expected = Expected::open(&format!("{model}/expected.safetensors"));
    let cases = cases(
        model,
        &files,
        &json(&format!("{model}/expected.json")),
        place,
    );
    let heads = [
        ("pooler", OutputKind::Pooler),
        ("mlm_logits", OutputKind::Logits),
    ];
    let requests: Vec<_> = cases
        .iter()
        .map(|case| {
            let outputs = heads
                .into_iter()
                .filter(|(what, _)| expected.has(&case.part(what)))
                .map(|(_, kind)| kind)
                .chain([OutputKind::MeanAll, OutputKind::HiddenStates])
                .collect::<OutputSet>();
            (case.tokens.clone(), outputs)
        })
        .collect();
    let answers = answers(place, &files, DType::F32, BUDGET, &requests);
    let mut compared = 0;
    for (case, output) in cases.iter().zip(&answers) {
        let mean = values(output, OutputKind::MeanAll);
        expected.assert_close(&case.part("mean_all_tokens"), mean);
        let last = last_states(output, &case.tokens);
        expected.assert_last_states(case, last, ("first8", 8));
        if expected.has(&case.part("all_layers")) {
            let states = values(output, OutputKind::HiddenStates);
            let (embedded, layers) = states.split_at(last.len());
            expected.assert_close(&case.part("embedding_output"), embedded);
            expected.assert_close(&case.part("all_layers"), layers);
        }
        for (what, kind) in heads {
            if let Some(head) = output.get(kind) {
                expected.assert_close(&case.part(what), &head.data);
                compared += 1;
            }
        }
    }
    assert!(compared > 0, "{model}: no head was compared");
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
    let pooled = |pooler: &str| {
        let mean = OutputSet::default().with(OutputKind::MeanAll);
        if expected.has(pooler) {
            mean.with(OutputKind::Pooler)
        } else {
            mean
        }
    };
    let requests: Vec<_> = cases
        .iter()
        .map(|case| (case.tokens.clone(), pooled(&case.part("pooler"))))
        .collect();
    let answers = answers(place, &files, dtype, BUDGET, &requests);
    for (case, output) in cases.iter().zip(&answers) {
        let mean = values(output, OutputKind::MeanAll);
        expected.assert_aligned(&case.part("mean_all_tokens"), mean, 0.999);
        if let Some(pooler) = output.get(OutputKind::Pooler) {
            expected.assert_aligned(&case.part("pooler"), &pooler.data, 0.999);
        }
    }
}
