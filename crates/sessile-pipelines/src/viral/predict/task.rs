//! A frame's two vectors become its scores.

use std::rc::Rc;

use sessile_device::{Output, RequestError};
use sessile_runtime::ClassifierLane;

use super::super::results::ResultCounts;
use super::Predictor;
use super::frames::Piece;
use super::merged;
use super::vectors::{HALVES, vectors};
use super::writer::Writer;
use crate::error::PipelineError;
use crate::job::{Item, Ledger, Task};

pub(super) struct FrameTask<'a> {
    pub(super) predictor: &'a Predictor,
    pub(super) lane: ClassifierLane,
    /// The files of the whole run; none in a shard, whose part keeps what is made.
    pub(super) writer: Option<Writer>,
    /// What a shard has kept.
    pub(super) counts: ResultCounts,
}

/// The results of a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scored {
    pub(super) scores: [f32; 2],
    /// Both vectors, one behind the other; empty unless they are saved.
    pub(super) features: Vec<f32>,
}

impl Task for FrameTask<'_> {
    type Item = Piece;
    type Outcome = Scored;
    type Report = ResultCounts;

    const UNIT: &'static str = "frames";

    fn fault(&self, _: &Item<Piece>, part: usize, error: &RequestError) -> String {
        let half = HALVES.get(part).copied().unwrap_or_default();
        format!("{half}: {error}")
    }

    fn outcome(
        &mut self,
        item: &mut Item<Piece>,
        answers: &[Rc<Output>],
    ) -> Result<Result<Scored, String>, PipelineError> {
        if !matches!(item.content, Piece::Frame(..)) {
            return Ok(Ok(Scored::default()));
        }
        let vectors = match vectors(self.predictor, answers) {
            Ok(vectors) => vectors,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut scores = Vec::new();
        self.lane.probabilities(&vectors, &mut scores)?;
        Ok(Ok(Scored {
            scores: scores.first().copied().unwrap_or([f32::NAN; 2]),
            features: match self.predictor.saved_width() {
                0 => Vec::new(),
                _ => vectors,
            },
        }))
    }

    fn encode(&self, scored: &Scored) -> Vec<u8> {
        let numbers = scored.scores.iter().chain(&scored.features);
        numbers.flat_map(|number| number.to_le_bytes()).collect()
    }

    fn decode(&self, _: &Item<Piece>, bytes: &[u8]) -> Option<Scored> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        let mut numbers = numbers.iter().map(|number| f32::from_le_bytes(*number));
        let scores = [numbers.next()?, numbers.next()?];
        let features: Vec<f32> = numbers.collect();
        let is_whole = rest.is_empty() && features.len() == self.predictor.saved_width();
        is_whole.then_some(Scored { scores, features })
    }

    fn sink(
        &mut self,
        item: Item<Piece>,
        scored: Result<Scored, String>,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), PipelineError> {
        let Some(writer) = &mut self.writer else {
            match (item.content, scored) {
                (Piece::Record, Ok(_)) => {
                    ledger.done += 1;
                    self.counts.contigs += 1;
                    ledger.keep(&merged::record(&item.id))?;
                }
                (Piece::Frame(place), Ok(scored)) => {
                    self.counts.frames += 1;
                    ledger.keep(&merged::frame(&item.id, place, &scored))?;
                }
                _ => {}
            }
            return Ok(());
        };
        match (item.content, scored) {
            (_, Err(reason)) => {
                writer.fail(&item.id, &merged::listed(&item.id, &item.place, &reason))
            }
            (Piece::Record, Ok(_)) => {
                // A contig without a frame has its row, too.
                ledger.done += 1;
                writer.record(&item.id)
            }
            (Piece::Frame(place), Ok(scored)) => writer.write(&item.id, place, &scored),
            (Piece::Lost, Ok(_)) => Ok(()),
        }
    }

    fn finish(self, _: &mut Ledger<'_>) -> Result<ResultCounts, PipelineError> {
        match self.writer {
            Some(writer) => writer.finish(),
            None => Ok(self.counts),
        }
    }
}
