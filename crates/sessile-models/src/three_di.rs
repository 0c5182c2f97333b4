//! Structure states of residues: from the scores of a head to letters.
//!
//! 3Di (van Kempen et al., 2024, doi:10.1038/s41587-023-01773-0) writes the surroundings of a
//! residue as one of 20 states; they are written with the letters of the amino acids, in which
//! Foldseek reads them.

use sessile_device::HostTensor;

/// The 20 states of 3Di in the order of the classes.
pub const STATES: &str = "ACDEFGHIKLMNPQRSTVWY";

/// The 12 states of the second alphabet in the order of the classes.
pub const TWELVE_STATES: &str = "ABCDEFGHIJKL";

/// The most probable state of every residue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateSequence {
    /// A letter for each residue.
    pub states: String,
    /// The probability of each letter.
    pub probabilities: Vec<f32>,
}

impl StateSequence {
    /// The best states by the scores `[residues, states]`; `alphabet` has a letter for each state.
    ///
    /// # Panics
    ///
    /// When the scores have another number of columns than the alphabet has letters: a fault of
    /// the program.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_device::HostTensor;
    /// use sessile_models::three_di::StateSequence;
    ///
    /// let scores = HostTensor::new(vec![2, 2], vec![0.0, 1.0, 3.0, 1.0]);
    /// let found = StateSequence::from_scores(&scores, "AB");
    /// assert_eq!(found.states, "BA");
    /// assert!((found.probabilities[0] - 0.731).abs() < 1e-3);
    /// assert_eq!(found.masked(0.8), "XA");
    /// ```
    pub fn from_scores(scores: &HostTensor, alphabet: &str) -> Self {
        let letters = alphabet.as_bytes();
        assert_eq!(
            scores.shape.last(),
            Some(&letters.len()),
            "scores of states"
        );
        let mut found = StateSequence::default();
        for row in scores.data.chunks_exact(letters.len()) {
            // The first of equals, as argmax has it.
            let (best, top) =
                row.iter()
                    .enumerate()
                    .fold((0, f32::NEG_INFINITY), |best, (state, &score)| {
                        if score > best.1 { (state, score) } else { best }
                    });
            let total: f32 = row.iter().map(|score| (score - top).exp()).sum();
            found.states.push(char::from(letters[best]));
            found.probabilities.push(1.0 / total);
        }
        found
    }

    /// The 3Di states by the scores of [`OutputKind::ThreeDi`](sessile_device::OutputKind).
    pub fn three_di(scores: &HostTensor) -> Self {
        StateSequence::from_scores(scores, STATES)
    }

    /// The states of the second alphabet by the scores of
    /// [`OutputKind::TwelveState`](sessile_device::OutputKind).
    pub fn twelve_state(scores: &HostTensor) -> Self {
        StateSequence::from_scores(scores, TWELVE_STATES)
    }

    /// The letters, with X where the probability is below `threshold`.
    pub fn masked(&self, threshold: f32) -> String {
        self.states
            .chars()
            .zip(&self.probabilities)
            .map(|(state, &probability)| if probability < threshold { 'X' } else { state })
            .collect()
    }

    /// The mean probability of the letters; nothing for an empty sequence.
    pub fn mean_probability(&self) -> Option<f64> {
        let sum: f64 = self.probabilities.iter().map(|&p| f64::from(p)).sum();
        (!self.probabilities.is_empty()).then(|| sum / self.probabilities.len() as f64)
    }
}
