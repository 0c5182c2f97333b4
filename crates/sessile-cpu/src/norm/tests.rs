//! Norms against their scalar twins.

use super::*;
use crate::scalar;
use crate::tests::{isas, values};

/// Applies a norm to rows in place and from elsewhere, on one thread and on three.
fn check(cols: usize, offset: f32, spec: Norm<'_>, twin: impl Fn(&mut [f32])) {
    let rows = 70;
    let mut x = values(cols as u64, rows * cols);
    x.iter_mut().for_each(|x| *x += offset);
    let mut expected = x.clone();
    expected.chunks_mut(cols).for_each(twin);
    for isa in isas() {
        let mut apart = vec![f32::NAN; rows * cols];
        let from = Rows::new(&x, rows, cols, cols);
        let to = RowsMut::new(&mut apart, rows, cols, cols);
        norm(isa, &mut Team::new(3).unwrap(), Some(from), spec, to);
        let mut in_place = x.clone();
        let to = RowsMut::new(&mut in_place, rows, cols, cols);
        norm(isa, &mut Team::new(1).unwrap(), None, spec, to);
        assert!(apart == in_place, "{isa} {cols}");
        let rows = x.chunks(cols).zip(expected.chunks(cols));
        for ((x, expected), computed) in rows.zip(apart.chunks(cols)) {
            let top = expected.iter().fold(1.0, |top: f32, x| top.max(x.abs()));
            let bound = 1e-6 * top * (1.0 + condition(x));
            for (a, b) in computed.iter().zip(expected) {
                assert!((a - b).abs() <= bound, "{isa} {cols}: {a}, not {b}");
            }
        }
    }
}

/// The mean over the deviation: what taking the mean away does to rounding errors.
fn condition(row: &[f32]) -> f32 {
    let mean = row.iter().sum::<f32>() / row.len() as f32;
    let square: f32 = row.iter().map(|x| (x - mean).powi(2)).sum();
    mean.abs() / (square / row.len() as f32 + 1e-5).sqrt()
}

#[test]
fn norms_are_those_of_the_twins() {
    for cols in [1, 2, 7, 15, 16, 17, 31, 33, 63, 64, 65, 320, 1280, 1283] {
        let (gain, shift) = (values(1, cols), values(2, cols));
        for offset in [0.0, 3.0] {
            for shift in [None, Some(&shift[..])] {
                let gain = &gain[..];
                // A single value has no variance: what is left is rounding over epsilon.
                let epsilon = if cols == 1 { 1.0 } else { 1e-5 };
                let spec = Norm::Layer {
                    gain,
                    shift,
                    epsilon,
                };
                check(cols, offset, spec, |row| {
                    scalar::layer_norm(row, gain, shift, epsilon);
                });
            }
            let gain = &gain[..];
            let epsilon = 1e-6;
            check(cols, offset, Norm::Rms { gain, epsilon }, |row| {
                scalar::rms_norm(row, gain, epsilon);
            });
        }
    }
}
