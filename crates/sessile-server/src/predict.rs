//! `POST /predict` and `POST /predict/batch`: the calls of ESM2_MultiGPU_Inference.
//!
//! Fields, statuses and messages are those of that service; `docs/service.md` lists where it was
//! wrong and this one differs. `priority` and `timeout_ms` are additions.

mod answer;
mod complaint;
mod distribution;
mod fields;
mod residues;

use std::time::Instant;

use axum::http::HeaderMap;
use sessile_device::{DeviceId, ModelIndex, OutputKind, OutputSet};

use crate::exchange::Call;
use crate::failure::{Failure, Style};
use crate::service::{Engine, Service};
use crate::work::{Done, Job, Terms, Work};

pub(crate) use answer::{BatchPredictionResponse, PredictionResponse, SequenceResult, write};
pub(crate) use distribution::GpuDistributionInfo;
pub(crate) use fields::{BatchPredictionRequest, PredictionRequest};

/// What both paths have in common once a request is read.
struct Prediction {
    model: ModelIndex,
    model_name: String,
    outputs: OutputSet,
    include_attention: bool,
    heads: usize,
    hidden: usize,
    terms: Terms,
    sequences: Vec<Sequence>,
    next: usize,
}

/// A sequence, before and after it was computed.
struct Sequence {
    text: String,
    tokens: Vec<u32>,
    token_count: usize,
    embedding: Option<Vec<f32>>,
    device: DeviceId,
}

impl Prediction {
    fn new(engine: &Engine, flags: fields::Flags, texts: Vec<String>) -> Result<Self, Failure> {
        let model = engine.model_for(OutputKind::MeanAll, None)?;
        // The vector is what a pass is asked for; without any it would not be a pass. The shape of
        // the attention follows from the length.
        let outputs = OutputSet::default().with(OutputKind::MeanAll);
        let sequences = texts
            .into_iter()
            .map(|text| {
                let tokens = model.tokenizer.encode(text.as_bytes()).tokens;
                Sequence {
                    token_count: tokens.len(),
                    tokens,
                    text,
                    embedding: None,
                    device: DeviceId::Cpu,
                }
            })
            .collect();
        Ok(Prediction {
            model: model.index,
            model_name: model.name.clone(),
            outputs,
            include_attention: flags.attention,
            heads: model.info.heads,
            hidden: if flags.embeddings {
                model.info.hidden
            } else {
                0
            },
            terms: flags.terms,
            sequences,
            next: 0,
        })
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        let key = self.next;
        let sequence = self.sequences.get_mut(key)?;
        self.next += 1;
        let job = Job {
            tokens: std::mem::take(&mut sequence.tokens),
            outputs: self.outputs,
        };
        Some((key, job))
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        let (output, timing) = done.map_err(|failure| failure.at(key))?;
        let sequence = &mut self.sequences[key];
        sequence.device = timing.device;
        if self.hidden > 0 {
            sequence.embedding = output
                .get(OutputKind::MeanAll)
                .map(|tensor| tensor.data.to_vec());
        }
        Ok(())
    }

    fn numbers(&self) -> usize {
        // The residues are sent back too.
        let residues: usize = self
            .sequences
            .iter()
            .map(|sequence| sequence.text.len())
            .sum();
        self.sequences.len() * self.hidden + residues / 8
    }

    fn results(self) -> Vec<SequenceResult> {
        let heads = self.include_attention.then_some(self.heads);
        self.sequences
            .into_iter()
            .map(|sequence| SequenceResult::new(sequence, heads))
            .collect()
    }
}

/// `POST /predict`.
pub(crate) struct Predict(Prediction);

/// `POST /predict/batch`.
pub(crate) struct PredictBatch(Prediction);

impl Work for Predict {
    fn model(&self) -> ModelIndex {
        self.0.model
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        self.0.next_job()
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        self.0.take(key, done)
    }
}

impl Work for PredictBatch {
    fn model(&self) -> ModelIndex {
        self.0.model
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        self.0.next_job()
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        self.0.take(key, done)
    }
}

impl Call for Predict {
    const STYLE: Style = Style::Detail;

    fn read(
        service: &Service,
        engine: &Engine,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let body = fields::parse(headers, body)?;
        let request = fields::single(&body, service.options.max_sequence_length)?;
        Prediction::new(engine, request.flags, vec![request.sequence]).map(Predict)
    }

    fn terms(&self) -> Terms {
        self.0.terms
    }

    fn numbers(&self) -> usize {
        self.0.numbers()
    }

    fn write(self, _service: &Service, begun: Instant) -> Result<Vec<u8>, Failure> {
        answer::single(self.0, begun)
    }
}

impl Call for PredictBatch {
    const STYLE: Style = Style::Detail;

    fn read(
        service: &Service,
        engine: &Engine,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let body = fields::parse(headers, body)?;
        let options = &service.options;
        let request = fields::batch(&body, options.max_batch_size, options.max_sequence_length)?;
        Prediction::new(engine, request.flags, request.sequences).map(PredictBatch)
    }

    fn terms(&self) -> Terms {
        self.0.terms
    }

    fn numbers(&self) -> usize {
        self.0.numbers()
    }

    fn write(self, _service: &Service, begun: Instant) -> Result<Vec<u8>, Failure> {
        answer::batch(self.0, begun)
    }
}
