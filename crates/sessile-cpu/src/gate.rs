//! Gated units whose products were stored: `value × silu(gate)`, values before gates.

use crate::isa::Isa;
use crate::rows::{Rows, RowsMut};
use crate::simd::{self, Kernel, Simd, math};
use crate::team::Team;

/// `out[c] = x[c] × silu(x[cols + c])`.
pub(crate) fn silu(isa: Isa, team: &mut Team, x: Rows<'_>, out: RowsMut<'_>) {
    assert!(x.rows() == out.rows() && x.cols() == 2 * out.cols());
    team.share(out.rows(), |index, _| {
        let (values, gates) = x.row(index).split_at(out.cols());
        // SAFETY: this row is this task's alone.
        let to = unsafe { out.row(index) };
        simd::run(isa, Silu { values, gates, to });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar;

    #[test]
    fn gated_units_are_as_their_scalar_twin() {
        for cols in [1, 7, 16, 33] {
            let values: Vec<f32> = (0..3 * 2 * cols)
                .map(|i| ((i * 37 % 101) as f32 - 50.0) / 4.0)
                .collect();
            for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
                let mut out = vec![0.0; 3 * cols];
                let mut team = Team::new(1).unwrap();
                silu(
                    isa,
                    &mut team,
                    Rows::new(&values, 3, 2 * cols, 2 * cols),
                    RowsMut::new(&mut out, 3, cols, cols),
                );
                for (i, found) in out.iter().enumerate() {
                    let at = i / cols * 2 * cols + i % cols;
                    let gate = values[at + cols];
                    let expected = values[at] * gate * scalar::sigmoid(gate);
                    assert!(
                        (found - expected).abs() <= 1e-6 * expected.abs().max(1.0),
                        "{isa:?}: {found} for {expected}"
                    );
                }
            }
        }
    }
}
