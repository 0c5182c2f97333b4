//! What the settings do to the scores of the next token, in the order of `transformers`
//! (`GenerationMixin._get_logits_processor`): the answer depends on it.

use sessile_device::GenerationSettings;

/// Changes the scores of the token after `tokens`, in an answer to `source`.
pub(super) fn process(
    settings: &GenerationSettings,
    source: &[u32],
    tokens: &[u32],
    scores: &mut [f32],
) {
    bias(&settings.sequence_bias, tokens, scores);
    if settings.encoder_repetition_penalty != 1.0 {
        // The other way round: what the source says becomes likelier.
        penalise(1.0 / settings.encoder_repetition_penalty, source, scores);
    }
    if settings.repetition_penalty != 1.0 {
        penalise(settings.repetition_penalty, tokens, scores);
    }
    if settings.no_repeat_ngram_size > 0 {
        forbid_repeats(settings.no_repeat_ngram_size, tokens, tokens, scores);
    }
    if settings.encoder_no_repeat_ngram_size > 0 {
        forbid_repeats(
            settings.encoder_no_repeat_ngram_size,
            source,
            tokens,
            scores,
        );
    }
    for words in settings.bad_words.iter() {
        if let Some((&last, before)) = words.split_last()
            && tokens.ends_with(before)
        {
            forbid(scores, last);
        }
    }
    if tokens.len() < settings.min_length {
        for &eos in &settings.eos_tokens {
            forbid(scores, eos);
        }
    }
    if let Some(allowed) = &settings.allowed_tokens {
        allow(&settings.eos_tokens, allowed, scores);
    }
    if let Some(forced) = settings.forced_bos_token
        && tokens.len() == 1
    {
        force(scores, &[forced]);
    }
    if !settings.forced_eos_tokens.is_empty() && tokens.len() + 1 == settings.max_length {
        force(scores, &settings.forced_eos_tokens);
    }
    if settings.remove_invalid_values {
        // Scores of a model are finite: what is infinite was forbidden above.
        for score in scores.iter_mut() {
            *score = score.clamp(f32::MIN, f32::MAX);
        }
    }
    if let Some((start, factor)) = settings.exponential_decay_length_penalty {
        favour_ending(settings, start, factor, tokens.len(), scores);
    }
    for &token in settings.suppressed_tokens.iter() {
        forbid(scores, token);
    }
    let begin = 1 + usize::from(settings.forced_bos_token.is_some());
    if tokens.len() == begin {
        for &token in settings.begin_suppressed_tokens.iter() {
            forbid(scores, token);
        }
    }
    if settings.renormalize_logits {
        normalise(scores);
    }
}

/// Adds to the scores of tokens that would complete a sequence.
fn bias(biases: &[(Vec<u32>, f32)], tokens: &[u32], scores: &mut [f32]) {
    for (words, bias) in biases {
        if let Some((&last, before)) = words.split_last()
            && tokens.ends_with(before)
            && let Some(score) = scores.get_mut(last as usize)
        {
            *score += bias;
        }
    }
}

/// Makes ending likelier by a factor that grows with every token after the first `start` new ones.
fn favour_ending(
    settings: &GenerationSettings,
    start: usize,
    factor: f32,
    length: usize,
    scores: &mut [f32],
) {
    let Some(beyond) = length
        .checked_sub(start.saturating_add(1))
        .filter(|&beyond| beyond > 0)
    else {
        return;
    };
    let growth = (f64::from(factor).powf(beyond as f64) - 1.0) as f32;
    for &eos in &settings.eos_tokens {
        if let Some(score) = scores.get_mut(eos as usize)
            && score.is_finite()
        {
            *score += score.abs() * growth;
        }
    }
}

/// Makes log-probabilities of scores.
fn normalise(scores: &mut [f32]) {
    let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if best == f32::NEG_INFINITY {
        return;
    }
    let sum: f32 = scores.iter().map(|score| (score - best).exp()).sum();
    let log_sum = best + sum.ln();
    scores.iter_mut().for_each(|score| *score -= log_sum);
}

fn forbid(scores: &mut [f32], token: u32) {
    if let Some(score) = scores.get_mut(token as usize) {
        *score = f32::NEG_INFINITY;
    }
}

fn force(scores: &mut [f32], tokens: &[u32]) {
    scores.fill(f32::NEG_INFINITY);
    for &token in tokens {
        if let Some(score) = scores.get_mut(token as usize) {
            *score = 0.0;
        }
    }
}

/// Forbids what is in neither of the lists.
fn allow(ends: &[u32], allowed: &[u32], scores: &mut [f32]) {
    for (token, score) in (0_u32..).zip(scores) {
        if !allowed.contains(&token) && !ends.contains(&token) {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// Once for every token that was there (Keskar et al., 2019, arXiv:1909.05858).
fn penalise(penalty: f32, tokens: &[u32], scores: &mut [f32]) {
    for (at, &token) in tokens.iter().enumerate() {
        if tokens[..at].contains(&token) {
            continue;
        }
        if let Some(score) = scores.get_mut(token as usize) {
            *score = if *score < 0.0 {
                *score * penalty
            } else {
                *score / penalty
            };
        }
    }
}

/// A token that would complete an n-gram of `text`.
fn forbid_repeats(size: usize, text: &[u32], tokens: &[u32], scores: &mut [f32]) {
    if tokens.len() + 1 < size {
        return;
    }
    let start = &tokens[tokens.len() + 1 - size..];
    for ngram in text.windows(size) {
        if ngram[..size - 1] == *start {
            forbid(scores, ngram[size - 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_change_scores() {
        const INF: f32 = f32::NEG_INFINITY;
        let base = GenerationSettings {
            max_length: 10,
            eos_tokens: vec![2],
            ..GenerationSettings::default()
        };
        let cases: [(GenerationSettings, &[u32], [f32; 4]); 18] = [
            (base.clone(), &[0], [1.0, -1.0, 2.0, 0.5]),
            (
                GenerationSettings {
                    repetition_penalty: 2.0,
                    ..base.clone()
                },
                &[0, 1, 1],
                [0.5, -2.0, 2.0, 0.5],
            ),
            (
                GenerationSettings {
                    no_repeat_ngram_size: 2,
                    ..base.clone()
                },
                &[0, 1, 3, 1],
                [1.0, -1.0, 2.0, INF],
            ),
            (
                GenerationSettings {
                    no_repeat_ngram_size: 1,
                    ..base.clone()
                },
                &[0, 3],
                [INF, -1.0, 2.0, INF],
            ),
            (
                GenerationSettings {
                    no_repeat_ngram_size: 3,
                    ..base.clone()
                },
                &[0],
                [1.0, -1.0, 2.0, 0.5],
            ),
            (
                GenerationSettings {
                    min_length: 3,
                    ..base.clone()
                },
                &[0, 1],
                [1.0, -1.0, INF, 0.5],
            ),
            (
                GenerationSettings {
                    allowed_tokens: Some([1, 3].into()),
                    ..base.clone()
                },
                &[0],
                [INF, -1.0, 2.0, 0.5],
            ),
            (
                GenerationSettings {
                    forced_bos_token: Some(3),
                    ..base.clone()
                },
                &[0],
                [INF, INF, INF, 0.0],
            ),
            (
                GenerationSettings {
                    forced_eos_tokens: vec![2],
                    max_length: 3,
                    ..base.clone()
                },
                &[0, 1],
                [INF, INF, 0.0, INF],
            ),
            (
                GenerationSettings {
                    encoder_repetition_penalty: 2.0,
                    ..base.clone()
                },
                &[0],
                [2.0, -0.5, 2.0, 0.5],
            ),
            (
                GenerationSettings {
                    encoder_no_repeat_ngram_size: 2,
                    ..base.clone()
                },
                &[0, 1],
                [INF, -1.0, 2.0, 0.5],
            ),
            (
                GenerationSettings {
                    bad_words: [vec![3], vec![0, 1], vec![1, 0, 2]].into(),
                    ..base.clone()
                },
                &[2, 1, 0],
                [1.0, INF, INF, INF],
            ),
            (
                GenerationSettings {
                    sequence_bias: [(vec![3], 1.5), (vec![0, 1], -1.0)].into(),
                    ..base.clone()
                },
                &[0],
                [1.0, -2.0, 2.0, 2.0],
            ),
            (
                GenerationSettings {
                    suppressed_tokens: [1, 2].into(),
                    ..base.clone()
                },
                &[0],
                [1.0, INF, INF, 0.5],
            ),
            (
                GenerationSettings {
                    begin_suppressed_tokens: [0].into(),
                    ..base.clone()
                },
                &[2],
                [INF, -1.0, 2.0, 0.5],
            ),
            (
                GenerationSettings {
                    begin_suppressed_tokens: [0].into(),
                    ..base.clone()
                },
                &[2, 3],
                [1.0, -1.0, 2.0, 0.5],
            ),
            (
                GenerationSettings {
                    exponential_decay_length_penalty: Some((1, 1.5)),
                    ..base.clone()
                },
                &[0, 1, 3, 3],
                [1.0, -1.0, 4.5, 0.5],
            ),
            (
                GenerationSettings {
                    suppressed_tokens: [0, 2, 3].into(),
                    renormalize_logits: true,
                    ..base.clone()
                },
                &[0],
                [INF, 0.0, INF, INF],
            ),
        ];
        // The source has one of two tokens before another.
        let source = [1, 0, 1];
        for (settings, tokens, expected) in cases {
            let mut scores = [1.0, -1.0, 2.0, 0.5];
            process(&settings, &source, tokens, &mut scores);
            assert_eq!(scores, expected, "{settings:?} {tokens:?}");
        }
    }
}
