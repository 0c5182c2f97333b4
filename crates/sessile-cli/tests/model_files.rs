//! The files beside the weights: settings, tokenizers, and what a run that is resumed has of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::running::proteins;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/{name}"))
}

/// A copy of the files of a golden model that belong to it.
fn copy(name: &str, files: &[&str]) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    for file in files {
        fs::copy(golden(name).join(file), place.path().join(file)).unwrap();
    }
    place
}

const BART: [&str; 4] = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
];

fn summarize(model: &TempDir, text: &str, flags: &[&str]) -> Output {
    let input = model.path().join("article.txt");
    fs::write(&input, text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_sessile"))
        .args(["summarize", "--output", "-", "--quiet", "--dtype", "f32"])
        .args(["--max-length", "20", "--min-length", "5", "--with-ids"])
        .arg("--model")
        .arg(model.path())
        .arg("--input")
        .arg(&input)
        .args(flags)
        .output()
        .unwrap()
}

#[test]
fn a_model_with_a_setting_that_cannot_be_is_bad_input() {
    for (key, value) in [
        ("eos_token_id", json!(99_999)),
        ("forced_bos_token_id", json!(4_294_967_296_u64)),
        ("decoder_start_token_id", json!(620)),
        ("num_beams", json!(0)),
        ("num_beam_groups", json!(2)),
        ("stop_strings", json!(["."])),
    ] {
        let model = copy("bart/tiny", &BART);
        let path = model.path().join("generation_config.json");
        let mut settings: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        settings[key] = value;
        fs::write(&path, settings.to_string()).unwrap();
        let run = summarize(&model, "The committee did not.", &[]);
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(4), "{key}: {said}");
        assert!(said.contains(key), "{said}");
    }
}

/// bart-large-cnn: the vocabulary has `<mask>` behind the last row of the table.
#[test]
fn a_mask_beyond_the_table_fails_only_the_article_that_has_it() {
    let model = copy("bart/tiny", &BART);
    // The table keeps its rows: what is beyond is named by the vocabulary.
    let path = model.path().join("tokenizer.json");
    let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    file["added_tokens"][4]["id"] = json!(620);
    fs::write(&path, file.to_string()).unwrap();
    let run = summarize(&model, "The committee did not.", &[]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let run = summarize(&model, "The <mask> did not.", &[]);
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    assert!(
        String::from_utf8_lossy(&run.stdout).contains("<mask>"),
        "{run:?}"
    );
}

/// Rows of two vocabularies do not come into one file.
#[cfg(unix)]
#[test]
fn a_run_does_not_resume_with_another_tokenizer() {
    let model = copy(
        "esm2/tiny_a",
        &["config.json", "model.safetensors", "vocab.txt"],
    );
    let output = model.path().join("out.jsonl");
    let input = model.path().join("in.fasta");
    fs::write(&input, proteins(20_000, 20, 60)).unwrap();
    let embed = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
        command.args(["embed", "--dtype", "f32", "--input"]);
        command.arg(&input).arg("--model").arg(model.path());
        command.arg("--output").arg(&output);
        command.stderr(Stdio::piped());
        command
    };
    let mut child = embed().spawn().unwrap();
    let journal = model.path().join("out.jsonl.journal");
    let begun = Instant::now();
    while fs::metadata(&journal).map_or(0, |journal| journal.len()) < 1000 {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "nothing is kept"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let vocabulary = model.path().join("vocab.txt");
    let published = fs::read_to_string(&vocabulary).unwrap();
    let swapped = published.replace("L\nA\n", "A\nL\n");
    assert_ne!(published, swapped);
    fs::write(&vocabulary, swapped).unwrap();
    let again = embed().stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(2), "{said}");
    assert!(
        said.contains("tokenizer") && said.contains("--restart"),
        "{said}"
    );
}
