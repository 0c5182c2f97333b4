//! `POST /predict` and `POST /predict/batch`: the calls of ESM2_MultiGPU_Inference.
//!
//! Fields, statuses and messages are those of that service; `docs/service.md` lists where it was
//! wrong and this one differs. `priority` and `timeout_ms` are additions.

mod answer;
mod complaint;
mod distribution;
mod fields;
mod residues;

use std::marker::PhantomData;
use std::time::Instant;

use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use sessile_device::{DeviceId, ModelIndex, OutputKind, OutputSet};
use utoipa::ToSchema;

use crate::exchange::{Call, Tag};
use crate::failure::{Failure, Style};
use crate::options::ServiceOptions;
use crate::service::{Engine, Service};
use crate::work::{Done, Job, Terms, Work};

use answer::{BatchPredictionResponse, PredictionResponse, SequenceResult};
use fields::{BatchPredictionRequest, PredictionRequest};

/// `POST /predict`.
pub(crate) type PredictOne = Predict<PredictionRequest>;

/// `POST /predict/batch`.
pub(crate) type PredictBatch = Predict<BatchPredictionRequest>;

/// What both paths have in common once a request is read.
pub(crate) struct Prediction {
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
    fn new(
        engine: &Engine,
        texts: Vec<String>,
        (embeddings, attention): (bool, bool),
        terms: Terms,
    ) -> Result<Self, Failure> {
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
            include_attention: attention,
            heads: model.info.heads,
            hidden: if embeddings { model.info.hidden } else { 0 },
            terms,
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

/// `POST /predict` or `POST /predict/batch`, by the body that it takes.
pub(crate) struct Predict<R> {
    prediction: Prediction,
    request: PhantomData<R>,
}

/// A body of these calls.
pub(crate) trait Body: ToSchema + Sized + Send + 'static {
    const PATH: &'static str;
    const SUMMARY: &'static str;
    type Response: Serialize + ToSchema;

    /// Reads the fields.
    fn read(body: &Value, options: &ServiceOptions) -> Result<Self, Failure>;

    fn prediction(self, engine: &Engine) -> Result<Prediction, Failure>;

    fn respond(prediction: Prediction, begun: Instant) -> Result<Self::Response, Failure>;
}

impl Body for PredictionRequest {
    const PATH: &'static str = "/predict";
    const SUMMARY: &'static str = "The vector of one sequence";
    type Response = PredictionResponse;

    fn read(body: &Value, options: &ServiceOptions) -> Result<Self, Failure> {
        fields::single(body, options.max_sequence_length)
    }

    fn prediction(self, engine: &Engine) -> Result<Prediction, Failure> {
        let wanted = (self.include_embeddings, self.include_attention);
        let terms = fields::terms(self.priority, self.timeout_ms);
        Prediction::new(engine, vec![self.sequence], wanted, terms)
    }

    fn respond(prediction: Prediction, begun: Instant) -> Result<PredictionResponse, Failure> {
        PredictionResponse::new(prediction, begun)
    }
}

impl Body for BatchPredictionRequest {
    const PATH: &'static str = "/predict/batch";
    const SUMMARY: &'static str = "The vectors of several sequences";
    type Response = BatchPredictionResponse;

    fn read(body: &Value, options: &ServiceOptions) -> Result<Self, Failure> {
        fields::batch(body, options.max_batch_size, options.max_sequence_length)
    }

    fn prediction(self, engine: &Engine) -> Result<Prediction, Failure> {
        let wanted = (self.include_embeddings, self.include_attention);
        let terms = fields::terms(self.priority, self.timeout_ms);
        Prediction::new(engine, self.sequences, wanted, terms)
    }

    fn respond(prediction: Prediction, begun: Instant) -> Result<Self::Response, Failure> {
        Ok(BatchPredictionResponse::new(prediction, begun))
    }
}

impl<R: Body> Work for Predict<R> {
    fn model(&self) -> ModelIndex {
        self.prediction.model
    }

    fn model_name(&self) -> &str {
        &self.prediction.model_name
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        self.prediction.next_job()
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        self.prediction.take(key, done)
    }
}

impl<R: Body> Call for Predict<R> {
    const PATH: &'static str = R::PATH;
    const TAG: Tag = Tag::Original;
    const SUMMARY: &'static str = R::SUMMARY;
    const STYLE: Style = Style::Detail;

    type Request = R;
    type Response = R::Response;

    fn models(engine: &Engine) -> Vec<&str> {
        engine.models_with(OutputKind::MeanAll)
    }

    fn parse(service: &Service, headers: &HeaderMap, body: &[u8]) -> Result<R, Failure> {
        R::read(&fields::parse(headers, body)?, &service.options)
    }

    fn new(_: &Service, engine: &Engine, request: R) -> Result<Self, Failure> {
        Ok(Predict {
            prediction: request.prediction(engine)?,
            request: PhantomData,
        })
    }

    fn terms(&self) -> Terms {
        self.prediction.terms
    }

    fn tokens(&self) -> usize {
        let sequences = self.prediction.sequences.iter();
        sequences.map(|sequence| sequence.token_count).sum()
    }

    fn numbers(&self) -> usize {
        self.prediction.numbers()
    }

    fn respond(self, _: &Service, begun: Instant) -> Result<R::Response, Failure> {
        R::respond(self.prediction, begun)
    }
}
