//! A sequence's answer is the same to the byte, whatever is computed beside it: the cases, and the
//! check of one device.

use sessile_cpu::Isa;
use sessile_device::{DType, Output, OutputKind, OutputSet};
use sessile_models::Model;

use super::run::{Place, answers, values};
use super::{assert_aligned, assert_close, path};

/// A model, its letters and what is asked of it.
pub struct Case {
    pub model: &'static str,
    pub letters: &'static [u8],
    pub outputs: &'static [OutputKind],
}

const RESIDUES: &[u8] = b"LAGVSERTIDPKQNFYMHWC";

pub const CASES: [Case; 7] = [
    Case {
        model: "esm2/tiny_b",
        letters: RESIDUES,
        outputs: &[
            OutputKind::Mean,
            OutputKind::MeanAll,
            OutputKind::Cls,
            OutputKind::PerResidue,
            OutputKind::Logits,
        ],
    },
    Case {
        model: "dnabert_s/tiny_a",
        letters: b"ACGT",
        outputs: &[
            OutputKind::MeanAll,
            OutputKind::PerResidue,
            OutputKind::Pooler,
        ],
    },
    Case {
        model: "prostt5/tiny",
        letters: RESIDUES,
        outputs: &[
            OutputKind::Mean,
            OutputKind::PerResidue,
            OutputKind::ThreeDi,
        ],
    },
    Case {
        model: "modernbert/tc20",
        letters: RESIDUES,
        outputs: &[
            OutputKind::Mean,
            OutputKind::PerResidue,
            OutputKind::ThreeDi,
        ],
    },
    Case {
        model: "families/bert_protein",
        letters: RESIDUES,
        outputs: &[OutputKind::Mean, OutputKind::Logits, OutputKind::Pooler],
    },
    Case {
        model: "families/esmc",
        letters: RESIDUES,
        outputs: &[OutputKind::Mean, OutputKind::PerResidue, OutputKind::Logits],
    },
    Case {
        model: "families/ankh",
        letters: RESIDUES,
        outputs: &[OutputKind::Mean, OutputKind::PerResidue],
    },
];

/// Random sequences of given lengths.
pub fn sequences(letters: &[u8], lengths: &[usize]) -> Vec<String> {
    let mut state = 7_u64;
    lengths
        .iter()
        .map(|&length| {
            (0..length)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    char::from(letters[(state >> 33) as usize % letters.len()])
                })
                .collect()
        })
        .collect()
}

/// Compares the bytes of sequences of all `lengths` in batches of all kinds: together, in small
/// batches, among others, alone.
pub fn check(case: &Case, place: &Place, dtype: DType, lengths: &[usize]) {
    let files = Model::open(&path(case.model)).unwrap();
    let outputs: OutputSet = case.outputs.iter().copied().collect();
    let request = |text: &String| {
        let tokens = files.tokenizer().encode(text.as_bytes()).tokens;
        (tokens, outputs)
    };
    let bytes = |budget: usize, requests: &[(Vec<u32>, OutputSet)]| -> Vec<Vec<u32>> {
        answers(place, &files, dtype, budget, requests)
            .iter()
            .map(|output| bits(case, output))
            .collect()
    };
    let requests: Vec<_> = sequences(case.letters, lengths)
        .iter()
        .map(request)
        .collect();
    let expected = bytes(65_536, &requests);
    assert!(expected.iter().all(|answer| !answer.is_empty()));
    // Others before and behind each, in batches that are cut elsewhere.
    let others: Vec<_> = sequences(case.letters, &vec![19; lengths.len() + 1])
        .iter()
        .map(request)
        .collect();
    let mixed: Vec<_> = others
        .iter()
        .zip(requests.iter().rev())
        .flat_map(|(other, request)| [other.clone(), request.clone()])
        .collect();
    let among = bytes(1024, &mixed).into_iter().skip(1).step_by(2).rev();
    let runs = [
        ("a budget of 64 tokens", bytes(64, &requests)),
        ("others and a budget of 1024 tokens", among.collect()),
    ];
    for (what, found) in &runs {
        for ((expected, found), length) in expected.iter().zip(found).zip(lengths) {
            let same = expected == found;
            assert!(same, "{} in {dtype}, {length} letters: {what}", case.model);
        }
    }
    let last = requests.len() - 1;
    let alone = bytes(65_536, &requests[last..]);
    assert!(
        alone[0] == expected[last],
        "{} in {dtype}: alone",
        case.model
    );
}

/// Compares the bytes of passes that come again, over as many tokens in as many sequences that are
/// cut elsewhere: what is recorded of a pass must not be its sequences.
pub fn check_again(case: &Case, place: &Place, dtype: DType) {
    let files = Model::open(&path(case.model)).unwrap();
    let outputs: OutputSet = case.outputs.iter().copied().collect();
    let text = &sequences(case.letters, &[600])[0];
    let tokens = files.tokenizer().encode(text.as_bytes()).tokens;
    let firsts = [3, 27, 15, 4, 20, 11];
    let requests: Vec<_> = firsts
        .iter()
        .enumerate()
        .flat_map(|(round, first)| {
            let (one, other) = tokens[10 * round..][..30].split_at(*first);
            [one, other].map(|tokens| (tokens.to_vec(), outputs))
        })
        .collect();
    let bits = |budget: usize| -> Vec<Vec<u32>> {
        answers(place, &files, dtype, budget, &requests)
            .iter()
            .map(|output| bits(case, output))
            .collect()
    };
    assert!(bits(30) == bits(65_536), "{} in {dtype}", case.model);
}

/// Every value of an answer.
fn bits(case: &Case, output: &Output) -> Vec<u32> {
    assert_eq!(output.parts().len(), case.outputs.len());
    let parts = output.parts().iter();
    parts
        .flat_map(|(_, tensor)| tensor.data.iter().map(|value| value.to_bits()))
        .collect()
}

/// Compares a sequence that is longer than any of the reference's with the processor's answer in f32.
pub fn check_long(case: &Case, place: &Place, dtype: DType, letters: usize) {
    let files = Model::open(&path(case.model)).unwrap();
    let outputs: OutputSet = case.outputs.iter().copied().collect();
    let text = &sequences(case.letters, &[letters])[0];
    let tokens = files.tokenizer().encode(text.as_bytes()).tokens;
    let requests = [(tokens, outputs)];
    let processor = Isa::detect().unwrap().into();
    let expected = answers(&processor, &files, DType::F32, 65_536, &requests);
    let found = answers(place, &files, dtype, 65_536, &requests);
    for (kind, expected) in expected[0].parts() {
        let name = format!("{} {kind:?} of {letters} letters in {dtype}", case.model);
        let found = values(&found[0], *kind);
        match dtype {
            DType::F32 => assert_close(&name, &expected.data, found),
            _ => assert_aligned(&name, &expected.data, found, 0.999),
        }
    }
}
