//! Log-probabilities at the positions of a sequence, and what single mutations change.
//!
//! A mutation's score is the difference of the log-probabilities of the two residues at its
//! position (Meier et al., 2021).

/// The twenty residues, in the order of the columns.
pub const RESIDUES: &str = "ACDEFGHIKLMNPQRSTVWY";

/// What is known of a sequence's positions so far, in their order.
#[derive(Clone, Debug, Default)]
pub struct Marginals {
    /// Natural logarithm of the probability of each residue.
    pub log_probabilities: Vec<f32>,
    /// A row per position: log-probability of each of [`RESIDUES`] less that of the sequence's own.
    pub mutants: Vec<Vec<f32>>,
}

impl Marginals {
    /// Positions so far.
    pub fn len(&self) -> usize {
        self.log_probabilities.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.log_probabilities.is_empty()
    }

    /// The next position: its scores over the vocabulary, the token that stands there, and the
    /// columns of the residues it might mutate to.
    pub fn push(&mut self, scores: &[f32], truth: usize, columns: &[usize], mutants: bool) {
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = scores
            .iter()
            .map(|score| f64::from(score - largest).exp())
            .sum();
        let normalizer = f64::from(largest) + sum.ln();
        let log_probability = |column: usize| {
            scores
                .get(column)
                .map_or(f64::NEG_INFINITY, |&score| f64::from(score) - normalizer)
        };
        let own = log_probability(truth);
        self.log_probabilities.push(own as f32);
        if mutants {
            let row = columns
                .iter()
                .map(|&column| (log_probability(column) - own) as f32);
            self.mutants.push(row.collect());
        }
    }

    /// The sum of the log-probabilities.
    pub fn log_likelihood(&self) -> f64 {
        self.log_probabilities.iter().copied().map(f64::from).sum()
    }

    /// exp of minus their mean.
    pub fn pseudo_perplexity(&self) -> f64 {
        (-self.log_likelihood() / self.len().max(1) as f64).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_normalized_over_the_whole_vocabulary() {
        let mut marginals = Marginals::default();
        // exp: 1, 2, 1 of 4.
        let scores = [0.0, 2.0_f32.ln(), 0.0];
        marginals.push(&scores, 1, &[0, 1], true);
        marginals.push(&scores, 0, &[0, 1], true);
        assert!((marginals.log_likelihood() - 0.125_f64.ln()).abs() < 1e-6);
        assert!((marginals.pseudo_perplexity() - 8.0_f64.sqrt()).abs() < 1e-6);
        assert!((marginals.mutants[0][0] + 2.0_f32.ln()).abs() < 1e-6);
        assert_eq!(marginals.mutants[1][0], 0.0);
    }
}
