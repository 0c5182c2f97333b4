//! Features cut into bins.

use super::Samples;

/// The bin of a missing value.
pub(super) const MISSING: u16 = u16::MAX;

/// The features of all rows by their bins, one column after the other.
pub(super) struct Bins {
    pub(super) rows: usize,
    pub(super) columns: Vec<Column>,
}

pub(super) struct Column {
    /// `cuts[b]` is the first value behind bin `b`; the last bin has no end, so there is one cut
    /// less than bins.
    pub(super) cuts: Vec<f32>,
    /// The smallest value: what is below it is missing.
    pub(super) smallest: f32,
    /// Behind the largest value: what is not below it is missing.
    pub(super) beyond: f32,
    pub(super) bins: Vec<u16>,
    pub(super) may_lack: bool,
}

impl Bins {
    pub(super) fn of(samples: &Samples, most: usize) -> Self {
        let columns = (0..samples.width())
            .map(|feature| Column::of(samples, feature, most))
            .collect();
        Bins {
            rows: samples.len(),
            columns,
        }
    }
}

impl Column {
    fn of(samples: &Samples, feature: usize, most: usize) -> Self {
        let values = || (0..samples.len()).map(|place| samples.row(place)[feature]);
        let mut sorted: Vec<f32> = values().filter(|value| !value.is_nan()).collect();
        let may_lack = sorted.len() < samples.len();
        sorted.sort_unstable_by(f32::total_cmp);
        let cuts = cuts(&sorted, most);
        let bins = values()
            .map(|value| match value.is_nan() {
                true => MISSING,
                false => cuts.partition_point(|&cut| cut <= value) as u16,
            })
            .collect();
        let largest = sorted.last().copied().unwrap_or(0.0);
        Column {
            cuts,
            smallest: sorted.first().copied().unwrap_or(0.0),
            beyond: largest + (largest.abs() + 1e-5),
            bins,
            may_lack,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.cuts.len() + 1
    }
}

/// Where `sorted` is cut: at every distinct value but the first, or at quantiles when there are
/// more than `most`.
fn cuts(sorted: &[f32], most: usize) -> Vec<f32> {
    let mut cuts: Vec<f32> = (sorted.windows(2))
        .filter(|pair| pair[0] < pair[1])
        .map(|pair| pair[1])
        .collect();
    if cuts.len() < most {
        return cuts;
    }
    cuts.clear();
    for bin in 1..most {
        let cut = sorted[(bin as u128 * sorted.len() as u128 / most as u128) as usize];
        if cut > *cuts.last().unwrap_or(&sorted[0]) {
            cuts.push(cut);
        }
    }
    cuts
}
