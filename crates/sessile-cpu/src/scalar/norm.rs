//! Norms and softmax, with sums in f64.

/// Layer norm of a row in place.
pub(crate) fn layer_norm(row: &mut [f32], gain: &[f32], shift: Option<&[f32]>, epsilon: f32) {
    let count = row.len() as f64;
    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = row
        .iter()
        .map(|&x| (f64::from(x) - mean).powi(2))
        .sum::<f64>()
        / count;
    let factor = 1.0 / (variance + f64::from(epsilon)).sqrt();
    for (column, x) in row.iter_mut().enumerate() {
        let normal = (f64::from(*x) - mean) * factor * f64::from(gain[column]);
        *x = (normal + shift.map_or(0.0, |shift| f64::from(shift[column]))) as f32;
    }
}

/// RMS norm of a row in place.
pub(crate) fn rms_norm(row: &mut [f32], gain: &[f32], epsilon: f32) {
    let count = row.len() as f64;
    let square = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / count;
    let factor = 1.0 / (square + f64::from(epsilon)).sqrt();
    for (x, gain) in row.iter_mut().zip(gain) {
        *x = (f64::from(*x) * factor * f64::from(*gain)) as f32;
    }
}

/// `log softmax(row)[column]`.
pub(crate) fn log_softmax_at(row: &[f32], column: usize) -> f32 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&x| f64::from(x - top).exp()).sum();
    (f64::from(row[column] - top) - sum.ln()) as f32
}
