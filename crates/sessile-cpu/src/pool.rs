//! One vector per sequence.

#[cfg(test)]
mod tests;

use sessile_device::Pooling;

use crate::isa::Isa;
use crate::rows::{Rows, RowsMut};
use crate::simd::{self, Kernel, Simd};
use crate::team::Team;

/// Pools the rows of every sequence. A mean is one chain of additions per column, from the first
/// row to the last, and one division: relative to the mean of magnitudes it is within `rows × 6e-8`.
pub(crate) fn pool(
    isa: Isa,
    team: &mut Team,
    x: Rows<'_>,
    offsets: &[u32],
    pooling: Pooling,
    out: RowsMut<'_>,
) {
    let sequences = offsets.len().saturating_sub(1);
    assert!(out.rows() == sequences && out.cols() == x.cols());
    team.share(sequences, |index, _| {
        let (start, end) = (offsets[index] as usize, offsets[index + 1] as usize);
        let rows = match pooling {
            Pooling::Mean {
                skip_first,
                skip_last,
            } => start.saturating_add(skip_first)..end.saturating_sub(skip_last),
            Pooling::First => start..end.min(start + 1),
        };
        // SAFETY: this row is this task's alone.
        let to = unsafe { out.row(index) };
        simd::run(isa, Mean { x, rows, to });
    });
}

struct Mean<'a> {
    x: Rows<'a>,
    rows: std::ops::Range<usize>,
    to: &'a mut [f32],
}

impl Kernel for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Mean { x, rows, to } = self;
        let count = s.splat(rows.len().max(1) as f32);
        to.fill(0.0);
        for row in rows {
            let row = x.row(row);
            let mut i = 0;
            while i < to.len() {
                s.put(to, i, s.add(s.at(to, i), s.at(row, i)));
                i += S::LANES;
            }
        }
        let mut i = 0;
        while i < to.len() {
            s.put(to, i, s.div(s.at(to, i), count));
            i += S::LANES;
        }
    }
}
