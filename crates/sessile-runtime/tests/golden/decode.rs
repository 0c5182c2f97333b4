//! Running a decoder step by step, and whole requests through one execution.

use std::sync::Arc;

use serde_json::Value;
use sessile_cpu::CpuDevice;
use sessile_device::{
    Admission, CellTable, DType, Device, EarlyStopping, Event, Execution, GenerationSettings, Lane,
    LaneSpec, ModelIndex, OutputSet, PackedBatch, Request, RequestId,
};
use sessile_models::Model;
use sessile_models::generation::{
    Caches, DecoderExecution, DecoderLimits, SequenceToSequence, SettingsOverrides, Step,
};

pub type Decoder<D = CpuDevice> = Arc<dyn SequenceToSequence<D>>;
pub type LaneOf<D> = <D as Device>::Lane;

/// A text that the reference wrote.
pub struct Run {
    pub name: String,
    pub source: Vec<u32>,
    pub settings: GenerationSettings,
    pub written: Vec<u32>,
}

/// Token ids.
pub fn ids(value: &Value) -> Vec<u32> {
    let ids = value.as_array().unwrap().iter();
    ids.map(|id| id.as_u64().unwrap() as u32).collect()
}

/// A model and a lane for it. Nothing of its checkpoint is left aside.
pub fn load<D: Device>(
    files: &Model,
    device: &D,
    dtype: DType,
    threads: usize,
) -> (Decoder<D>, LaneOf<D>) {
    let (model, report) = files.load_writer(device, dtype).unwrap();
    assert!(report.ignored.is_empty(), "{:?}", report.ignored);
    let spec = LaneSpec {
        arena_bytes: 256 << 20,
        threads,
    };
    (model, device.lane(&spec).unwrap())
}

/// The settings of a reference run, from its arguments.
pub fn with_arguments(settings: &GenerationSettings, arguments: &Value) -> GenerationSettings {
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
        repetition_penalty: arguments
            .get("repetition_penalty")
            .map(|value| value.as_f64().unwrap() as f32),
        do_sample: arguments
            .get("do_sample")
            .map(|value| value.as_bool().unwrap()),
        ..SettingsOverrides::default()
    };
    overrides.over(settings).unwrap()
}

/// The encoder's states, and the scores after each of the decoder's first tokens.
pub fn states_and_scores<D: Device>(
    model: &Decoder<D>,
    lane: &mut LaneOf<D>,
    dtype: DType,
    source: &[u32],
    written: &[u32],
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let start = lane.mark();
    let info = model.info();
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

/// Answers all runs in one execution, which writes what the reference wrote.
pub fn check(
    model: &Decoder,
    lane: LaneOf<CpuDevice>,
    limits: DecoderLimits,
    runs: &[Run],
    on: &str,
) {
    let requests: Vec<_> = runs
        .iter()
        .map(|run| (run.source.clone(), run.settings.clone()))
        .collect();
    let answers = generate(model, lane, DType::F32, limits, &requests);
    for (answer, run) in answers.iter().zip(runs) {
        assert_eq!(*answer, run.written, "{on}: {}", run.name);
    }
}

/// Answers to all requests in one execution.
pub fn generate(
    model: &Decoder,
    lane: LaneOf<CpuDevice>,
    dtype: DType,
    limits: DecoderLimits,
    requests: &[(Vec<u32>, GenerationSettings)],
) -> Vec<Vec<u32>> {
    let mut execution = DecoderExecution::new(lane, Arc::clone(model), dtype, limits).unwrap();
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
