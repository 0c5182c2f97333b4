//! `sessile entropy encode3di` as scripts see it: rows, FASTA, heads and exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn golden(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden")
        .join(relative)
}

fn json(relative: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(golden(relative)).unwrap()).unwrap()
}

fn encode(directory: &Path, model: &Path, input: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    for (name, _) in std::env::vars() {
        if name.starts_with("SESSILE_") && name != "SESSILE_ISA" {
            command.env_remove(name);
        }
    }
    command
        .current_dir(directory)
        .env("HOME", directory)
        .env_remove("XDG_CONFIG_HOME")
        .args(["entropy", "encode3di", "--dtype", "f32", "--threads", "1"])
        .args(["--output", "o.jsonl", "--model"])
        .arg(model)
        .arg("--input")
        .arg(input)
        .args(more)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn rows(directory: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(directory.join("o.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Writes the sequences of a golden folder as FASTA.
fn fasta(directory: &Path, model: &str) -> PathBuf {
    let path = directory.join("proteins.fasta");
    let text: String = json(&format!("{model}/inputs.json"))
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| {
            let sequence = entry["sequence"].as_str()?;
            Some(format!(
                ">{}\n{sequence}\n",
                entry["name"].as_str().unwrap()
            ))
        })
        .collect();
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn prostt5_with_the_head_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let input = fasta(directory.path(), "prostt5/tiny");
    let more = [
        "--fasta",
        "ss.fasta",
        "--mask-below",
        "0.25",
        "--probabilities",
    ];
    let output = encode(directory.path(), &golden("prostt5/tiny"), &input, &more);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("model loaded once"),
        "{}",
        stderr(&output)
    );
    let expected = json("prostt5/tiny/expected.json");
    let rows = rows(directory.path());
    assert_eq!(rows.len(), 11);
    let mut lines = String::new();
    for row in &rows {
        let id = row["id"].as_str().unwrap();
        let wanted = &expected["cnn"][id];
        assert_eq!(
            row["three_di"], wanted["three_di_masked_below_25pct"],
            "{id}"
        );
        assert!(row["twelve_state"].is_null());
        let mean = 100.0 * row["mean_probability"].as_f64().unwrap();
        let wanted = wanted["mean_probability_percent"].as_f64().unwrap();
        assert!((mean - wanted).abs() < 0.0051, "{id}: {mean} for {wanted}");
        let states = row["three_di"].as_str().unwrap();
        assert_eq!(row["probabilities"].as_array().unwrap().len(), states.len());
        lines.push_str(&format!(">{id}\n{states}\n"));
    }
    let written = std::fs::read_to_string(directory.path().join("ss.fasta")).unwrap();
    assert_eq!(written, lines);

    // Outputs are not written over, and the first is as it was.
    let again = encode(directory.path(), &golden("prostt5/tiny"), &input, &[]);
    assert_eq!(again.status.code(), Some(4), "{}", stderr(&again));
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
}

/// Both modes of the decoder: exact lengths, and as genome_entropy has them.
#[test]
fn prostt5_writes_states() {
    let directory = tempfile::tempdir().unwrap();
    let all = json("prostt5/tiny/expected.json");
    let runs = all["generation"].as_object().unwrap();
    let inputs = json("prostt5/tiny/inputs.json");
    let proteins: String = inputs
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| runs.contains_key(entry["name"].as_str().unwrap()))
        .map(|entry| {
            let (name, sequence) = (entry["name"].as_str(), entry["sequence"].as_str());
            format!(">{}\n{}\n", name.unwrap(), sequence.unwrap())
        })
        .collect();
    let input = directory.path().join("p.fasta");
    let bad = format!("{proteins}>empty\n>strange\nMK1\n");
    std::fs::write(&input, bad).unwrap();
    let modes: [(&[&str], &str); 3] = [
        (&[], "greedy_max_L_plus_1"),
        (
            &["--preprocess", "genome-entropy"],
            "beam3_genome_entropy_lengths",
        ),
        (
            &["--preprocess", "genome-entropy", "--num-beams", "1"],
            "greedy_genome_entropy_lengths",
        ),
    ];
    for (flags, setting) in modes {
        let more = [&["--method", "generate", "--force"], flags].concat();
        let output = encode(directory.path(), &golden("prostt5/tiny"), &input, &more);
        // Two records are no proteins; the others do not suffer.
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        let rows = rows(directory.path());
        assert_eq!(rows.len(), runs.len());
        for row in rows {
            let run = &runs[row["id"].as_str().unwrap()];
            let expected = run[setting]["three_di_trimmed"].as_str().unwrap();
            assert_eq!(row["three_di"], expected.to_uppercase(), "{setting} {row}");
            assert!(row["mean_probability"].is_null(), "{row}");
        }
    }
    let refused: [&[&str]; 3] = [
        &["--probabilities"],
        &["--mask-below", "0.5"],
        &["--head", "cnn/model.pt"],
    ];
    for flags in refused {
        let more = [&["--method", "generate", "--force"], flags].concat();
        let output = encode(directory.path(), &golden("prostt5/tiny"), &input, &more);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{flags:?}: {}",
            stderr(&output)
        );
    }
    let alone = golden("prostt5/tiny/variant_encoder_f16");
    let output = encode(
        directory.path(),
        &alone,
        &input,
        &["--method", "generate", "--force"],
    );
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("no decoder"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn modernprost_with_a_second_head() {
    let directory = tempfile::tempdir().unwrap();
    let input = fasta(directory.path(), "modernbert/tc20");
    let head = golden("modernbert/tc20/head_12st.safetensors");
    let more = ["--head", head.to_str().unwrap()];
    let output = encode(directory.path(), &golden("modernbert/tc20"), &input, &more);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let expected = json("modernbert/tc20/expected.json");
    for row in rows(directory.path()) {
        let wanted = &expected["sequences"][row["id"].as_str().unwrap()];
        assert_eq!(row["three_di"], wanted["three_di"]);
        assert_eq!(row["twelve_state"], wanted["twelve_state"]);
    }
    assert!(
        stderr(&output).contains("scores 3Di"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_json_of_a_genome() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("genome.json");
    let text = r#"[{"schema_version": "2.2.0", "input_id": "a", "dna_entropy_global": 1.9,
        "features": {
            "orf1": {"location": {"start": 1}, "protein": {"aa_sequence": "MPFIP", "length": 5}},
            "orf2": {"protein": {"aa_sequence": "MTKNLILDFDECQ*"}, "three_di": null},
            "orf3": {"dna": {"length": 3}}}},
        {"features": {"orf4": {"protein": {"aa_sequence": "M"}}}}]"#;
    std::fs::write(&input, text).unwrap();
    let output = encode(directory.path(), &golden("prostt5/tiny"), &input, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let rows = rows(directory.path());
    let found: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| {
            (
                row["id"].as_str().unwrap(),
                row["three_di"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [("orf1", "HATEI"), ("orf2", "TTTAAAAAAAAAA"), ("orf4", "E")]
    );
}

#[test]
fn a_thousand_proteins_in_twenty_files_load_the_model_once() {
    let directory = tempfile::tempdir().unwrap();
    let inputs = directory.path().join("inputs");
    std::fs::create_dir(&inputs).unwrap();
    for file in 0..20 {
        let text: String = (0..50)
            .map(|number| format!(">{file}_{number}\n{}\n", "MPFIP".repeat(1 + number % 7)))
            .collect();
        std::fs::write(inputs.join(format!("{file:02}.faa")), text).unwrap();
    }
    let model = golden("prostt5/tiny");
    let output = encode(directory.path(), &model, Path::new("inputs"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("model loaded once"),
        "{}",
        stderr(&output)
    );
    let rows = rows(directory.path());
    assert_eq!(rows.len(), 1000);
    assert_eq!(rows[999]["id"], "19_49");
    // The same protein has the same states, whatever was computed beside it.
    for row in &rows {
        let length = row["three_di"].as_str().unwrap().len();
        let same = &rows[length / 5 - 1];
        assert_eq!(row["three_di"], same["three_di"]);
        assert_eq!(row["mean_probability"], same["mean_probability"]);
    }
}

#[test]
fn what_is_wrong_costs_itself_alone() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("proteins.fasta");
    std::fs::write(&input, ">good\nMPFIP\n>odd\nMP-7\n>empty\n>last\nM\n").unwrap();
    let output = encode(directory.path(), &golden("prostt5/tiny"), &input, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let messages = stderr(&output);
    assert!(messages.contains("`-` at position 3"), "{messages}");
    assert!(messages.contains("(empty)"), "{messages}");
    let rows = rows(directory.path());
    assert_eq!(rows.len(), 2);

    let cases = [
        // Broken JSON, and none with proteins in it.
        (
            "genome.json",
            "[{\"features\": {\"a\": {\"protein\"",
            "genome.json",
        ),
        ("other.json", "[{\"records\": 3}]", "no proteins"),
    ];
    for (name, text, message) in cases {
        let input = directory.path().join(name);
        std::fs::write(&input, text).unwrap();
        let output = encode(
            directory.path(),
            &golden("prostt5/tiny"),
            &input,
            &["--force"],
        );
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
}

#[test]
fn models_without_a_head_are_refused_with_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let input = fasta(directory.path(), "prostt5/tiny");
    let alone = golden("prostt5/tiny/variant_encoder_f16");
    let output = encode(directory.path(), &alone, &input, &[]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("--head"), "{}", stderr(&output));
    let wrong = golden("modernbert/tc20/head_12st.safetensors");
    let output = encode(
        directory.path(),
        &alone,
        &input,
        &["--head", wrong.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let right = golden("prostt5/tiny/cnn/finetuned_model.pth");
    let output = encode(
        directory.path(),
        &alone,
        &input,
        &["--head", right.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
