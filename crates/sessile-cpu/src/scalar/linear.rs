//! Products: one chain of fused multiply-adds per element, K ascending, as every kernel sums.

use sessile_device::Epilogue;

use super::math::gelu;
use crate::rows::{Rows, RowsMut};

/// `x · Wᵀ` with an epilogue over a row-major weight.
pub(crate) fn linear(
    x: Rows<'_>,
    weight: Rows<'_>,
    bias: Option<&[f32]>,
    epilogue: Epilogue,
    out: RowsMut<'_>,
) {
    for row in 0..x.rows() {
        let dot = |n: usize| {
            let pairs = x.row(row).iter().zip(weight.row(n));
            let sum = pairs.fold(0.0f32, |sum, (&x, &w)| x.mul_add(w, sum));
            sum + bias.map_or(0.0, |bias| bias[n])
        };
        // SAFETY: this is the only thread and the only reference.
        let to = unsafe { out.row(row) };
        for (n, to) in to.iter_mut().enumerate() {
            *to = match epilogue {
                Epilogue::Store => dot(n),
                Epilogue::Gelu => gelu(dot(n)),
                Epilogue::Relu => dot(n).max(0.0),
                Epilogue::GeluGated => gelu(dot(n)) * dot(weight.rows() / 2 + n),
                Epilogue::Residual => *to + dot(n),
            };
        }
    }
}
