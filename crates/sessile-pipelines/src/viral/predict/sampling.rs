//! The first frames of some inputs, computed and kept in memory.

use std::path::PathBuf;

use sessile_seq::inputs::{self, Format};

use super::Predictor;
use super::frames::{Frames, Item};
use super::vectors::vectors;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::progress::Observer;

/// Vectors and scores of a frame, both vectors one behind the other.
pub type SampledResult = (Vec<f32>, [f32; 2]);

/// One of the first frames of an input.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledFrame {
    /// Its name.
    pub id: String,
    /// What was found, unless it failed.
    pub result: Option<SampledResult>,
}

/// Computes the first frames of some inputs and keeps them.
pub(super) fn sample(
    predictor: &Predictor,
    paths: &[PathBuf],
    frames: usize,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Vec<SampledFrame>, PipelineError> {
    let inputs = inputs::expand(paths, Format::Fasta)?;
    let making = predictor.making(0);
    let items = Frames::start(inputs, making, interrupt)?;
    let mut lane = predictor.classifier.lane()?;
    let (mut sampled, mut first_half) = (Vec::new(), None);
    for (item, answer) in predictor.pool.in_order(items).until(interrupt.flag()) {
        match (item, answer) {
            (Item::Unreadable { reason, .. }, _) => observer.failure("", &reason),
            (Item::Nucleotide { frame, .. }, Some(answer)) => first_half = Some((frame, answer)),
            (Item::Protein { .. }, Some(protein)) => {
                let Some((frame, nucleotide)) = first_half.take() else {
                    continue;
                };
                let result = match vectors(predictor, nucleotide, protein)? {
                    Ok(vectors) => {
                        let mut scores = Vec::new();
                        lane.probabilities(&vectors, &mut scores)?;
                        Some((vectors, scores[0]))
                    }
                    Err(reason) => {
                        observer.failure(&frame.id, &reason);
                        None
                    }
                };
                sampled.push(SampledFrame {
                    id: frame.id,
                    result,
                });
            }
            _ => {}
        }
        if sampled.len() >= frames || interrupt.signal().is_some() {
            break;
        }
    }
    match interrupt.signal() {
        None => Ok(sampled),
        Some(_) => Err(PipelineError::new(
            PipelineErrorKind::Interrupted,
            format!("stopped after {} frames", sampled.len()),
        )),
    }
}
