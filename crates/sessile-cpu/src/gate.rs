//! Gated units whose products were stored: `value × activation(gate)`, values before gates.

use sessile_device::Activation;

use crate::isa::Isa;
use crate::rows::{Rows, RowsMut};
use crate::simd::{self, Kernel, Simd, math};
use crate::team::Team;

/// Twice the square root of 2 / π: `(1 + tanh u) / 2` is the sigmoid of `2u`.
const TWICE: f32 = 1.595_769;

/// The share of the cube in the tangent's form of GELU.
const CUBE: f32 = 0.044_715;

/// `out[c] = x[c] × activation(x[cols + c])`.
pub(crate) fn gate(
    isa: Isa,
    team: &mut Team,
    x: Rows<'_>,
    activation: Activation,
    out: RowsMut<'_>,
) {
    assert!(x.rows() == out.rows() && x.cols() == 2 * out.cols());
    team.share(out.rows(), |index, _| {
        let (values, gates) = x.row(index).split_at(out.cols());
        // SAFETY: this row is this task's alone.
        let to = unsafe { out.row(index) };
        match activation {
            Activation::Silu => simd::run(isa, Silu { values, gates, to }),
            Activation::GeluTanh => simd::run(isa, GeluTanh { values, gates, to }),
        }
    });
}

struct Silu<'a> {
    values: &'a [f32],
    gates: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Silu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Silu { values, gates, to } = self;
        let mut i = 0;
        while i < to.len() {
            let gate = s.at(gates, i);
            let silu = s.mul(gate, math::sigmoid(s, gate));
            s.put(to, i, s.mul(s.at(values, i), silu));
            i += S::LANES;
        }
    }
}

struct GeluTanh<'a> {
    values: &'a [f32],
    gates: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for GeluTanh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let GeluTanh { values, gates, to } = self;
        let (one, cube, twice) = (s.splat(1.0), s.splat(CUBE), s.splat(TWICE));
        let mut i = 0;
        while i < to.len() {
            let gate = s.at(gates, i);
            let bent = s.fma(s.mul(cube, gate), gate, one);
            let gelu = s.mul(gate, math::sigmoid(s, s.mul(s.mul(twice, gate), bent)));
            s.put(to, i, s.mul(s.at(values, i), gelu));
            i += S::LANES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar;

    /// The scalar twin.
    fn activated(activation: Activation, gate: f32) -> f32 {
        match activation {
            Activation::Silu => gate * scalar::sigmoid(gate),
            Activation::GeluTanh => {
                let gate = f64::from(gate);
                let bent = (2.0 / std::f64::consts::PI).sqrt() * (gate + 0.044_715 * gate.powi(3));
                (gate / 2.0 * (1.0 + bent.tanh())) as f32
            }
        }
    }

    #[test]
    fn gated_units_are_as_their_scalar_twin() {
        for cols in [1, 7, 16, 33] {
            let values: Vec<f32> = (0..3 * 2 * cols)
                .map(|i| ((i * 37 % 101) as f32 - 50.0) / 4.0)
                .collect();
            for (isa, activation) in Isa::ALL
                .into_iter()
                .filter(|isa| isa.available())
                .flat_map(|isa| [Activation::Silu, Activation::GeluTanh].map(|of| (isa, of)))
            {
                let mut out = vec![0.0; 3 * cols];
                let mut team = Team::new(1).unwrap();
                gate(
                    isa,
                    &mut team,
                    Rows::new(&values, 3, 2 * cols, 2 * cols),
                    activation,
                    RowsMut::new(&mut out, 3, cols, cols),
                );
                for (i, found) in out.iter().enumerate() {
                    let at = i / cols * 2 * cols + i % cols;
                    let expected = values[at] * activated(activation, values[at + cols]);
                    assert!(
                        (found - expected).abs() <= 2e-6 * expected.abs().max(1.0),
                        "{isa:?} {activation:?}: {found} for {expected}"
                    );
                }
            }
        }
    }
}
