//! The fast merging beside the definition, and the cutting of words.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::BpeTokenizer;
use super::merge::{Merge, Merges, Room};
use crate::error::ModelErrorKind;

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden/dnabert_s")
        .join(file)
}

/// The definition: the first pair by the order of merges, leftmost first, until there is none.
fn by_definition(merges: &[Merge], word: &[u32]) -> Vec<u32> {
    let mut word = word.to_vec();
    loop {
        let first = word.windows(2).enumerate().filter_map(|(at, pair)| {
            let rank = merges
                .iter()
                .rposition(|merge| [merge.left, merge.right] == pair)?;
            Some((rank, at))
        });
        let Some((rank, at)) = first.min() else {
            return word;
        };
        word[at] = merges[rank].into;
        word.remove(at + 1);
    }
}

fn merged(merges: &Merges, word: &[u32]) -> Vec<u32> {
    let (mut room, mut out) = (Room::default(), Vec::new());
    // Twice, for what the first word leaves behind.
    for _ in 0..2 {
        out.clear();
        word.iter().for_each(|&id| room.push(id));
        merges.finish(&mut room, &mut out);
    }
    out
}

/// Merges as they are learned: of tokens that exist already. New tokens count on from 4.
fn learned() -> impl Strategy<Value = Vec<Merge>> {
    prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        0..30,
    )
    .prop_map(|pairs| {
        let mut merges: Vec<Merge> = Vec::new();
        for (left, right) in pairs {
            let known = 4 + merges.len();
            let (left, right) = (left.index(known) as u32, right.index(known) as u32);
            if !merges
                .iter()
                .any(|merge| (merge.left, merge.right) == (left, right))
            {
                let into = known as u32;
                merges.push(Merge { left, right, into });
            }
        }
        merges
    })
}

proptest! {
    #[test]
    fn learned_merges_are_done_as_defined(
        merges in learned(),
        word in prop::collection::vec(0_u32..4, 0..60),
    ) {
        prop_assert_eq!(merged(&Merges::new(merges.clone()), &word), by_definition(&merges, &word));
    }

    /// In any other order a merge may make a pair that should have been merged earlier.
    #[test]
    fn shuffled_merges_are_done_as_defined(
        merges in learned().prop_shuffle(),
        word in prop::collection::vec(0_u32..4, 0..60),
    ) {
        prop_assert_eq!(merged(&Merges::new(merges.clone()), &word), by_definition(&merges, &word));
    }
}

#[test]
fn words_are_cut_as_the_library_cuts_them() {
    let tokenizer = BpeTokenizer::from_file(&golden("tiny_a/tokenizer.json")).unwrap();
    let cases: [(&[u8], &[u32]); 9] = [
        (b"", &[1, 2]),
        (b" \t\n", &[1, 2]),
        (b"GA", &[1, 10, 2]),
        // Two words.
        (b"G A", &[1, 7, 5, 2]),
        // An unknown letter each; the word goes on.
        (b"GNNA", &[1, 7, 0, 0, 5, 2]),
        (b"G-A", &[1, 7, 0, 5, 2]),
        // A special token in the text is that token.
        (b"G[MASK]A", &[1, 7, 4, 5, 2]),
        ("G\u{3b1}A".as_bytes(), &[1, 7, 0, 5, 2]),
        // No UTF-8.
        (b"G\xff\xceA", &[1, 7, 0, 0, 5, 2]),
    ];
    for (text, ids) in cases {
        assert_eq!(tokenizer.encode(text).tokens, ids, "{text:?}");
    }
    assert_eq!(tokenizer.encode(b"GA-A").unknown, Some((2, b'-')));
    // An ambiguous nucleotide is nothing to complain about.
    assert_eq!(tokenizer.encode(b"GANA").unknown, None);
    assert_eq!(tokenizer.mask(), Some(4));
    assert_eq!(tokenizer.special_tokens(), (1, 1));
}

#[test]
fn what_would_give_other_ids_is_refused() {
    let text = std::fs::read_to_string(golden("tiny_b/tokenizer.json")).unwrap();
    let cases = [
        (
            "\"dropout\": null",
            "\"dropout\": 0.1",
            ModelErrorKind::Unsupported,
        ),
        (
            "\"byte_fallback\": false",
            "\"byte_fallback\": true",
            ModelErrorKind::Unsupported,
        ),
        (
            "\"normalizer\": null",
            "\"normalizer\": {\"type\": \"NFC\"}",
            ModelErrorKind::Unsupported,
        ),
        (
            "\"type\": \"Whitespace\"",
            "\"type\": \"ByteLevel\"",
            ModelErrorKind::Unsupported,
        ),
        (
            "\"type\": \"BPE\"",
            "\"type\": \"Unigram\"",
            ModelErrorKind::Unsupported,
        ),
        ("\"A\": 5", "\"A\": -5", ModelErrorKind::Malformed),
        (
            "\"unk_token\": \"[UNK]\"",
            "\"unk_token\": \"?\"",
            ModelErrorKind::Malformed,
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    for (old, new, kind) in cases {
        assert!(text.contains(old), "{old}");
        std::fs::write(&path, text.replacen(old, new, 1)).unwrap();
        let error = BpeTokenizer::from_file(&path).unwrap_err();
        assert_eq!(error.kind(), kind, "{new}: {error}");
    }
}

#[test]
fn rna_is_read_as_dna() {
    for name in ["tiny_a", "tiny_b"] {
        let file = golden(&format!("{name}/tokenizer.json"));
        let tokenizer = BpeTokenizer::from_file(&file).unwrap();
        let dna = tokenizer.encode(b"ACGTACGTTTGATTACA");
        let rna = tokenizer.encode(b"ACGUACGUUUGAUUACA");
        assert_eq!(rna.tokens, dna.tokens, "{name}");
        let unknown = tokenizer.encode(b"ACGNACGNNNGANNACA");
        assert_ne!(unknown.tokens, dna.tokens, "{name}");
    }
}
