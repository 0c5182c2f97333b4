//! Contact maps against their scalar twins.

use super::*;
use crate::scalar;
use crate::tests::{isas, values};

#[test]
fn shares_of_heads_are_those_of_the_twin() {
    for len in [0, 1, 2, 15, 17, 64, 65, 130] {
        let side = len + 2;
        let mut map = values(len as u64, side * side);
        map.iter_mut().for_each(|x| *x = x.abs() / side as f32);
        let map = Rows::new(&map, side, side, side);
        let before = values(4, len * len);
        let mut expected = before.clone();
        scalar::add_contacts(map, 0.7, RowsMut::new(&mut expected, len, len, len));
        for isa in isas() {
            let (mut sum, mut margins) = (before.clone(), vec![0.0; len]);
            let to = RowsMut::new(&mut sum, len, len, len);
            add_contacts(isa, map, 0.7, &mut margins, to);
            for (a, b) in sum.iter().zip(&expected) {
                assert!((a - b).abs() <= 3e-7, "{isa} {len}: {a}, not {b}");
            }
        }
    }
}

#[test]
fn chances_are_those_of_the_twin() {
    for cols in [1, 15, 16, 33] {
        let before: Vec<f32> = values(cols as u64, 3 * cols)
            .iter()
            .map(|x| x * 20.0)
            .collect();
        for isa in isas() {
            let mut x = before.clone();
            sigmoid(isa, RowsMut::new(&mut x, 3, cols, cols), -1.5);
            for (&computed, &before) in x.iter().zip(&before) {
                let expected = scalar::sigmoid(before - 1.5);
                assert!(
                    (computed / expected - 1.0).abs() < 2e-6,
                    "{isa}: {computed}, not {expected}"
                );
            }
        }
    }
}
