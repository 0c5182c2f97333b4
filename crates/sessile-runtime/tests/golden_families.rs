//! The families without a suite of their own against the reference outputs, on every instruction set
//! of this machine.

use crate::golden::families::{MODELS, in_16_bits, in_f32};
use crate::golden::run::places;

#[test]
fn every_family_in_f32() {
    for place in places() {
        MODELS.iter().for_each(|model| in_f32(model, &place));
    }
}

#[test]
fn every_family_in_16_bits() {
    for place in places() {
        for &dtype in place.formats_of_16_bits() {
            for model in MODELS {
                in_16_bits(model, &place, dtype);
            }
        }
    }
}
