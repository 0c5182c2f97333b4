//! Contact maps: one head's share, and the chance at the end.

#[cfg(test)]
mod tests;

use crate::isa::Isa;
use crate::rows::{Rows, RowsMut};
use crate::simd::{self, Kernel, Simd, math};

/// Side of the squares in which a map is read along its columns: two of them fit L1.
const SQUARE: usize = 64;

/// Adds `factor` times the symmetric, corrected inner part of `map` to `sum`. `margins` is memory
/// for one value per row.
pub(crate) fn add_contacts(
    isa: Isa,
    map: Rows<'_>,
    factor: f32,
    margins: &mut [f32],
    sum: RowsMut<'_>,
) {
    let len = sum.rows();
    assert!(map.rows() == len + 2 && map.cols() == len + 2 && sum.cols() == len);
    assert!(margins.len() == len);
    simd::run(
        isa,
        AddContacts {
            inner: map.columns(1, len).range(1, len),
            factor,
            margins,
            sum,
        },
    );
}

struct AddContacts<'a> {
    inner: Rows<'a>,
    factor: f32,
    margins: &'a mut [f32],
    sum: RowsMut<'a>,
}

impl Kernel for AddContacts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AddContacts {
            inner,
            factor,
            margins,
            sum,
        } = self;
        let len = inner.rows();
        // A row of the symmetric map sums a row and a column of the map.
        margins.fill(0.0);
        for i in 0..len {
            let row = inner.row(i);
            let (mut sums, mut j) = (s.splat(0.0), 0);
            while j < len {
                let x = s.at(row, j);
                s.put(margins, j, s.add(s.at(margins, j), x));
                sums = s.add(sums, x);
                j += S::LANES;
            }
            margins[i] += s.sum(sums);
        }
        let total: f32 = margins.iter().sum();
        for top in (0..len).step_by(SQUARE) {
            for left in (0..len).step_by(SQUARE) {
                let columns = left..len.min(left + SQUARE);
                for i in top..len.min(top + SQUARE) {
                    let row = &inner.row(i)[columns.clone()];
                    let expected = margins[i] / total;
                    // SAFETY: there is one thread here.
                    let to = unsafe { sum.part(i, columns.clone()) };
                    for (k, to) in to.iter_mut().enumerate() {
                        let j = left + k;
                        let both = row[k] + inner.row(j)[i];
                        *to += factor * (both - expected * margins[j]);
                    }
                }
            }
        }
    }
}

/// `x = 1 / (1 + exp(−(x + shift)))` of every value.
pub(crate) fn sigmoid(isa: Isa, x: RowsMut<'_>, shift: f32) {
    simd::run(isa, Sigmoid { x, shift });
}

struct Sigmoid<'a> {
    x: RowsMut<'a>,
    shift: f32,
}

impl Kernel for Sigmoid<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for index in 0..self.x.rows() {
            // SAFETY: there is one thread here.
            let row = unsafe { self.x.row(index) };
            let mut i = 0;
            while i < row.len() {
                let shifted = s.add(s.at(row, i), s.splat(self.shift));
                s.put(row, i, math::sigmoid(s, shifted));
                i += S::LANES;
            }
        }
    }
}
