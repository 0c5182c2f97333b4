//! Attention over cells by its definition, with sums in f64.

use crate::attention::Attention;

/// What one query (all heads) gets from the keys and values of its cells, in their order.
pub(crate) fn attention_cells(
    query: &[f32],
    keys: &[&[f32]],
    values: &[&[f32]],
    spec: &Attention<'_>,
) -> Vec<f64> {
    let dim = spec.head_dim;
    let mut out = Vec::new();
    for head in 0..spec.heads {
        let columns = head * dim..(head + 1) * dim;
        let scores: Vec<f64> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let pairs = query[columns.clone()].iter().zip(&key[columns.clone()]);
                let product: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let distance = at as isize - (keys.len() as isize - 1);
                product * f64::from(spec.scale) + f64::from(spec.bias.at(head, distance))
            })
            .collect();
        let top = scores.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - top).exp()).sum();
        for column in columns {
            let weighed = scores
                .iter()
                .zip(values)
                .map(|(score, value)| (score - top).exp() / sum * f64::from(value[column]));
            out.push(weighed.sum());
        }
    }
    out
}
