//! The first frames of some inputs, computed and kept in memory.

use std::path::PathBuf;
use std::rc::Rc;

use sessile_device::{Output, RequestErrorKind};
use sessile_seq::inputs::{self, Format};

use super::Predictor;
use super::frames::Piece;
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
    let items = predictor.making(0).start(inputs, interrupt)?;
    let mut lane = predictor.classifier.lane()?;
    let mut sampled = Vec::new();
    // The last request of a frame brings the frame.
    let steps = items.flat_map(|mut item| {
        let mut requests = std::mem::take(&mut item.requests);
        let last = requests.pop();
        let before = requests.into_iter().map(|request| (None, Some(request)));
        let mut steps: Vec<_> = before.collect();
        steps.push((Some(item), last));
        steps
    });
    let mut answers = Vec::new();
    for (item, answer) in predictor.pool.in_order(steps).until(interrupt.flag()) {
        answers.extend(answer);
        let Some(item) = item else {
            continue;
        };
        let answers: Result<Vec<Output>, _> = std::mem::take(&mut answers).into_iter().collect();
        if let Some(problem) = &item.problem {
            observer.failure(&item.id, &item.place, &problem.reason);
        }
        if !matches!(item.content, Piece::Frame(..)) {
            continue;
        }
        let answers = match answers {
            Err(error) if error.kind() == RequestErrorKind::NoDevice => {
                let message = error.to_string();
                return Err(PipelineError::new(PipelineErrorKind::Device, message));
            }
            other => other.map_err(|error| error.to_string()),
        };
        let vectors = answers.and_then(|answers| {
            let answers: Vec<Rc<Output>> = answers.into_iter().map(Rc::new).collect();
            vectors(predictor, &answers)
        });
        let result = match vectors {
            Ok(vectors) => {
                let mut scores = Vec::new();
                lane.probabilities(&vectors, &mut scores)?;
                Some((vectors, scores[0]))
            }
            Err(reason) => {
                observer.failure(&item.id, &item.place, &reason);
                None
            }
        };
        sampled.push(SampledFrame {
            id: item.id,
            result,
        });
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
