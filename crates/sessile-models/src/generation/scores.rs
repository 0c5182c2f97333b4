//! What the settings do to the scores of the next token, in the order of `transformers`:
//! repetition penalty, no repeated n-grams, least length, allowed tokens, forced tokens.

use sessile_device::GenerationSettings;

/// Changes the scores of the token after `tokens`.
pub(super) fn process(settings: &GenerationSettings, tokens: &[u32], scores: &mut [f32]) {
    if settings.repetition_penalty != 1.0 {
        penalise(settings.repetition_penalty, tokens, scores);
    }
    if settings.no_repeat_ngram_size > 0 {
        forbid_repeats(settings.no_repeat_ngram_size, tokens, scores);
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
        force(scores, forced);
    }
    if let Some(forced) = settings.forced_eos_token
        && tokens.len() + 1 == settings.max_length
    {
        force(scores, forced);
    }
}

fn forbid(scores: &mut [f32], token: u32) {
    if let Some(score) = scores.get_mut(token as usize) {
        *score = f32::NEG_INFINITY;
    }
}

fn force(scores: &mut [f32], token: u32) {
    scores.fill(f32::NEG_INFINITY);
    if let Some(score) = scores.get_mut(token as usize) {
        *score = 0.0;
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

/// A token that would complete an n-gram for the second time.
fn forbid_repeats(size: usize, tokens: &[u32], scores: &mut [f32]) {
    if tokens.len() + 1 < size {
        return;
    }
    let start = &tokens[tokens.len() + 1 - size..];
    for ngram in tokens.windows(size) {
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
        let cases: [(GenerationSettings, &[u32], [f32; 4]); 9] = [
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
                    forced_eos_token: Some(2),
                    max_length: 3,
                    ..base.clone()
                },
                &[0, 1],
                [INF, INF, 0.0, INF],
            ),
        ];
        for (settings, tokens, expected) in cases {
            let mut scores = [1.0, -1.0, 2.0, 0.5];
            process(&settings, tokens, &mut scores);
            assert_eq!(scores, expected, "{settings:?} {tokens:?}");
        }
    }
}
