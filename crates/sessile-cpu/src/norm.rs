//! Norms of rows, in f32.

#[cfg(test)]
mod tests;

use std::ops::Range;

use sessile_device::Norm as Spec;

use crate::isa::Isa;
use crate::rows::{Rows, RowsMut};
use crate::simd::{self, Kernel, Simd};
use crate::team::Team;
use crate::weight::CpuWeight;

/// Rows of a task.
const CHUNK: usize = 32;

/// A norm with its weights looked up.
#[derive(Clone, Copy)]
pub(crate) enum Norm<'a> {
    Layer {
        gain: &'a [f32],
        shift: Option<&'a [f32]>,
        epsilon: f32,
    },
    Rms {
        gain: &'a [f32],
        epsilon: f32,
    },
}

impl<'a> Norm<'a> {
    pub(crate) fn new(spec: Spec<'a, CpuWeight>) -> Self {
        match spec {
            Spec::Layer {
                gain,
                shift,
                epsilon,
            } => Norm::Layer {
                gain: gain.values(),
                shift: shift.map(CpuWeight::values),
                epsilon,
            },
            Spec::Rms { gain, epsilon } => Norm::Rms {
                gain: gain.values(),
                epsilon,
            },
        }
    }

    fn cols(&self) -> usize {
        match self {
            Norm::Layer { gain, shift, .. } => {
                assert!(shift.is_none_or(|shift| shift.len() == gain.len()));
                gain.len()
            }
            Norm::Rms { gain, .. } => gain.len(),
        }
    }
}

/// Normalises the rows of `x` into `out`, or those of `out` in place.
///
/// Each result is within `1e-6 × (1 + |mean| / deviation)` of the greatest one in its row.
pub(crate) fn norm(
    isa: Isa,
    team: &mut Team,
    x: Option<Rows<'_>>,
    norm: Norm<'_>,
    out: RowsMut<'_>,
) {
    assert_eq!(norm.cols(), out.cols(), "columns of the gain and of out");
    assert!(x.is_none_or(|x| x.rows() == out.rows() && x.cols() == out.cols()));
    team.share(out.rows().div_ceil(CHUNK), |chunk, _| {
        let first = chunk * CHUNK;
        let rows = first..out.rows().min(first + CHUNK);
        simd::run(isa, NormRows { x, norm, out, rows });
    });
}

/// Normalises the rows of `x`, one at a time in the scratch of a thread (as many floats as a row
/// has), and hands each to `write` with its number.
pub(crate) fn norm_each(
    isa: Isa,
    team: &mut Team,
    x: Rows<'_>,
    norm: Norm<'_>,
    write: impl Fn(usize, &[f32]) + Sync,
) {
    assert_eq!(norm.cols(), x.cols(), "columns of the gain and of x");
    team.share(x.rows().div_ceil(CHUNK), |chunk, scratch| {
        let first = chunk * CHUNK;
        for at in first..x.rows().min(first + CHUNK) {
            let row = &mut scratch[..x.cols()];
            let out = RowsMut::of_row(row);
            let from = x.range(at, 1);
            simd::run(
                isa,
                NormRows {
                    x: Some(from),
                    norm,
                    out,
                    rows: 0..1,
                },
            );
            write(at, row);
        }
    });
}

struct NormRows<'a> {
    x: Option<Rows<'a>>,
    norm: Norm<'a>,
    out: RowsMut<'a>,
    rows: Range<usize>,
}

impl Kernel for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for index in self.rows {
            // SAFETY: this row is this task's alone.
            let row = unsafe { self.out.row(index) };
            if let Some(x) = self.x {
                // In L1 from here on: the passes below cost less than one from memory.
                row.copy_from_slice(x.row(index));
            }
            match self.norm {
                Norm::Layer {
                    gain,
                    shift,
                    epsilon,
                } => layer(s, row, gain, shift, epsilon),
                Norm::Rms { gain, epsilon } => rms(s, row, gain, epsilon),
            }
        }
    }
}

#[inline(always)]
fn layer<S: Simd>(s: S, row: &mut [f32], gain: &[f32], shift: Option<&[f32]>, epsilon: f32) {
    let count = row.len() as f32;
    let mean = s.splat(sum(s, row, |_, x| x) / count);
    let square = sum(s, row, |s, x| {
        let x = s.sub(x, mean);
        s.mul(x, x)
    });
    let factor = s.splat(1.0 / (square / count + epsilon).sqrt());
    let mut i = 0;
    while i < row.len() {
        let normal = s.mul(s.sub(s.at(row, i), mean), factor);
        let result = match shift {
            Some(shift) => s.fma(normal, s.at(gain, i), s.at(shift, i)),
            None => s.mul(normal, s.at(gain, i)),
        };
        s.put(row, i, result);
        i += S::LANES;
    }
}

#[inline(always)]
fn rms<S: Simd>(s: S, row: &mut [f32], gain: &[f32], epsilon: f32) {
    let square = sum(s, row, |s, x| s.mul(x, x));
    let factor = s.splat(1.0 / (square / row.len() as f32 + epsilon).sqrt());
    let mut i = 0;
    while i < row.len() {
        s.put(row, i, s.mul(s.mul(s.at(row, i), factor), s.at(gain, i)));
        i += S::LANES;
    }
}

/// The sum of a function of the values of a row, in an order that the length alone decides: four
/// chains of vectors, then their lanes.
#[inline(always)]
fn sum<S: Simd>(s: S, row: &[f32], of: impl Fn(S, S::V) -> S::V) -> f32 {
    let zero = s.splat(0.0);
    let mut chains = [zero; 4];
    let mut i = 0;
    while i + 4 * S::LANES <= row.len() {
        for (step, chain) in chains.iter_mut().enumerate() {
            *chain = s.add(*chain, of(s, s.at(row, i + step * S::LANES)));
        }
        i += 4 * S::LANES;
    }
    while i < row.len() {
        let term = of(s, s.at(row, i));
        chains[0] = s.add(chains[0], s.first(term, row.len() - i, zero));
        i += S::LANES;
    }
    s.sum(s.add(s.add(chains[0], chains[1]), s.add(chains[2], chains[3])))
}
