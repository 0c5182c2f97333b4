//! One hypothesis: the best next token, or one that is drawn.

use sessile_device::{Generated, GenerationSettings};

use super::chance::{Random, draw};
use super::{Continuation, Progress, Row};
use crate::generation::scores;

/// Greedy search, or sampling.
#[derive(Clone, Debug)]
pub(crate) struct SingleSearch {
    tokens: [Vec<u32>; 1],
    random: Random,
}

impl SingleSearch {
    pub(super) fn new(settings: &GenerationSettings) -> Self {
        SingleSearch {
            tokens: [vec![settings.decoder_start_token]],
            random: Random::new(settings.seed),
        }
    }

    pub(super) fn running(&self) -> &[Vec<u32>] {
        &self.tokens
    }

    pub(super) fn advance(
        &mut self,
        settings: &GenerationSettings,
        source: &[u32],
        row: &mut Row<'_>,
    ) -> Progress {
        let [tokens] = &mut self.tokens;
        scores::process(settings, source, tokens, row.logits);
        let token = if settings.do_sample {
            draw(settings, &mut self.random, row.logits)
        } else {
            best(row.logits)
        };
        tokens.push(token);
        if settings.eos_tokens.contains(&token) || tokens.len() >= settings.max_length {
            return Progress::Done(Generated {
                tokens: std::mem::take(tokens),
                score: None,
            });
        }
        Progress::Running(vec![Continuation { parent: 0, token }])
    }
}

/// The first of the greatest.
fn best(scores: &[f32]) -> u32 {
    let mut best = 0;
    for (token, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = token;
        }
    }
    best as u32
}
