use std::fs;

use super::*;

const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/golden/families/bert_protein"
);

/// A folder with this vocabulary.
fn folder(vocabulary: &str, config: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("vocab.txt"), vocabulary).unwrap();
    if let Some(config) = config {
        fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    }
    folder
}

fn letters(folder: &Path) -> LetterTokenizer {
    match of_bert(folder, Preprocessing::Standard).unwrap() {
        Tokenizer::Letters(tokenizer) => (*tokenizer).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn residues_stand_between_their_ends() {
    let tokenizer = letters(Path::new(GOLDEN));
    assert_eq!(tokenizer.special_tokens(), (1, 1));
    assert_eq!(tokenizer.mask(), Some(4));
    let encoding = tokenizer.encode(b"mk[MASK]U*");
    // U becomes X, `*` is in no vocabulary.
    assert_eq!(encoding.tokens, [2, 21, 12, 4, 25, 1, 3]);
    assert_eq!(encoding.unknown, Some((9, b'*')));
}

#[test]
fn a_vocabulary_without_x_keeps_the_letter_unknown() {
    let words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    let residues: String = "ACDEFGHIKLMNPQRSTVWY"
        .chars()
        .map(|residue| format!("{residue}\n"))
        .collect();
    let folder = folder(&format!("{words}{residues}"), None);
    let encoding = letters(folder.path()).encode(b"AUX");
    assert_eq!(encoding.tokens, [2, 5, 1, 1, 3]);
    assert_eq!(encoding.unknown, Some((1, b'U')));
}

#[test]
fn files_that_would_be_read_otherwise_are_refused() {
    let words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##s\n";
    let cases = [
        (r#"{"tokenizer_class": "RoFormerTokenizer"}"#, words),
        (r#"{"do_lower_case": true}"#, "[UNK]\n[CLS]\n[SEP]\nA\nC\n"),
        (r#"{"cls_token": "[START]"}"#, words),
    ];
    for (config, words) in cases {
        let folder = folder(words, Some(config));
        let error = of_bert(folder.path(), Preprocessing::Standard).unwrap_err();
        assert!(!error.to_string().is_empty(), "{config}");
    }
    let missing = tempfile::tempdir().unwrap();
    assert!(of_bert(missing.path(), Preprocessing::Standard).is_err());
}
