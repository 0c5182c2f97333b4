//! The published vocabulary beside the golden files, and files that are not as they should be.

use std::path::{Path, PathBuf};

use super::{Preprocessing, ProstT5Tokenizer};
use crate::error::ModelErrorKind;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/prostt5/tiny")
}

#[test]
fn texts_and_proteins_have_the_ids_of_the_library() {
    let read = |file: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(golden().join(file)).unwrap()).unwrap()
    };
    let (inputs, tokens) = (read("inputs.json"), read("tokens.json"));
    let from_files = ProstT5Tokenizer::from_directory(&golden(), Preprocessing::Standard).unwrap();
    let published = ProstT5Tokenizer::published(Preprocessing::Standard);
    for input in inputs.as_array().unwrap() {
        let name = input["name"].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(tokens[name].clone()).unwrap();
        for tokenizer in [&from_files, &published] {
            assert_eq!(
                tokenizer.encode_text(input["text"].as_str().unwrap()),
                ids,
                "{name}"
            );
            assert_eq!(tokenizer.len(), 150);
            if let Some(sequence) = input["sequence"].as_str() {
                let encoding = tokenizer.encode(sequence.as_bytes());
                assert_eq!(encoding.tokens, ids, "{name}");
                assert_eq!(encoding.unknown, None, "{name}");
            }
        }
    }
}

#[test]
fn modes_differ_in_rare_residues_and_in_the_end() {
    let ids = |mode, protein: &[u8]| ProstT5Tokenizer::published(mode).encode(protein).tokens;
    let (x, b, z, o) = (23, 24, 27, 25);
    let cases = [
        (Preprocessing::Standard, vec![149, x, x, x, x, x, x, 1]),
        (Preprocessing::GenomeEntropy, vec![149, x, x, x, x, z, o]),
        (Preprocessing::Phold, vec![149, x, x, x, b, x, x, 1]),
    ];
    for (mode, expected) in cases {
        assert_eq!(ids(mode, b"UZOBzo"), expected, "{mode}");
        assert_eq!(mode.name().parse::<Preprocessing>().unwrap(), mode);
    }
    let encoding = ProstT5Tokenizer::published(Preprocessing::Standard).encode(b"MJ*K");
    assert_eq!(encoding.tokens, [149, 19, 2, 2, 14, 1]);
    assert_eq!(encoding.unknown, Some((1, b'J')));
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = std::fs::read(golden().join("spiece.model")).unwrap();
    let read = |bytes: &[u8]| {
        std::fs::write(folder.path().join("spiece.model"), bytes).unwrap();
        ProstT5Tokenizer::from_directory(folder.path(), Preprocessing::Standard)
            .map_err(|error| error.kind())
    };
    for damaged in [&b""[..], &[0xff; 11]] {
        assert_eq!(read(damaged).err(), Some(ModelErrorKind::Malformed));
    }
    // The pieces alone, without the prefix of ProstT5, are those of ProtT5.
    assert_eq!(read(&model).unwrap().encode(b"MK").tokens, [19, 14, 1]);
    // Cut anywhere, there is an answer of some kind.
    for len in 0..model.len() {
        let _ = read(&model[..len]);
    }
}
