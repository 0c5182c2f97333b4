//! ModernBERT with its two heads against the reference outputs, on every instruction set of this
//! machine.

mod golden;

use golden::run::{answers, places, values};
use golden::{Expected, sequences};
use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::modern_bert::{HeadMap, HeadNames};
use sessile_models::three_di::StateSequence;
use sessile_models::{ModelErrorKind, ModelFiles, OpenOptions};

const MODEL: &str = "modernbert/tc20";

/// The model with the head of 20 states, and the one of 12 states from a file of its own.
fn open() -> ModelFiles {
    let options = OpenOptions {
        head: Some(golden::path(&format!("{MODEL}/head_12st.safetensors"))),
        ..OpenOptions::default()
    };
    ModelFiles::open_with(&golden::path(MODEL), &options).unwrap()
}

fn heads() -> OutputSet {
    [
        OutputKind::Mean,
        OutputKind::ThreeDi,
        OutputKind::TwelveState,
    ]
    .into_iter()
    .collect()
}

#[test]
fn encoder_and_heads_in_f32() {
    let files = open();
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    let numbers = golden::json(&format!("{MODEL}/expected.json"));
    let sequences = sequences(MODEL);
    let requests: Vec<_> = sequences
        .iter()
        .map(|sequence| {
            let tokens = files.tokenizer().encode(sequence.text.as_bytes()).tokens;
            let ids = &numbers["sequences"][&sequence.name]["input_ids"];
            let ids: Vec<u32> = serde_json::from_value(ids.clone()).unwrap();
            assert_eq!(tokens, ids, "{}: token ids", sequence.name);
            (tokens, heads().with(OutputKind::HiddenStates))
        })
        .collect();
    for place in places() {
        let answers = answers(place.clone(), &files, DType::F32, 4096, 1, &requests);
        for ((sequence, output), (tokens, _)) in sequences.iter().zip(&answers).zip(&requests) {
            let name = |what: &str| format!("{}.{what}", sequence.name);
            let states = output.get(OutputKind::HiddenStates).unwrap();
            let hidden = states.shape[2];
            let last = &states.data[states.data.len() - tokens.len() * hidden..];
            if expected.has(&name("last_hidden_state")) {
                expected.assert_close(&name("last_hidden_state"), last);
            } else {
                expected.assert_close(&name("last_hidden_state_first16"), &last[..16 * hidden]);
            }
            if expected.has(&name("hidden_states")) {
                expected.assert_close(&name("hidden_states"), &states.data);
            }
            expected.assert_close(&name("mean"), values(output, OutputKind::Mean));
            let three_di = output.get(OutputKind::ThreeDi).unwrap();
            let twelve_state = output.get(OutputKind::TwelveState).unwrap();
            expected.assert_close(&name("logits_3di"), &three_di.data);
            expected.assert_close(&name("logits_12st"), &twelve_state.data);
            let wanted = &numbers["sequences"][&sequence.name];
            let found = StateSequence::three_di(three_di);
            assert_eq!(found.states, wanted["three_di"].as_str().unwrap());
            let found = StateSequence::twelve_state(twelve_state);
            assert_eq!(found.states, wanted["twelve_state"].as_str().unwrap());
        }
    }
}

#[test]
fn bf16_is_near_and_decides_alike_where_the_margin_is_wide() {
    let files = open();
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    let sequences = sequences(MODEL);
    let requests: Vec<_> = sequences
        .iter()
        .map(|sequence| {
            let tokens = files.tokenizer().encode(sequence.text.as_bytes()).tokens;
            (tokens, heads())
        })
        .collect();
    for place in places() {
        let answers = answers(place.clone(), &files, DType::Bf16, 4096, 1, &requests);
        for (sequence, output) in sequences.iter().zip(&answers) {
            let name = |what: &str| format!("{}.{what}", sequence.name);
            expected.assert_aligned(&name("mean"), values(output, OutputKind::Mean), 0.999);
            let kinds = [
                ("logits_3di", OutputKind::ThreeDi, 20),
                ("logits_12st", OutputKind::TwelveState, 12),
            ];
            for (what, kind, states) in kinds {
                let wanted = expected.values(&name(what));
                let found = values(output, kind);
                golden::assert_same_choices(&sequence.name, &wanted, found, states, 0.2);
            }
        }
    }
}

#[test]
fn a_map_says_which_tensors_are_the_head() {
    let open = |classifier: &str| {
        let map = HeadMap {
            three_di: Some(HeadNames {
                dense: Some("head.dense".to_owned()),
                norm: Some("head.norm".to_owned()),
                classifier: classifier.to_owned(),
            }),
            twelve_state: None,
        };
        let options = OpenOptions {
            head_map: Some(map),
            ..OpenOptions::default()
        };
        ModelFiles::open_with(&golden::path(MODEL), &options).unwrap()
    };
    let device = sessile_cpu::CpuDevice::new(sessile_cpu::CpuOptions::default()).unwrap();
    let (model, report) = open("classifier").load(&device, DType::F32, 64).unwrap();
    assert!(model.info().outputs.contains(OutputKind::ThreeDi));
    assert!(!model.info().outputs.contains(OutputKind::TwelveState));
    assert_eq!(report.assumed, Vec::<String>::new());
    assert_eq!(report.ignored, Vec::<String>::new());
    let error = open("model.layers.0.mlp.Wi").load(&device, DType::F32, 64);
    assert_eq!(error.err().unwrap().kind(), ModelErrorKind::Mismatch);

    let (_, report) = ModelFiles::open(&golden::path(MODEL))
        .unwrap()
        .load(&device, DType::F32, 64)
        .unwrap();
    assert_eq!(report.assumed.len(), 2, "{:?}", report.assumed);
}
