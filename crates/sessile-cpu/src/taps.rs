//! The sum over the taps of a convolution along the sequence.
//!
//! A few dozen columns for each row: plain loops, which compilers turn into vectors. Every value
//! is one chain of additions, from the bias over the taps in order, on any machine.

use crate::rows::{Rows, RowsMut};
use crate::team::Team;

/// What is summed.
#[derive(Clone, Copy)]
pub(crate) struct Taps<'a> {
    /// Products of all taps, one tap's columns behind the other's.
    pub(crate) x: Rows<'a>,
    pub(crate) bias: &'a [f32],
    /// Whether negative sums become zero.
    pub(crate) rectified: bool,
    /// Rows at the end of a sequence that count as zero.
    pub(crate) hidden: usize,
}

/// Sums the taps of every row of every sequence.
///
/// # Panics
///
/// When the shapes do not fit each other.
pub(crate) fn add_taps(team: &mut Team, sum: &Taps<'_>, offsets: &[u32], out: RowsMut<'_>) {
    let (x, cols) = (sum.x, out.cols());
    assert!(x.rows() == out.rows() && cols == sum.bias.len());
    assert!(cols > 0 && x.cols().is_multiple_of(cols));
    let taps = x.cols() / cols;
    let before = taps / 2;
    team.share(offsets.len().saturating_sub(1), |sequence, _| {
        let (start, end) = (offsets[sequence] as usize, offsets[sequence + 1] as usize);
        let seen = start..end.saturating_sub(sum.hidden).max(start);
        for row in start..end {
            // SAFETY: the rows of a sequence are its task's alone.
            let to = unsafe { out.row(row) };
            to.copy_from_slice(sum.bias);
            for tap in 0..taps {
                // Row `row + tap − before`, if there is one.
                let Some(from) = (row + tap).checked_sub(before) else {
                    continue;
                };
                if !seen.contains(&from) {
                    continue;
                }
                let products = &x.row(from)[tap * cols..][..cols];
                for (to, product) in to.iter_mut().zip(products) {
                    *to += product;
                }
            }
            if sum.rectified {
                for to in to {
                    *to = to.max(0.0);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::values;

    #[test]
    fn taps_stay_within_their_sequence() {
        let offsets = [0_u32, 1, 1, 4, 13];
        for (taps, cols) in [(1, 3), (3, 1), (7, 5)] {
            let data = values(taps as u64, 13 * taps * cols);
            let x = Rows::new(&data, 13, taps * cols, taps * cols);
            let bias = values(99, cols);
            for (rectified, hidden) in [(false, 0), (true, 1), (false, 20)] {
                let mut out = vec![f32::NAN; 13 * cols];
                let sum = Taps {
                    x,
                    bias: &bias,
                    rectified,
                    hidden,
                };
                let to = RowsMut::new(&mut out, 13, cols, cols);
                add_taps(&mut Team::new(2).unwrap(), &sum, &offsets, to);
                for pair in offsets.windows(2) {
                    let (start, end) = (pair[0] as i64, pair[1] as i64);
                    for row in start..end {
                        for col in 0..cols {
                            let mut expected = f64::from(bias[col]);
                            for tap in 0..taps {
                                let from = row + tap as i64 - taps as i64 / 2;
                                if from >= start && from < end - hidden as i64 {
                                    expected += f64::from(x.row(from as usize)[tap * cols + col]);
                                }
                            }
                            if rectified {
                                expected = expected.max(0.0);
                            }
                            let computed = f64::from(out[row as usize * cols + col]);
                            assert!((computed - expected).abs() < 1e-5, "{taps} {row} {col}");
                        }
                    }
                }
            }
        }
    }
}
