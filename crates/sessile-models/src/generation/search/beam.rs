//! Beam search with the rules of `transformers` 5 (`GenerationMixin._beam_search`), so that the
//! same weights give the same text.

use std::cmp::Ordering;

use sessile_device::{EarlyStopping, Generated, GenerationSettings};

use super::{Continuation, Progress, Row};
use crate::generation::scores;

/// A beam search.
#[derive(Clone, Debug)]
pub(crate) struct BeamSearch {
    running: Vec<Vec<u32>>,
    running_scores: Vec<f32>,
    /// The best finished hypotheses, at most as many as beams, the best first.
    finished: Vec<(f32, Vec<u32>)>,
    /// Whether a running hypothesis may still become better than a finished one.
    can_improve: bool,
}

/// Tokens that are looked at together.
const RUN: usize = 256;

/// The best of some scores; what is not a number is none.
fn best(scores: &[f32]) -> f32 {
    // As many at a time as the compiler makes vectors of.
    let mut best = [f32::NEG_INFINITY; 16];
    let groups = scores.chunks_exact(best.len());
    let rest = groups.remainder();
    for scores in groups.chain([rest]) {
        for (best, &score) in best.iter_mut().zip(scores) {
            *best = if score > *best { score } else { *best };
        }
    }
    best.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// A hypothesis and its next token.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    score: f32,
    parent: usize,
    token: u32,
}

impl Candidate {
    /// The better one first; of equals, the one that a search by rows and tokens meets first.
    fn order(&self, other: &Self) -> Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then((self.parent, self.token).cmp(&(other.parent, other.token)))
    }
}

impl BeamSearch {
    pub(super) fn new(settings: &GenerationSettings) -> Self {
        BeamSearch {
            // One at first: copies of it would have the same continuations.
            running: vec![vec![settings.decoder_start_token]],
            running_scores: vec![0.0],
            finished: Vec::new(),
            can_improve: true,
        }
    }

    pub(super) fn running(&self) -> &[Vec<u32>] {
        &self.running
    }

    pub(super) fn advance(
        &mut self,
        settings: &GenerationSettings,
        source: &[u32],
        rows: &mut [Row<'_>],
    ) -> Progress {
        let beams = settings.num_beams;
        let length = self.running[0].len() + 1;
        let candidates = self.candidates(settings, source, rows);
        let ends = |candidate: &Candidate| {
            length >= settings.max_length || settings.eos_tokens.contains(&candidate.token)
        };

        // Only the best candidates, as many as there are beams, may finish.
        let may_finish = self.can_improve
            && !(self.finished.len() >= beams && settings.early_stopping == EarlyStopping::True);
        if may_finish {
            let divisor = ((length - 1) as f32).powf(settings.length_penalty);
            for candidate in candidates.iter().take(beams).filter(|&one| ends(one)) {
                let mut tokens = self.running[candidate.parent].clone();
                tokens.push(candidate.token);
                self.finished.push((candidate.score / divisor, tokens));
            }
            // Stable: of equals the older one stays in front.
            self.finished.sort_by(|a, b| b.0.total_cmp(&a.0));
            self.finished.truncate(beams);
        }

        let go_on: Vec<Candidate> = candidates
            .iter()
            .filter(|&one| !ends(one))
            .take(beams)
            .copied()
            .collect();
        let Some(best) = go_on.first() else {
            return self.done();
        };
        self.can_improve &= self.may_improve(settings, best.score, length);
        let is_full = self.finished.len() >= beams;
        if !self.can_improve || (is_full && settings.early_stopping == EarlyStopping::True) {
            return self.done();
        }
        self.running_scores = go_on.iter().map(|one| one.score).collect();
        self.running = go_on
            .iter()
            .map(|one| {
                let mut tokens = self.running[one.parent].clone();
                tokens.push(one.token);
                tokens
            })
            .collect();
        let continuations = go_on.iter().map(|one| Continuation {
            parent: one.parent,
            token: one.token,
        });
        Progress::Running(continuations.collect())
    }

    /// The best continuations of all hypotheses: twice as many as beams, so that enough go on
    /// when the best of them end.
    fn candidates(
        &self,
        settings: &GenerationSettings,
        source: &[u32],
        rows: &mut [Row<'_>],
    ) -> Vec<Candidate> {
        let keep = settings.num_beams * (1 + settings.eos_tokens.len()).max(2);
        let mut candidates: Vec<Candidate> = Vec::with_capacity(2 * keep);
        let mut threshold = f32::NEG_INFINITY;
        for (parent, row) in rows.iter_mut().enumerate() {
            let scores = row.log_probabilities();
            scores::process(settings, source, &self.running[parent], scores);
            let before = self.running_scores[parent];
            for (run, some) in scores.chunks(RUN).enumerate() {
                // Most runs hold nothing: their best is found many at a time.
                let top = best(some) + before;
                if top.is_nan() || top <= threshold {
                    continue;
                }
                for (at, score) in some.iter().enumerate() {
                    let score = score + before;
                    if score > threshold {
                        candidates.push(Candidate {
                            score,
                            parent,
                            token: (run * RUN + at) as u32,
                        });
                        if candidates.len() == 2 * keep {
                            candidates.sort_unstable_by(Candidate::order);
                            candidates.truncate(keep);
                            threshold = candidates[keep - 1].score;
                        }
                    }
                }
            }
        }
        candidates.sort_unstable_by(Candidate::order);
        candidates.truncate(keep);
        candidates
    }

    /// Whether the best running hypothesis, judged at a length that the settings choose, is better
    /// than the worst finished one.
    fn may_improve(&self, settings: &GenerationSettings, best: f32, length: usize) -> bool {
        let Some((worst, _)) = self.finished.last() else {
            return true;
        };
        if self.finished.len() < settings.num_beams {
            return true;
        }
        let judged_at = match settings.early_stopping {
            EarlyStopping::Never if settings.length_penalty > 0.0 => settings.max_length - 1,
            _ => length - 1,
        };
        best / (judged_at as f32).powf(settings.length_penalty) > *worst
    }

    /// The best finished hypothesis; of none, the best one that was running.
    fn done(&mut self) -> Progress {
        let (score, tokens) = if self.finished.is_empty() {
            let tokens = self.running.swap_remove(0);
            (self.running_scores[0], tokens)
        } else {
            self.finished.swap_remove(0)
        };
        Progress::Done(Generated {
            tokens,
            score: Some(score),
        })
    }
}
