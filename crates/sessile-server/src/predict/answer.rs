//! The answers of `/predict` and `/predict/batch`.

use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

use super::distribution::{GpuDistributionInfo, gpu_id};
use super::{Prediction, Sequence};
use crate::failure::{Failure, FailureKind};

/// The answer to one sequence.
#[derive(Serialize, ToSchema)]
pub(crate) struct PredictionResponse {
    #[serde(flatten)]
    result: SequenceResult,
    /// From the request to its answer, in milliseconds.
    inference_time_ms: f64,
    /// The model.
    model_name: String,
}

/// What the model says of a sequence.
#[derive(Serialize, ToSchema)]
pub(crate) struct SequenceResult {
    /// The sequence as it was computed: trimmed, in capitals.
    sequence: String,
    /// Its residues.
    sequence_length: usize,
    /// The mean over all tokens, both ends included.
    embedding: Option<Vec<f32>>,
    /// Numbers in `embedding`.
    embedding_dim: Option<usize>,
    /// Shape of the attention weights: heads, tokens, tokens.
    attention_shape: Option<[usize; 3]>,
    /// The GPU that computed it; 0 on a CPU.
    gpu_id: u32,
}

impl SequenceResult {
    pub(super) fn new(sequence: Sequence, heads: Option<usize>) -> Self {
        let tokens = sequence.token_count;
        SequenceResult {
            sequence_length: sequence.text.chars().count(),
            embedding_dim: sequence.embedding.as_ref().map(Vec::len),
            embedding: sequence.embedding,
            attention_shape: heads.map(|heads| [heads, tokens, tokens]),
            gpu_id: gpu_id(sequence.device),
            sequence: sequence.text,
        }
    }
}

/// The answer to several sequences.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchPredictionResponse {
    /// One for each sequence, in order.
    results: Vec<SequenceResult>,
    /// Number of sequences.
    total_sequences: usize,
    /// From the request to its answer, in milliseconds.
    total_inference_time_ms: f64,
    /// The same for each sequence.
    average_time_per_sequence_ms: f64,
    /// Which GPU computed which sequence.
    distribution_info: GpuDistributionInfo,
    /// The model.
    model_name: String,
}

impl PredictionResponse {
    pub(super) fn new(prediction: Prediction, begun: Instant) -> Result<Self, Failure> {
        let model_name = prediction.model_name.clone();
        let result = prediction
            .results()
            .pop()
            .ok_or_else(|| Failure::new(FailureKind::Internal, "the sequence has no answer"))?;
        Ok(PredictionResponse {
            result,
            inference_time_ms: milliseconds(begun),
            model_name,
        })
    }
}

impl BatchPredictionResponse {
    pub(super) fn new(prediction: Prediction, begun: Instant) -> Self {
        let model_name = prediction.model_name.clone();
        let results = prediction.results();
        let total = milliseconds(begun);
        BatchPredictionResponse {
            total_sequences: results.len(),
            total_inference_time_ms: total,
            average_time_per_sequence_ms: total / results.len().max(1) as f64,
            distribution_info: GpuDistributionInfo::new(results.iter().map(|result| result.gpu_id)),
            model_name,
            results,
        }
    }
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}
