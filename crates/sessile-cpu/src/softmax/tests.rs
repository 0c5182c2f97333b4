//! The logarithm of softmax against its scalar twin.

use super::*;
use crate::scalar;
use crate::tests::{isas, values};

#[test]
fn log_softmax_is_that_of_the_twin() {
    for cols in [1, 2, 15, 16, 17, 33, 64, 1000] {
        for scale in [1.0, 30.0] {
            let rows = 40;
            let mut x = values(cols as u64, rows * cols);
            x.iter_mut().for_each(|x| *x *= scale);
            let x = Rows::new(&x, rows, cols, cols);
            let columns: Vec<u32> = (0..rows).map(|row| (row * 7 % cols) as u32).collect();
            for isa in isas() {
                let mut out = vec![f32::NAN; rows];
                let to = RowsMut::new(&mut out, rows, 1, 1);
                log_softmax_at(isa, &mut Team::new(2).unwrap(), x, &columns, to);
                for (row, &computed) in out.iter().enumerate() {
                    let expected = scalar::log_softmax_at(x.row(row), columns[row] as usize);
                    let bound = 1e-6 + 5e-7 * expected.abs();
                    assert!(
                        (computed - expected).abs() <= bound,
                        "{isa}: {computed}, not {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn log_sum_exp_is_what_log_softmax_leaves() {
    for cols in [1, 15, 16, 17, 33, 1000] {
        let rows = 5;
        let x = values(cols as u64, rows * cols);
        let x = Rows::new(&x, rows, cols, cols);
        for isa in isas() {
            let mut out = vec![f32::NAN; rows];
            let to = RowsMut::new(&mut out, rows, 1, 1);
            log_sum_exp(isa, &mut Team::new(2).unwrap(), x, to);
            for (row, &computed) in out.iter().enumerate() {
                let expected = x.row(row)[0] - scalar::log_softmax_at(x.row(row), 0);
                assert!(
                    (computed - expected).abs() <= 2e-6,
                    "{isa} {computed} {expected}"
                );
            }
        }
    }
}
