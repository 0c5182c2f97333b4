//! How well a classifier of two classes tells them apart.

/// Metrics over a set of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Mean cross-entropy, natural logarithm.
    pub loss: f64,
    /// Share of right labels.
    pub accuracy: f64,
    /// Share of positives among those called positive; 0 when none is.
    pub precision: f64,
    /// Share of the positives that are called so; 0 when there is none.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Area under the ROC curve: how likely a positive scores above a negative; `None` for one class.
    pub auc: Option<f64>,
    /// Positives called so.
    pub true_positives: u64,
    /// Negatives called so.
    pub true_negatives: u64,
    /// Negatives called positive.
    pub false_positives: u64,
    /// Positives called negative.
    pub false_negatives: u64,
}

/// A sample as it is and as it was judged.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Its score for the positive class.
    pub score: f32,
    /// Whether it is of that class.
    pub is_positive: bool,
    /// Whether it is called so.
    pub called_positive: bool,
}

impl Metrics {
    /// The metrics of these samples, which end up sorted by score, with the `loss` that a caller
    /// has summed.
    pub fn of(samples: &mut [Judged], loss: f64) -> Self {
        let count = |is_positive: bool, called_positive: bool| {
            (samples.iter())
                .filter(|sample| {
                    (sample.is_positive, sample.called_positive) == (is_positive, called_positive)
                })
                .count() as u64
        };
        let (true_positives, false_negatives) = (count(true, true), count(true, false));
        let (false_positives, true_negatives) = (count(false, true), count(false, false));
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let hits = true_positives as f64;
        let positives = (true_positives + false_negatives) as f64;
        let precision = share(hits, (true_positives + false_positives) as f64);
        let recall = share(hits, positives);
        Metrics {
            loss,
            accuracy: share(
                (true_positives + true_negatives) as f64,
                samples.len() as f64,
            ),
            precision,
            recall,
            f1: share(2.0 * precision * recall, precision + recall),
            auc: auc(samples, positives),
            true_positives,
            true_negatives,
            false_positives,
            false_negatives,
        }
    }
}

/// The rank sum of the positives (Mann and Whitney, 1947), ties at their mean rank.
fn auc(samples: &mut [Judged], positives: f64) -> Option<f64> {
    let negatives = samples.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    samples.sort_unstable_by(|a, b| a.score.total_cmp(&b.score));
    let mut ranks = 0.0;
    let mut before = 0;
    for tied in samples.chunk_by(|a, b| a.score == b.score) {
        let mean = before as f64 + (tied.len() + 1) as f64 / 2.0;
        ranks += mean * tied.iter().filter(|sample| sample.is_positive).count() as f64;
        before += tied.len();
    }
    Some((ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(rows: &[(f32, bool)]) -> Vec<Judged> {
        rows.iter()
            .map(|&(score, is_positive)| Judged {
                score,
                is_positive,
                called_positive: score > 0.5,
            })
            .collect()
    }

    /// Values of scikit-learn 1.7 for the same samples.
    #[test]
    fn metrics_are_those_of_scikit_learn() {
        let mut samples = judged(&[
            (0.9, true),
            (0.8, false),
            (0.8, true),
            (0.6, true),
            (0.4, true),
            (0.3, false),
            (0.2, false),
            (0.7, false),
        ]);
        let metrics = Metrics::of(&mut samples, 0.5);
        assert_eq!((metrics.accuracy, metrics.precision), (0.625, 0.6));
        assert_eq!((metrics.recall, metrics.loss), (0.75, 0.5));
        assert!((metrics.f1 - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(metrics.auc, Some(0.71875));
        let counts = [metrics.true_positives, metrics.true_negatives];
        assert_eq!(counts, [3, 2]);
        let counts = [metrics.false_positives, metrics.false_negatives];
        assert_eq!(counts, [2, 1]);
        let metrics = Metrics::of(&mut judged(&[(0.1, true), (0.2, true)]), 0.0);
        assert_eq!(
            (metrics.auc, metrics.precision, metrics.f1),
            (None, 0.0, 0.0)
        );
    }
}
