//! Attention by its definition, with sums in f64.

use crate::attention::{Attention, Heads};
use crate::rows::{Rows, RowsMut};

/// Softmax attention of every sequence over itself.
pub(crate) fn attention(input: Heads<'_>, offsets: &[u32], spec: &Attention<'_>, out: RowsMut<'_>) {
    let dim = spec.head_dim;
    for pair in offsets.windows(2) {
        let (start, end) = (pair[0] as usize, pair[1] as usize);
        for head in 0..spec.heads {
            for query in 0..end - start {
                let chances = chances(input, start..end, head, query, spec);
                // SAFETY: this is the only thread and the only reference.
                let to = &mut unsafe { out.row(start + query) }[head * dim..][..dim];
                for (column, to) in to.iter_mut().enumerate() {
                    let value =
                        |key: usize| f64::from(input.v.row(start + key)[head * dim + column]);
                    *to = chances
                        .iter()
                        .enumerate()
                        .map(|(key, p)| p * value(key))
                        .sum::<f64>() as f32;
                }
            }
        }
    }
}

/// The attention probabilities of one head of the sequence in `rows`.
pub(crate) fn attention_map(
    input: Heads<'_>,
    rows: std::ops::Range<usize>,
    head: usize,
    spec: &Attention<'_>,
    out: RowsMut<'_>,
) {
    for query in 0..rows.len() {
        let chances = chances(input, rows.clone(), head, query, spec);
        // SAFETY: this is the only thread and the only reference.
        let to = unsafe { out.row(query) };
        for (to, chance) in to.iter_mut().zip(chances) {
            *to = chance as f32;
        }
    }
}

fn chances(
    input: Heads<'_>,
    rows: std::ops::Range<usize>,
    head: usize,
    query: usize,
    spec: &Attention<'_>,
) -> Vec<f64> {
    let q = rotated(input.q, rows.start, query, head, spec);
    let scores: Vec<f64> = (0..rows.len())
        .map(|key| {
            if spec
                .window
                .is_some_and(|window| key.abs_diff(query) > window)
            {
                return f64::NEG_INFINITY;
            }
            let k = rotated(input.k, rows.start, key, head, spec);
            let dot: f64 = q.iter().zip(&k).map(|(q, k)| q * k).sum();
            let distance = key as isize - query as isize;
            dot * f64::from(spec.scale) + f64::from(spec.bias.at(head, distance))
        })
        .collect();
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - top).exp()).sum();
    scores
        .iter()
        .map(|score| (score - top).exp() / sum)
        .collect()
}

fn rotated(
    x: Rows<'_>,
    start: usize,
    position: usize,
    head: usize,
    spec: &Attention<'_>,
) -> Vec<f64> {
    let dim = spec.head_dim;
    let x: Vec<f64> = x.row(start + position)[head * dim..][..dim]
        .iter()
        .map(|&x| f64::from(x))
        .collect();
    let Some(table) = spec.rotary else { return x };
    let (half, angles) = (dim / 2, table.row(position));
    (0..dim)
        .map(|i| {
            let (cos, sin) = (
                f64::from(angles[i % half]),
                f64::from(angles[half + i % half]),
            );
            if i < half {
                x[i] * cos - x[i + half] * sin
            } else {
                x[i] * cos + x[i - half] * sin
            }
        })
        .collect()
}
