//! Pooled vectors against plain sums.

use super::*;
use crate::tests::{isas, values};

#[test]
fn means_leave_out_what_they_should() {
    let offsets = [0u32, 1, 1, 4, 40, 42];
    for cols in [1, 15, 16, 17, 33] {
        let x = values(cols as u64, 42 * cols);
        let x = Rows::new(&x, 42, cols, cols);
        for (pooling, first, last) in [
            (Pooling::First, 0, 0),
            (mean(0, 0), 0, 0),
            (mean(1, 1), 1, 1),
            (mean(1, 0), 1, 0),
            (mean(usize::MAX, usize::MAX), 99, 99),
        ] {
            for isa in isas() {
                let mut out = vec![f32::NAN; 5 * cols];
                let to = RowsMut::new(&mut out, 5, cols, cols);
                pool(isa, &mut Team::new(2).unwrap(), x, &offsets, pooling, to);
                for (sequence, pair) in offsets.windows(2).enumerate() {
                    let all: Vec<usize> = (pair[0] as usize..pair[1] as usize).collect();
                    let kept = match pooling {
                        Pooling::First => all.first().map_or(&[][..], std::slice::from_ref),
                        Pooling::Mean { .. } if first + last >= all.len() => &[],
                        Pooling::Mean { .. } => &all[first..all.len() - last],
                    };
                    for col in 0..cols {
                        let sum: f64 = kept.iter().map(|&row| f64::from(x.row(row)[col])).sum();
                        let expected = sum / kept.len().max(1) as f64;
                        let computed = f64::from(out[sequence * cols + col]);
                        assert!(
                            (computed - expected).abs() < 2e-6,
                            "{isa} {pooling:?} {sequence}"
                        );
                    }
                }
            }
        }
    }
}

fn mean(skip_first: usize, skip_last: usize) -> Pooling {
    Pooling::Mean {
        skip_first,
        skip_last,
    }
}
