//! Means, medians and histograms of streams.

/// Entropies are told apart by this much.
const STEP: f64 = 0.001;

/// Entropies above this are counted with it; 12 bits are 4096 equal symbols.
const MOST_BITS: usize = 12;

/// Numbers of a stream: their count, mean and largest, and the median of entropies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distribution {
    count: u64,
    sum: f64,
    largest: f64,
    /// Counts by steps of [`STEP`]; as long as the largest number needs.
    steps: Vec<u32>,
}

impl Distribution {
    pub(crate) fn push(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.largest = self.largest.max(value);
        let most = (MOST_BITS as f64 / STEP) as usize;
        let step = ((value / STEP).round().max(0.0) as usize).min(most);
        if self.steps.len() <= step {
            self.steps.resize(step + 1, 0);
        }
        self.steps[step] = self.steps[step].saturating_add(1);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    pub(crate) fn largest(&self) -> Option<f64> {
        (self.count > 0).then_some(self.largest)
    }

    /// The median of entropies, to a thousandth of a bit; the lower one of two.
    pub(crate) fn median(&self) -> Option<f64> {
        let half = self.count.div_ceil(2);
        let mut below = 0;
        (self.steps.iter().enumerate()).find_map(|(step, &count)| {
            below += u64::from(count);
            (count > 0 && below >= half).then_some(step as f64 * STEP)
        })
    }
}

/// Bins of a tenfold.
const BINS_A_DECADE: f64 = 12.0;

/// Lengths by their logarithm.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lengths {
    bins: Vec<u64>,
}

impl Lengths {
    pub(crate) fn push(&mut self, length: u64) {
        let bin = ((length.max(1) as f64).log10() * BINS_A_DECADE + 1e-9) as usize;
        if self.bins.len() <= bin {
            self.bins.resize(bin + 1, 0);
        }
        self.bins[bin] += 1;
    }

    pub(crate) fn bins(&self) -> &[u64] {
        &self.bins
    }

    /// The length with which a bin begins.
    pub(crate) fn begin(bin: usize) -> f64 {
        10_f64.powf(bin as f64 / BINS_A_DECADE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_stream_are_known() {
        let mut distribution = Distribution::default();
        assert_eq!((distribution.mean(), distribution.median()), (None, None));
        for value in [4.0, 1.0, 2.0, 3.5] {
            distribution.push(value);
        }
        assert_eq!(distribution.mean(), Some(2.625));
        assert_eq!(distribution.median(), Some(2.0));
        assert_eq!(distribution.largest(), Some(4.0));
        distribution.push(1e9);
        assert_eq!(distribution.median(), Some(3.5));
    }

    #[test]
    fn lengths_fall_into_their_bins() {
        let mut lengths = Lengths::default();
        for length in [0, 1, 9, 10, 99, 100, 1000] {
            lengths.push(length);
        }
        let of = |length: u64| {
            let mut one = Lengths::default();
            one.push(length);
            one.bins().len() - 1
        };
        assert_eq!((of(1), of(10), of(100), of(1000)), (0, 12, 24, 36));
        assert_eq!(lengths.bins().iter().sum::<u64>(), 7);
        for length in [1, 7, 10, 33, 100, 4321] {
            let bin = of(length);
            assert!(Lengths::begin(bin) <= length as f64 * 1.000_001);
            assert!((length as f64) < Lengths::begin(bin + 1));
        }
    }
}
