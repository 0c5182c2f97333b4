//! What the journal keeps of a frame: its scores, and its vectors when they are to be saved.

use crate::error::{PipelineError, PipelineErrorKind};

/// The results of a frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) scores: [f32; 2],
    /// Both vectors, one behind the other; empty unless they are saved.
    pub(super) features: Vec<f32>,
}

impl Kept {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.scores.iter().chain(&self.features);
        numbers.flat_map(|number| number.to_le_bytes()).collect()
    }

    pub(super) fn from_bytes(bytes: &[u8], width: usize) -> Result<Self, PipelineError> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        let mut numbers = numbers.iter().map(|number| f32::from_le_bytes(*number));
        let (Some(others), Some(virus)) = (numbers.next(), numbers.next()) else {
            return Err(damaged());
        };
        let features: Vec<f32> = numbers.collect();
        if !rest.is_empty() || features.len() != width {
            return Err(damaged());
        }
        Ok(Kept {
            scores: [others, virus],
            features,
        })
    }
}

fn damaged() -> PipelineError {
    PipelineError::new(
        PipelineErrorKind::Output,
        "the journal has an entry that this version did not write",
    )
    .with_hint("--restart begins anew")
}
