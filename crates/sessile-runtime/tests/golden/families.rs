//! The families without a suite of their own against the reference outputs, on any device: a folder
//! each below `families`, all of one layout.

use sessile_device::{DType, Output, OutputKind, OutputSet};
use sessile_models::Model;

use super::run::{BUDGET, Place, answers, values};
use super::{Case, Expected, cases, json, path};

/// A folder for each kind of network and of tokenizer.
pub const MODELS: [&str; 13] = [
    "families/bert_protein",
    "families/bert_text",
    "families/esm1b",
    "families/esmc",
    "families/esmc_package",
    "families/prot_t5",
    "families/ankh",
    "families/ankh2",
    "families/esm_classes",
    "families/esm_token_classes",
    "families/bert_classes",
    "families/bert_token_classes",
    "families/t5_token_classes",
];

/// What the reference calls each output. All of those that it has are compared.
const KINDS: [(&str, OutputKind); 12] = [
    ("mean", OutputKind::Mean),
    ("mean_all", OutputKind::MeanAll),
    ("cls", OutputKind::Cls),
    ("per_residue", OutputKind::PerResidue),
    ("hidden_states", OutputKind::HiddenStates),
    ("logits", OutputKind::Logits),
    ("masked_logprob", OutputKind::MaskedLogprob),
    ("pooler", OutputKind::Pooler),
    ("max", OutputKind::Max),
    ("std", OutputKind::Std),
    ("eos", OutputKind::Eos),
    ("classes", OutputKind::Classes),
];

/// The vectors of a sequence, whose directions are compared in a format of 16 bits.
const POOLED: [(&str, OutputKind); 3] = [
    ("mean", OutputKind::Mean),
    ("mean_all", OutputKind::MeanAll),
    ("cls", OutputKind::Cls),
];

fn run(
    model: &str,
    place: &Place,
    dtype: DType,
    kinds: &[(&str, OutputKind)],
    check: impl Fn(&Expected, &Case, &str, &[f32]),
) {
    let files = Model::open(&path(model)).unwrap();
    let expected = Expected::open(&format!("{model}/expected.safetensors"));
    let inputs = json(&format!("{model}/inputs.json"));
    let by_name: serde_json::Map<_, _> = (inputs.as_array().unwrap().iter())
        .map(|entry| (entry["name"].as_str().unwrap().to_owned(), entry.clone()))
        .collect();
    // A text without content has the ids of the reference, and is refused as empty.
    let (before, after) = files.tokenizer().special_tokens();
    let mut cases = cases(model, &files, &by_name.into(), place);
    cases.retain(|case| case.tokens.len() > before + after);
    let wanted = |case: &Case| -> OutputSet {
        let has = |what: &str| expected.has(&case.part(what));
        let fits = |kind| {
            kind != OutputKind::MaskedLogprob || case.tokens.len() - 2 <= place.longest_scan()
        };
        let kinds = kinds.iter().filter(|(what, kind)| has(what) && fits(*kind));
        kinds.map(|(_, kind)| *kind).collect()
    };
    let requests: Vec<_> = cases
        .iter()
        .map(|case| (case.tokens.clone(), wanted(case)))
        .collect();
    let answers: Vec<Output> = answers(place, &files, dtype, BUDGET, &requests);
    for ((case, output), (_, wanted)) in cases.iter().zip(&answers).zip(&requests) {
        for (what, kind) in kinds.iter().filter(|(_, kind)| wanted.contains(*kind)) {
            check(&expected, case, what, values(output, *kind));
        }
    }
}

/// Every output in f32.
pub fn in_f32(model: &str, place: &Place) {
    run(
        model,
        place,
        DType::F32,
        &KINDS,
        |expected, case, what, found| {
            let name = case.part(what);
            // The mean of no residue is nothing, here; the reference divides by it.
            if expected.values(&name).iter().all(|value| value.is_finite()) {
                expected.assert_close(&name, found);
            }
        },
    );
}

/// The pooled outputs in a format of 16 bits.
pub fn in_16_bits(model: &str, place: &Place, dtype: DType) {
    run(
        model,
        place,
        dtype,
        &POOLED,
        |expected, case, what, found| {
            let name = case.part(what);
            if expected.values(&name).iter().all(|value| value.is_finite()) {
                expected.assert_aligned(&name, found, 0.999);
            }
        },
    );
}
