//! ProstT5's encoder and 3Di head against the reference outputs, on every instruction set of this
//! machine.

use crate::golden::prostt5::{HEADS, MODEL, in_16_bits, in_f32, open};
use crate::golden::run::{BUDGET, answers, places, values};
use crate::golden::{Expected, sequences};
use sessile_cpu::Isa;
use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::Model;

#[test]
fn encoder_and_head_in_f32() {
    places().for_each(|place| in_f32(&place, HEADS[2]));
}

#[test]
fn every_form_of_the_head() {
    HEADS[..2]
        .iter()
        .for_each(|head| in_f32(&Isa::detect().unwrap().into(), head));
}

#[test]
fn encoder_and_head_in_16_bits() {
    for place in places() {
        for &dtype in place.formats_of_16_bits() {
            in_16_bits(&place, dtype);
        }
    }
}

#[test]
fn the_head_beside_the_model_is_found() {
    let files = Model::open(&crate::golden::path(MODEL)).unwrap();
    assert!(files.head().is_some());
    let alone = Model::open(&crate::golden::path(&format!(
        "{MODEL}/variant_encoder_f16"
    )))
    .unwrap();
    assert!(alone.head().is_none());
    let hash = |files: &Model| files.content_hash().unwrap();
    // The same tensors in another form have the same hash.
    assert_eq!(hash(&files), hash(&open(MODEL, HEADS[0])));
}

#[test]
fn an_encoder_alone_in_f16() {
    let model = format!("{MODEL}/variant_encoder_f16");
    let files = open(&model, HEADS[0]);
    let expected = Expected::open(&format!("{model}/expected.safetensors"));
    let mean = OutputSet::default().with(OutputKind::Mean);
    // The vocabulary is the published one: this folder has no tokenizer.
    let requests: Vec<_> = sequences(MODEL)
        .iter()
        .map(|sequence| {
            let encoding = files.tokenizer().encode(sequence.text.as_bytes());
            (encoding.tokens, mean)
        })
        .collect();
    let place = Isa::detect().unwrap().into();
    let answers = answers(&place, &files, DType::F32, BUDGET, &requests);
    for (sequence, output) in sequences(MODEL).iter().zip(&answers) {
        let name = format!("{}.mean_residues", sequence.name);
        expected.assert_close(&name, values(output, OutputKind::Mean));
    }
}
