//! The search of one request: which hypotheses go on, and when it is over.

mod beam;
mod chance;
mod single;

use sessile_device::{Generated, GenerationSettings};

use beam::BeamSearch;
use single::SingleSearch;

/// A hypothesis goes on: which one, and with which token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Continuation {
    /// Its number among the hypotheses before.
    pub(super) parent: usize,
    pub(super) token: u32,
}

/// What a step led to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Progress {
    /// These hypotheses run now.
    Running(Vec<Continuation>),
    /// The search is over.
    Done(Generated),
}

/// A row of scores over the vocabulary.
pub(super) struct Row<'a> {
    /// Logits; changed while they are worked on.
    pub(super) logits: &'a mut [f32],
    /// `log Σ exp` of them.
    pub(super) log_sum: f32,
}

impl Row<'_> {
    /// Makes log-probabilities of the logits.
    fn log_probabilities(&mut self) -> &mut [f32] {
        let sum = self.log_sum;
        self.logits.iter_mut().for_each(|logit| *logit -= sum);
        self.logits
    }
}

/// The search of one request.
#[derive(Clone, Debug)]
pub(super) enum Search {
    Single(SingleSearch),
    Beam(BeamSearch),
}

impl Search {
    pub(super) fn new(settings: &GenerationSettings) -> Self {
        if settings.num_beams <= 1 {
            Search::Single(SingleSearch::new(settings))
        } else {
            Search::Beam(BeamSearch::new(settings))
        }
    }

    /// The tokens of the hypotheses that run.
    pub(super) fn running(&self) -> &[Vec<u32>] {
        match self {
            Search::Single(search) => search.running(),
            Search::Beam(search) => search.running(),
        }
    }

    /// Takes the scores of the next token of an answer to `source`, a row for every running
    /// hypothesis.
    pub(super) fn advance(
        &mut self,
        settings: &GenerationSettings,
        source: &[u32],
        rows: &mut [Row<'_>],
    ) -> Progress {
        match self {
            Search::Single(search) => search.advance(settings, source, &mut rows[0]),
            Search::Beam(search) => search.advance(settings, source, rows),
        }
    }
}
