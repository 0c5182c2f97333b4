//! Vocabularies in all the files that people have them in, and files that are not as they should be.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sessile_models::tokenizer::{
    ByteLevelTokenizer, EsmTokenizer, Preprocessing, ProstT5Tokenizer,
};
use sessile_models::{Model, ModelErrorKind};
use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/{name}"))
}

/// A copy of some files of a golden model.
fn copy(name: &str, files: &[&str]) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    for file in files {
        fs::copy(golden(name).join(file), place.path().join(file)).unwrap();
    }
    place
}

fn write(place: &TempDir, file: &str, value: &Value) {
    fs::write(place.path().join(file), value.to_string()).unwrap();
}

fn read(place: &TempDir, file: &str) -> Value {
    serde_json::from_slice(&fs::read(place.path().join(file)).unwrap()).unwrap()
}

const BART: [&str; 4] = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer_config.json",
];

#[test]
fn bart_without_tokenizer_json_reads_its_vocabulary_and_merges() {
    let place = copy(
        "bart/tiny",
        &["vocab.json", "merges.txt", "tokenizer_config.json"],
    );
    let old = ByteLevelTokenizer::from_directory(place.path()).unwrap();
    let new = ByteLevelTokenizer::from_directory(&golden("bart/tiny")).unwrap();
    let texts = [
        "The committee did not.",
        "a <mask> b",
        "\n<s> </s>x <pad>",
        " Caf\u{e9}, 3.5 \u{2026}",
    ];
    for text in texts {
        assert_eq!(old.encode(text), new.encode(text), "{text}");
        assert_eq!(
            old.decode(&old.encode(text)),
            new.decode(&new.encode(text)),
            "{text}"
        );
    }
    // The class takes the space before the mask away.
    assert_eq!(old.encode("a <mask> b"), [0, 68, 619, 276, 2]);
}

#[test]
fn bart_takes_the_space_before_a_text_from_its_own_settings() {
    let place = copy("bart/tiny", &["tokenizer.json"]);
    let mut file = read(&place, "tokenizer.json");
    file["pre_tokenizer"]["add_prefix_space"] = json!(true);
    write(&place, "tokenizer.json", &file);
    let spaced: &[u32] = &[0, 224, 91, 224, 92, 2];
    let plain: &[u32] = &[0, 91, 224, 92, 2];
    let cases = [
        (json!({}), plain),
        (
            json!({ "tokenizer_class": "PreTrainedTokenizerFast" }),
            spaced,
        ),
        (json!({ "add_prefix_space": true }), spaced),
    ];
    for (config, ids) in cases {
        write(&place, "tokenizer_config.json", &config);
        let tokenizer = ByteLevelTokenizer::from_directory(place.path()).unwrap();
        assert_eq!(tokenizer.encode("x y"), ids, "{config}");
    }
}

#[test]
fn tokens_that_only_the_files_beside_name_are_cut_out() {
    let place = copy("bart/tiny", &["tokenizer.json"]);
    let token = |special: bool| json!({ "content": "<note>", "special": special });
    for (id, special, written) in [(620, true, "a b"), (620, false, "a <note> b")] {
        write(
            &place,
            "tokenizer_config.json",
            &json!({ "added_tokens_decoder": { (id.to_string()): token(special) } }),
        );
        let tokenizer = ByteLevelTokenizer::from_directory(place.path()).unwrap();
        let tokens = tokenizer.encode("a <note> b");
        assert!(tokens.contains(&620), "{tokens:?}");
        let text = tokenizer.decode(&tokens).replace("  ", " ");
        assert_eq!(text, written);
    }
    write(
        &place,
        "tokenizer_config.json",
        &json!({ "added_tokens_decoder": { "700": token(true) } }),
    );
    let error = ByteLevelTokenizer::from_directory(place.path()).unwrap_err();
    assert!(
        error.to_string().contains("`<note>` has the id 620"),
        "{error}"
    );
}

#[test]
fn ids_that_no_table_has_are_refused_by_their_number() {
    for id in [1_u64 << 31, u64::from(u32::MAX), 99_999_999, 1 << 40] {
        let place = copy("bart/tiny", &["tokenizer.json"]);
        let mut file = read(&place, "tokenizer.json");
        file["added_tokens"][4]["id"] = json!(id);
        write(&place, "tokenizer.json", &file);
        let error = ByteLevelTokenizer::from_directory(place.path()).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Malformed);
        assert!(error.to_string().contains(&id.to_string()), "{error}");

        let place = copy("prostt5/tiny", &["spiece.model", "added_tokens.json"]);
        let mut file = read(&place, "added_tokens.json");
        file["r"] = json!(id);
        write(&place, "added_tokens.json", &file);
        let error =
            ProstT5Tokenizer::from_directory(place.path(), Preprocessing::Standard).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Malformed);
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
}

#[test]
fn a_mask_beyond_the_table_matters_only_to_a_text_that_has_it() {
    let place = copy("bart/tiny", &BART);
    fs::copy(
        golden("bart/tiny/tokenizer.json"),
        place.path().join("tokenizer.json"),
    )
    .unwrap();
    let mut config = read(&place, "config.json");
    config["vocab_size"] = json!(619);
    write(&place, "config.json", &config);
    let files = Model::open(place.path()).unwrap();
    let tokens = files
        .text_tokenizer()
        .unwrap()
        .encode("The committee did not.");
    assert_eq!(files.beyond(&tokens), None);
    let reason = files
        .beyond(&files.text_tokenizer().unwrap().encode("a <mask> b"))
        .unwrap();
    assert!(
        reason.contains("`<mask>`") && reason.contains("619"),
        "{reason}"
    );

    // A word of usual text beyond it is another matter.
    config["vocab_size"] = json!(600);
    write(&place, "config.json", &config);
    let error = Model::open(place.path()).err().unwrap();
    assert_eq!(error.kind(), ModelErrorKind::Mismatch, "{error}");
}

#[test]
fn settings_with_a_token_beyond_the_table_are_a_fault_of_the_model() {
    for key in [
        "eos_token_id",
        "forced_bos_token_id",
        "decoder_start_token_id",
    ] {
        let place = copy("bart/tiny", &BART);
        fs::copy(
            golden("bart/tiny/tokenizer.json"),
            place.path().join("tokenizer.json"),
        )
        .unwrap();
        let mut settings = read(&place, "generation_config.json");
        settings[key] = json!(620);
        write(&place, "generation_config.json", &settings);
        let error = Model::open(place.path()).err().unwrap();
        assert_eq!(error.kind(), ModelErrorKind::Mismatch);
        assert!(error.to_string().contains(key), "{error}");
    }
}

/// `tokenizer.json` with the tokens of ESM-2 in the opposite order.
fn reversed() -> Value {
    let tokens = EsmTokenizer::default();
    let tokens = tokens.tokens().iter().rev().zip(0_u32..);
    let vocabulary: serde_json::Map<String, Value> = tokens
        .map(|(token, id)| (token.clone(), json!(id)))
        .collect();
    json!({
        "added_tokens": [{ "id": 0, "content": "<mask>" }],
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" },
    })
}

#[test]
fn esm_follows_the_vocabulary_of_its_directory() {
    let place = tempfile::tempdir().unwrap();
    write(&place, "tokenizer.json", &reversed());
    let tokenizer = EsmTokenizer::from_directory(place.path()).unwrap();
    assert_eq!(
        tokenizer.encode(b"MKV<mask>").tokens,
        [32, 12, 17, 25, 0, 30]
    );

    // Tokens beside vocab.txt are cut out, the longest first.
    let place = tempfile::tempdir().unwrap();
    let published = EsmTokenizer::default().tokens().join("\r\n");
    fs::write(place.path().join("vocab.txt"), published).unwrap();
    write(&place, "added_tokens.json", &json!({ "J": 33, "ACE": 34 }));
    let tokenizer = EsmTokenizer::from_directory(place.path()).unwrap();
    assert_eq!(
        tokenizer.encode(b"MACEJJK").tokens,
        [0, 20, 34, 33, 33, 15, 2]
    );

    // What transformers would mix is refused.
    write(&place, "tokenizer.json", &reversed());
    let error = EsmTokenizer::from_directory(place.path()).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Mismatch, "{error}");
}

#[test]
fn esm_refuses_a_pipeline_that_is_not_its_own() {
    let cases = [
        ("normalizer", json!({ "type": "Lowercase" }), "Lowercase"),
        ("pre_tokenizer", json!({ "type": "ByteLevel" }), "ByteLevel"),
        (
            "post_processor",
            json!({ "type": "BertProcessing", "cls": ["<cls>", 32], "sep": ["<pad>", 31] }),
            "post-processor",
        ),
    ];
    for (key, part, named) in cases {
        let place = tempfile::tempdir().unwrap();
        let mut file = reversed();
        file[key] = part;
        write(&place, "tokenizer.json", &file);
        let error = EsmTokenizer::from_directory(place.path()).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Unsupported);
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn a_class_that_reads_otherwise_is_refused_by_its_name() {
    for (model, class) in [
        ("esm2/tiny_a", "BertTokenizer"),
        ("prostt5/tiny", "ByT5Tokenizer"),
        ("bart/tiny", "MBartTokenizer"),
    ] {
        let place = copy(model, &["config.json"]);
        for file in ["vocab.txt", "tokenizer.json"] {
            let from = golden(model).join(file);
            if from.exists() {
                fs::copy(from, place.path().join(file)).unwrap();
            }
        }
        let open = || match model {
            "esm2/tiny_a" => EsmTokenizer::from_directory(place.path()).map(drop),
            "bart/tiny" => ByteLevelTokenizer::from_directory(place.path()).map(drop),
            _ => ProstT5Tokenizer::from_directory(place.path(), Preprocessing::Standard).map(drop),
        };
        open().unwrap_or_else(|error| panic!("{model}: {error}"));
        write(
            &place,
            "tokenizer_config.json",
            &json!({ "tokenizer_class": class }),
        );
        let error = open().unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(class), "{error}");
    }
}

/// The vocabulary of a T5 whose pieces are letters without the space before them.
fn letters() -> Value {
    let mut pieces = vec![
        json!(["<pad>", 0.0]),
        json!(["</s>", 0.0]),
        json!(["<unk>", 0.0]),
    ];
    pieces.extend(
        "OBZUXCWYHMQFNTPDKIESRVGLA\u{2581}"
            .chars()
            .zip(0..)
            .map(|(letter, order)| json!([letter, -7.0 - f64::from(order) / 100.0])),
    );
    let ends = json!({ "</s>": { "id": "</s>", "ids": [1], "tokens": ["</s>"] } });
    json!({
        "added_tokens": [
            { "id": 1, "content": "</s>" },
            { "id": 29, "content": "<fold2AA>", "special": false },
            { "id": 30, "content": "<AA2fold>", "special": false },
        ],
        "normalizer": { "type": "Sequence", "normalizers": [{ "type": "Precompiled" }] },
        "pre_tokenizer": { "type": "Metaspace", "replacement": "\u{2581}", "split": true },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "Sequence": { "id": "A" } }, { "SpecialToken": { "id": "</s>" } }],
            "special_tokens": ends,
        },
        "model": { "type": "Unigram", "unk_id": 2, "vocab": pieces },
    })
}

#[test]
fn t5_reads_its_tokenizer_json() {
    let place = tempfile::tempdir().unwrap();
    write(&place, "tokenizer.json", &letters());
    let read = || ProstT5Tokenizer::from_directory(place.path(), Preprocessing::Standard);
    let tokenizer = read().unwrap();
    // transformers: the space is a piece of its own here.
    assert_eq!(tokenizer.encode(b"MK").tokens, [30, 28, 12, 28, 19, 1]);
    assert_eq!(
        tokenizer.encode_text("<AA2fold> M K"),
        [30, 28, 12, 28, 19, 1]
    );
    assert_eq!(tokenizer.encode(b"M*").unknown, Some((1, b'*')));
    let error = tokenizer.check_residues(place.path()).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Unsupported);

    for (key, part, named) in [
        ("normalizer", json!({ "type": "Lowercase" }), "Lowercase"),
        (
            "pre_tokenizer",
            json!({ "type": "Whitespace" }),
            "Whitespace",
        ),
        ("post_processor", Value::Null, "post-processor"),
    ] {
        let mut file = letters();
        file[key] = part;
        write(&place, "tokenizer.json", &file);
        let error = read().unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Unsupported);
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn t5_with_settings_of_a_tokenizer_but_no_vocabulary_is_refused() {
    let place = tempfile::tempdir().unwrap();
    write(
        &place,
        "tokenizer_config.json",
        &json!({ "tokenizer_class": "T5Tokenizer" }),
    );
    let error =
        ProstT5Tokenizer::from_directory(place.path(), Preprocessing::Standard).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::NotFound);
    assert!(error.to_string().contains("spiece.model"), "{error}");
}

/// Neither waits for a writer nor reads without an end.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused() {
    use std::os::unix::fs::symlink;
    let files = [
        "vocab.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "added_tokens.json",
    ];
    for file in files {
        let place = tempfile::tempdir().unwrap();
        symlink("/dev/zero", place.path().join(file)).unwrap();
        let error = EsmTokenizer::from_directory(place.path()).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Unreadable, "{error}");
        let pipe = place.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        fs::rename(&pipe, place.path().join(file)).unwrap();
        let error = EsmTokenizer::from_directory(place.path()).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Unreadable, "{error}");
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn every_file_of_a_tokenizer_changes_the_hash_of_the_files() {
    let files = ["config.json", "model.safetensors", "vocab.txt"];
    let place = copy("esm2/tiny_a", &files);
    let hash = || Model::open(place.path()).unwrap().files_hash().to_owned();
    let mut seen = vec![hash()];
    let vocabulary = fs::read_to_string(place.path().join("vocab.txt")).unwrap();
    let swapped = vocabulary.replace("L\nA\n", "A\nL\n");
    assert_ne!(vocabulary, swapped);
    fs::write(place.path().join("vocab.txt"), swapped).unwrap();
    seen.push(hash());
    for file in [
        "special_tokens_map.json",
        "added_tokens.json",
        "tokenizer_config.json",
        "generation_config.json",
    ] {
        write(&place, file, &json!({}));
        seen.push(hash());
    }
    let different: std::collections::HashSet<_> = seen.iter().collect();
    assert_eq!(different.len(), seen.len());
}
