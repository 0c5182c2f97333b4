//! BART against the reference outputs: encoder states, scores, and the tokens of every setting.

mod golden;

use std::sync::Arc;

use golden::Expected;
use golden::run::levels;
use serde_json::Value;
use sessile_cpu::{CpuDevice, CpuOptions, Isa};
use sessile_device::{
    Admission, CellTable, DType, Device, EarlyStopping, Event, Execution, GenerationSettings, Lane,
    LaneSpec, ModelIndex, OutputSet, PackedBatch, Request, RequestId,
};
use sessile_models::bart::{Bart, BartConfig};
use sessile_models::checkpoint::Checkpoint;
use sessile_models::generation::{
    Caches, DecoderExecution, DecoderLimits, SequenceToSequence, SettingsOverrides, Step,
    settings_from_json,
};
use sessile_models::tokenizer::ByteLevelTokenizer;

const MODEL: &str = "bart/tiny";

fn ids(value: &Value) -> Vec<u32> {
    let ids = value.as_array().unwrap().iter();
    ids.map(|id| id.as_u64().unwrap() as u32).collect()
}

fn names() -> Vec<String> {
    let inputs = golden::json(&format!("{MODEL}/inputs.json"));
    let names = inputs.as_array().unwrap().iter();
    names
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect()
}

fn settings() -> GenerationSettings {
    settings_from_json(
        Some(&golden::json(&format!("{MODEL}/generation_config.json"))),
        &golden::json(&format!("{MODEL}/config.json")),
    )
    .unwrap()
}

/// The settings of a reference run, from its arguments.
fn with_arguments(arguments: &Value) -> GenerationSettings {
    let count = |key: &str| {
        arguments
            .get(key)
            .map(|value| value.as_u64().unwrap() as usize)
    };
    let overrides = SettingsOverrides {
        num_beams: count("num_beams"),
        length_penalty: arguments
            .get("length_penalty")
            .map(|value| value.as_f64().unwrap() as f32),
        min_length: count("min_length"),
        max_length: count("max_length"),
        no_repeat_ngram_size: count("no_repeat_ngram_size"),
        early_stopping: arguments.get("early_stopping").map(|value| match value {
            Value::Bool(true) => EarlyStopping::True,
            Value::Bool(false) => EarlyStopping::False,
            _ => EarlyStopping::Never,
        }),
        do_sample: arguments
            .get("do_sample")
            .map(|value| value.as_bool().unwrap()),
        ..SettingsOverrides::default()
    };
    overrides.over(&settings()).unwrap()
}

type Lanes = <CpuDevice as Device>::Lane;

fn load(isa: Isa, dtype: DType, threads: usize) -> (Arc<Bart<CpuDevice>>, Lanes) {
    let device = CpuDevice::new(CpuOptions {
        isa: Some(isa),
        threads: 1,
    })
    .unwrap();
    let checkpoint = Checkpoint::open(&golden::path(MODEL)).unwrap();
    let config = BartConfig::from_json(&golden::json(&format!("{MODEL}/config.json"))).unwrap();
    let (model, report) = Bart::load(&device, &checkpoint, config, dtype).unwrap();
    assert!(report.ignored.is_empty(), "{:?}", report.ignored);
    let spec = LaneSpec {
        arena_bytes: 256 << 20,
        threads,
    };
    (Arc::new(model), device.lane(&spec).unwrap())
}

/// The encoder's states, and the scores after each of the decoder's first tokens.
fn states_and_scores(
    model: &Bart<CpuDevice>,
    lane: &mut Lanes,
    dtype: DType,
    source: &[u32],
    written: &[u32],
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let start = lane.mark();
    let info = SequenceToSequence::<CpuDevice>::info(model);
    let caches = Caches::new(lane, info, dtype, written.len(), source.len()).unwrap();
    let mut batch = PackedBatch::default();
    batch.push(source);
    let cells: Vec<u32> = (0..source.len() as u32).collect();
    let states = model.encode(lane, &batch, &cells, &caches).unwrap();
    let ticket = lane.read(states);
    let mut encoded = Vec::new();
    lane.wait(ticket, &mut encoded).unwrap();
    let mut scores = Vec::new();
    for (at, &token) in written.iter().enumerate() {
        let mut own = CellTable::default();
        own.push(0..=at as u32, 1);
        let mut table = CellTable::default();
        table.push(cells.iter().copied(), 1);
        let step = Step {
            tokens: vec![token],
            positions: vec![at as u32],
            own_cells: vec![at as u32],
            own,
            source: table,
        };
        let made = model.decode(lane, &step, &caches).unwrap();
        let ticket = lane.read(made.logits);
        let mut logits = Vec::new();
        lane.wait(ticket, &mut logits).unwrap();
        scores.push(logits);
    }
    lane.release(start);
    (encoded, scores)
}

/// Answers to all requests in one execution.
fn generate(
    model: &Arc<Bart<CpuDevice>>,
    lane: Lanes,
    dtype: DType,
    limits: DecoderLimits,
    requests: &[(Vec<u32>, GenerationSettings)],
) -> Vec<Vec<u32>> {
    let model: Arc<dyn SequenceToSequence<CpuDevice>> = Arc::clone(model) as _;
    let mut execution = DecoderExecution::new(lane, model, dtype, limits).unwrap();
    let mut waiting: Vec<Request> = requests
        .iter()
        .enumerate()
        .map(|(index, (tokens, settings))| Request {
            id: RequestId(index as u64),
            model: ModelIndex(0),
            tokens: tokens.clone(),
            outputs: OutputSet::default(),
            generation: Some(Arc::new(settings.clone())),
        })
        .rev()
        .collect();
    let mut answers = vec![Vec::new(); requests.len()];
    let mut events = Vec::new();
    while !(waiting.is_empty() && execution.is_idle()) {
        while let Some(request) = waiting.pop() {
            match execution.admit(request) {
                Admission::Accepted => {}
                Admission::Full(request) => {
                    waiting.push(request);
                    break;
                }
                Admission::Refused(_, error) => panic!("{error}"),
            }
        }
        execution.step(&mut events).unwrap();
        for (id, event) in events.drain(..) {
            match event {
                Event::Done(output) => {
                    answers[id.0 as usize] = output.generated().unwrap().tokens.clone();
                }
                Event::Token(_) => {}
                Event::Failed(error) => panic!("{error}"),
            }
        }
    }
    answers
}

#[test]
fn text_becomes_the_tokens_of_the_reference_and_back() {
    let tokenizer =
        ByteLevelTokenizer::from_file(&golden::path(&format!("{MODEL}/tokenizer.json"))).unwrap();
    let numbers = golden::json(&format!("{MODEL}/expected.json"));
    let inputs = golden::json(&format!("{MODEL}/inputs.json"));
    for entry in inputs.as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let mut tokens = tokenizer.encode(entry["text"].as_str().unwrap());
        let all = numbers[name]["n_tokens_untruncated"].as_u64().unwrap() as usize;
        assert_eq!(tokens.len(), all, "{name}");
        assert_eq!(tokenizer.truncate(&mut tokens, 640), all > 640, "{name}");
        assert_eq!(tokens, ids(&numbers[name]["input_ids"]), "{name}");
        for (setting, run) in numbers[name].as_object().unwrap() {
            if let Some(text) = run.get("text") {
                let written = tokenizer.decode(&ids(&run["ids"]));
                assert_eq!(Some(written.as_str()), text.as_str(), "{name} {setting}");
            }
        }
    }
}

#[test]
fn states_and_scores_are_those_of_the_reference() {
    let numbers = golden::json(&format!("{MODEL}/expected.json"));
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    for isa in levels() {
        let (model, mut lane) = load(isa, DType::F32, 1);
        for name in names() {
            let source = ids(&numbers[&name]["input_ids"]);
            let (states, scores) =
                states_and_scores(&model, &mut lane, DType::F32, &source, &[2, 0]);
            let of = |what: &str| format!("{name}.{what}");
            expected.assert_close(&of("first_logits"), &scores[0]);
            expected.assert_close(&of("second_logits"), &scores[1]);
            if expected.has(&of("encoder_last_hidden_state")) {
                expected.assert_close(&of("encoder_last_hidden_state"), &states);
            } else {
                let first = &states[..16 * 48];
                expected.assert_close(&of("encoder_last_hidden_state_first16"), first);
            }
        }
    }
}

#[test]
fn bf16_scores_point_where_the_reference_points() {
    let numbers = golden::json(&format!("{MODEL}/expected.json"));
    let expected = Expected::open(&format!("{MODEL}/expected.safetensors"));
    for isa in levels() {
        let (model, mut lane) = load(isa, DType::Bf16, 1);
        for name in names() {
            let source = ids(&numbers[&name]["input_ids"]);
            let (_, scores) = states_and_scores(&model, &mut lane, DType::Bf16, &source, &[2]);
            expected.assert_aligned(&format!("{name}.first_logits"), &scores[0], 0.999);
        }
    }
}

/// Requests of all settings share each step, in a lane that has room for a few at a time.
#[test]
fn tokens_of_every_setting_are_those_of_the_reference() {
    let numbers = golden::json(&format!("{MODEL}/expected.json"));
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for name in names() {
        for (setting, run) in numbers[&name].as_object().unwrap() {
            let Some(arguments) = run.get("args") else {
                continue;
            };
            let source = ids(&numbers[&name]["input_ids"]);
            requests.push((source, with_arguments(arguments)));
            expected.push((format!("{name} {setting}"), ids(&run["ids"])));
        }
    }
    assert_eq!(requests.len(), 31, "runs of the reference");
    let limits = DecoderLimits {
        rows: 24,
        own_cells: 24 * 142,
        source_cells: 3000,
        encode_tokens: 1000,
    };
    for isa in levels().filter(|&isa| isa != Isa::Portable) {
        for threads in [1, 2] {
            let (model, lane) = load(isa, DType::F32, threads);
            let answers = generate(&model, lane, DType::F32, limits, &requests);
            for (answer, (name, tokens)) in answers.iter().zip(&expected) {
                assert_eq!(answer, tokens, "{isa} {threads} threads: {name}");
            }
        }
    }
}

/// A seed gives one answer, alone and among 64.
#[test]
fn chance_does_not_depend_on_company() {
    let numbers = golden::json(&format!("{MODEL}/expected.json"));
    let sources: Vec<Vec<u32>> = ["t20", "t60", "unicode"]
        .iter()
        .map(|name| ids(&numbers[name]["input_ids"]))
        .collect();
    let requests: Vec<_> = (0..64)
        .map(|index| {
            let settings = GenerationSettings {
                num_beams: 1,
                do_sample: true,
                temperature: 1.5,
                top_k: 40,
                top_p: 0.95,
                seed: index as u64,
                min_length: 0,
                max_length: 24,
                ..settings()
            };
            (sources[index % sources.len()].clone(), settings)
        })
        .collect();
    let limits = |requests| DecoderLimits {
        rows: requests,
        own_cells: requests * 24,
        source_cells: requests * 100,
        encode_tokens: 500,
    };
    for dtype in [DType::F32, DType::Bf16] {
        let isa = levels().last().unwrap();
        let (model, lane) = load(isa, dtype, 2);
        let together = generate(&model, lane, dtype, limits(64), &requests);
        let different: std::collections::HashSet<_> = together.iter().collect();
        assert!(different.len() > 32, "chance has a part in it");
        for index in [0, 1, 17, 63] {
            let (model, lane) = load(isa, dtype, 1);
            let alone = generate(&model, lane, dtype, limits(1), &requests[index..=index]);
            assert_eq!(alone[0], together[index], "{dtype} {index}");
        }
    }
}
