//! How well a classifier tells viruses from others.

/// Metrics over a set of samples; *virus* is the positive class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Mean cross-entropy, natural logarithm.
    pub loss: f64,
    /// Share of right labels.
    pub accuracy: f64,
    /// Share of viruses among those called viruses; 0 when none is.
    pub precision: f64,
    /// Share of the viruses that are called so; 0 when there is none.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Area under the ROC curve: how likely a virus scores above another; `None` for one class.
    pub auc: Option<f64>,
}

/// A sample's score for *virus*, and whether it is one, and is called one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) score: f32,
    pub(super) is_virus: bool,
    pub(super) called_virus: bool,
}

impl Metrics {
    pub(super) fn of(samples: &mut [Judged], loss: f64) -> Self {
        let count = |test: &dyn Fn(&Judged) -> bool| {
            samples.iter().filter(|sample| test(sample)).count() as f64
        };
        let right = count(&|sample| sample.is_virus == sample.called_virus);
        let hits = count(&|sample| sample.is_virus && sample.called_virus);
        let called = count(&|sample| sample.called_virus);
        let viruses = count(&|sample| sample.is_virus);
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let precision = share(hits, called);
        let recall = share(hits, viruses);
        Metrics {
            loss,
            accuracy: share(right, samples.len() as f64),
            precision,
            recall,
            f1: share(2.0 * precision * recall, precision + recall),
            auc: auc(samples, viruses),
        }
    }
}

/// The rank sum of the viruses (Mann and Whitney, 1947), ties at their mean rank.
fn auc(samples: &mut [Judged], viruses: f64) -> Option<f64> {
    let others = samples.len() as f64 - viruses;
    if viruses == 0.0 || others == 0.0 {
        return None;
    }
    samples.sort_by(|a, b| a.score.total_cmp(&b.score));
    let mut ranks = 0.0;
    let mut before = 0;
    for tied in samples.chunk_by(|a, b| a.score == b.score) {
        let mean = before as f64 + (tied.len() + 1) as f64 / 2.0;
        ranks += mean * tied.iter().filter(|sample| sample.is_virus).count() as f64;
        before += tied.len();
    }
    Some((ranks - viruses * (viruses + 1.0) / 2.0) / (viruses * others))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(rows: &[(f32, bool)]) -> Vec<Judged> {
        rows.iter()
            .map(|&(score, is_virus)| Judged {
                score,
                is_virus,
                called_virus: score > 0.5,
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
        let metrics = Metrics::of(&mut judged(&[(0.1, true), (0.2, true)]), 0.0);
        assert_eq!(
            (metrics.auc, metrics.precision, metrics.f1),
            (None, 0.0, 0.0)
        );
    }
}
