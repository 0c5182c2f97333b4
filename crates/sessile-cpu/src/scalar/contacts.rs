//! One head's share of a contact map, by its definition.

use crate::rows::{Rows, RowsMut};

/// Adds `factor` times the symmetric, corrected inner part of `map` to `sum`.
pub(crate) fn add_contacts(map: Rows<'_>, factor: f32, sum: RowsMut<'_>) {
    let len = sum.rows();
    let symmetric =
        |i: usize, j: usize| f64::from(map.row(i + 1)[j + 1]) + f64::from(map.row(j + 1)[i + 1]);
    let rows: Vec<f64> = (0..len)
        .map(|i| (0..len).map(|j| symmetric(i, j)).sum())
        .collect();
    let total: f64 = rows.iter().sum();
    for i in 0..len {
        // SAFETY: this is the only thread and the only reference.
        let to = unsafe { sum.row(i) };
        for (j, to) in to.iter_mut().enumerate() {
            *to += factor * (symmetric(i, j) - rows[i] * rows[j] / total) as f32;
        }
    }
}
