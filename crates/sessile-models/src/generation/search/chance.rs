//! Drawing a token by its probability, from the request's own sequence of random numbers.

use sessile_device::GenerationSettings;

/// Random numbers that follow from a seed: SplitMix64 (Steele et al., 2014,
/// doi:10.1145/2660193.2660195).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// At least 0, less than 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        (x >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Draws among the tokens that temperature, top-k, top-p and min-p leave.
pub(super) fn draw(settings: &GenerationSettings, random: &mut Random, scores: &[f32]) -> u32 {
    let mut tokens: Vec<u32> = (0..scores.len() as u32)
        .filter(|&token| scores[token as usize] > f32::NEG_INFINITY)
        .collect();
    let score = |token: u32| scores[token as usize];
    let by_score = |a: &u32, b: &u32| score(*b).total_cmp(&score(*a)).then(a.cmp(b));
    if settings.top_k > 0 && settings.top_k < tokens.len() {
        tokens.select_nth_unstable_by(settings.top_k - 1, by_score);
        tokens.truncate(settings.top_k);
    }
    tokens.sort_unstable_by(by_score);
    let Some(&first) = tokens.first() else {
        return 0;
    };
    let temperature = f64::from(settings.temperature);
    let top = f64::from(score(first));
    let mut weights: Vec<f64> = tokens
        .iter()
        .map(|&token| ((f64::from(score(token)) - top) / temperature).exp())
        .collect();
    if settings.top_p < 1.0 {
        // The token that crosses the threshold still belongs to the nucleus (Holtzman et al.,
        // 2020, arXiv:1904.09751).
        let wanted = f64::from(settings.top_p) * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let nucleus = weights.iter().position(|weight| {
            sum += weight;
            sum >= wanted
        });
        weights.truncate(nucleus.map_or(weights.len(), |last| last + 1));
    }
    // Weights are shares of the best token's probability.
    let least = f64::from(settings.min_p);
    let rare = weights.iter().position(|&weight| weight < least);
    weights.truncate(rare.unwrap_or(weights.len()).max(1));
    let mut left = random.unit() * weights.iter().sum::<f64>();
    for (&token, weight) in tokens.iter().zip(&weights) {
        left -= weight;
        if left < 0.0 {
            return token;
        }
    }
    tokens[weights.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(settings: &GenerationSettings) -> [f64; 4] {
        let scores = [0.0, 2.0_f32.ln(), f32::NEG_INFINITY, 5.0_f32.ln()];
        let mut random = Random::new(7);
        let mut counts = [0.0; 4];
        for _ in 0..8000 {
            counts[draw(settings, &mut random, &scores) as usize] += 1.0 / 8000.0;
        }
        counts
    }

    #[test]
    fn tokens_come_as_often_as_they_should() {
        let base = GenerationSettings {
            top_k: 0,
            ..GenerationSettings::default()
        };
        let cases = [
            (base.clone(), [1.0 / 8.0, 2.0 / 8.0, 0.0, 5.0 / 8.0]),
            (
                GenerationSettings {
                    top_k: 2,
                    ..base.clone()
                },
                [0.0, 2.0 / 7.0, 0.0, 5.0 / 7.0],
            ),
            (
                GenerationSettings {
                    top_p: 0.7,
                    ..base.clone()
                },
                [0.0, 2.0 / 7.0, 0.0, 5.0 / 7.0],
            ),
            (
                GenerationSettings {
                    top_p: 0.6,
                    ..base.clone()
                },
                [0.0, 0.0, 0.0, 1.0],
            ),
            (
                GenerationSettings {
                    min_p: 0.3,
                    ..base.clone()
                },
                [0.0, 2.0 / 7.0, 0.0, 5.0 / 7.0],
            ),
            (
                GenerationSettings {
                    temperature: 0.5,
                    ..base
                },
                [1.0 / 30.0, 4.0 / 30.0, 0.0, 25.0 / 30.0],
            ),
        ];
        for (settings, expected) in cases {
            for (share, expected) in shares(&settings).iter().zip(expected) {
                // Three standard deviations of 8,000 draws.
                assert!(
                    (share - expected).abs() < 0.017,
                    "{settings:?} {share} {expected}"
                );
            }
        }
    }
}
