//! ESM-2 against the reference outputs, on every instruction set of this machine.

use crate::golden::run::{BUDGET, answers, places, values};
use crate::golden::{Expected, esm2, sequences};
use sessile_cpu::Isa;
use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::Model;

#[test]
fn tiny_a_in_f32() {
    places().for_each(|place| esm2::in_f32("esm2/tiny_a", &place));
}

#[test]
fn tiny_b_in_f32() {
    places().for_each(|place| esm2::in_f32("esm2/tiny_b", &place));
}

#[test]
fn both_in_16_bits() {
    for place in places() {
        for &dtype in place.formats_of_16_bits() {
            for model in esm2::MODELS {
                esm2::in_16_bits(model, &place, dtype);
            }
        }
    }
}

/// The same model in other file formats; the references are those of the rounded weights.
#[test]
fn every_file_format_of_tiny_a() {
    let cases = [
        ("variant_f16", "esm2/tiny_a/variant_f16"),
        ("variant_bf16", "esm2/tiny_a/variant_bf16"),
        ("variant_bin", "esm2/tiny_a"),
        ("variant_sharded", "esm2/tiny_a"),
        ("fair_esm/esm2_t3_tiny.pt", "esm2/tiny_a"),
    ];
    let sequences = sequences("esm2/tiny_a");
    for (variant, reference) in cases {
        let files = Model::open(&crate::golden::path(&format!("esm2/tiny_a/{variant}"))).unwrap();
        let expected = Expected::open(&format!("{reference}/expected.safetensors"));
        let pooled: OutputSet = [OutputKind::Mean, OutputKind::MeanAll]
            .into_iter()
            .collect();
        let requests: Vec<_> = sequences
            .iter()
            .map(|sequence| {
                let tokens = files.tokenizer().encode(sequence.text.as_bytes()).tokens;
                let contacts = expected.has(&format!("{}.contacts", sequence.name));
                (
                    tokens,
                    if contacts {
                        pooled.with(OutputKind::Contacts)
                    } else {
                        pooled
                    },
                )
            })
            .collect();
        let place = Isa::detect().unwrap().into();
        let answers = answers(&place, &files, DType::F32, BUDGET, &requests);
        for (sequence, output) in sequences.iter().zip(&answers) {
            let name = |what: &str| format!("{}.{what}", sequence.name);
            expected.assert_close(&name("mean_residues"), values(output, OutputKind::Mean));
            expected.assert_close(
                &name("mean_all_tokens"),
                values(output, OutputKind::MeanAll),
            );
            if let Some(contacts) = output.get(OutputKind::Contacts) {
                expected.assert_close(&name("contacts"), &contacts.data);
            }
        }
    }
}
