//! The stages one by one.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{assert_code, bytes, entropy, genomes, golden, read, reference};
use crate::running::{self, stderr};

#[test]
fn orf_prints_what_get_orfs_prints() {
    let directory = tempfile::tempdir().unwrap();
    let index = read(&golden("genome_entropy/get_orfs/index.json"));
    let mut folders = vec![golden("genome_entropy")];
    folders.extend(reference());
    let mut compared = 0;
    for expected in index.as_array().unwrap() {
        let name = expected["input"].as_str().unwrap();
        let Some(folder) = folders.iter().find(|folder| folder.join(name).exists()) else {
            continue;
        };
        let input = folder.join(name);
        let table = expected["table"].to_string();
        let length = expected["min_length_flag"].to_string();
        let output = entropy(
            directory.path(),
            &[
                "orf",
                "--input",
                input.to_str().unwrap(),
                "--table",
                &table,
                "--min-length",
                &length,
                "--format",
                "get-orfs",
            ],
        );
        let case = format!("{name} -t {table} -l {length}");
        assert_eq!(output.status.code(), Some(0), "{case}: {}", stderr(&output));
        if let Some(file) = expected["file"].as_str() {
            let text = bytes(&folder.join("get_orfs").join(file));
            assert!(output.stdout == text, "{case} is not {file}");
        }
        let hash: String = Sha256::digest(&output.stdout)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hash, expected["sha256"].as_str().unwrap(), "{case}");
        compared += 1;
    }
    assert!(compared >= 33, "{compared}");
}

#[test]
fn translate_knows_every_codon() {
    let directory = tempfile::tempdir().unwrap();
    let tables = read(&golden("genome_entropy/codon_tables.json"));
    let mut codons = String::new();
    for first in "ACGT".chars() {
        for second in "ACGT".chars() {
            for third in "ACGT".chars() {
                codons.extend([first, second, third]);
            }
        }
    }
    let tables = tables["tables"].as_object().unwrap();
    let orfs: Vec<Value> = tables
        .keys()
        .map(|table| {
            let table: u8 = table.parse().unwrap();
            json!({"orf_id": format!("t{table}"), "table_id": table, "nt_sequence": codons})
        })
        .collect();
    let input = directory.path().join("orfs.json");
    fs::write(&input, serde_json::to_vec(&orfs).unwrap()).unwrap();
    let output = entropy(
        directory.path(),
        &["translate", "--input", "orfs.json", "--output", "p.jsonl"],
    );
    assert_code(&output, 0);
    let rows = running::rows(&directory.path().join("p.jsonl"));
    assert_eq!(rows.len(), tables.len());
    for row in rows {
        let table = row["orf"]["table_id"].to_string();
        assert_eq!(
            row["orf"]["aa_sequence"], tables[&table]["amino_acids"],
            "table {table}"
        );
    }
}

#[test]
fn stages_come_to_what_a_run_comes_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("g.fa"), genomes(6, &[1500, 1000])).unwrap();
    let model = golden("prostt5/tiny");
    let model = model.to_str().unwrap();
    let f32 = ["--dtype", "f32", "--threads", "1"];
    let steps: [&[&str]; 5] = [
        &[
            "run", "--input", "g.fa", "--min-aa", "15", "--model", model, "--output", "run.json",
        ],
        &[
            "orf",
            "--input",
            "g.fa",
            "--min-aa",
            "15",
            "--output",
            "orfs.json",
        ],
        &[
            "translate",
            "--input",
            "orfs.json",
            "--output",
            "proteins.jsonl.gz",
        ],
        &[
            "encode3di",
            "--model",
            model,
            "--input",
            "proteins.jsonl.gz",
            "--output",
            "s.jsonl",
        ],
        &[
            "entropy",
            "--input",
            "proteins.jsonl.gz",
            "--states",
            "s.jsonl",
            "--output",
            "e.jsonl",
        ],
    ];
    for step in steps {
        let command = match step.contains(&model) {
            true => [step, &f32].concat(),
            false => step.to_vec(),
        };
        assert_code(&entropy(directory.path(), &command), 0);
    }
    let records = read(&path("run.json"));
    let rows = running::rows(&path("e.jsonl"));
    let mut rows = rows.iter();
    let mut states = 0;
    for record in records.as_array().unwrap() {
        let features = record["features"].as_object().unwrap();
        for number in 1..=features.len() {
            let feature = &features[&format!("orf{number}")];
            let row = rows.next().unwrap();
            assert_eq!(row["parent_id"], record["input_id"]);
            assert_eq!(row["orf_id"], feature["orf_id"]);
            for (name, bits) in feature["entropy"].as_object().unwrap() {
                assert_eq!(&row[name], bits, "{name}");
            }
            let three_di = &feature["three_di"];
            assert_eq!(three_di["length"], feature["protein"]["length"]);
            assert_eq!(three_di["inference_device"], "cpu");
            assert_eq!(three_di["method"], "prostt5_cnn");
            states += 1;
        }
    }
    assert!(rows.next().is_none() && states > 20);
    // genome_entropy's short names.
    let short = [
        "run",
        "-i",
        "g.fa",
        "-o",
        "short.json",
        "-t",
        "11",
        "-m",
        "none",
        "--device",
        "cpu",
    ];
    assert_code(&entropy(directory.path(), &short), 0);
    // A record of a run has everything by itself.
    let again = ["entropy", "--input", "run.json", "--output", "again.jsonl"];
    assert_code(&entropy(directory.path(), &again), 0);
    assert_eq!(
        running::rows(&path("again.jsonl")),
        running::rows(&path("e.jsonl"))
    );
    let normal = [
        "entropy",
        "--input",
        "run.json",
        "--normalize",
        "--output",
        "normal.jsonl",
    ];
    assert_code(&entropy(directory.path(), &normal), 0);
    for (row, normal) in running::rows(&path("e.jsonl"))
        .iter()
        .zip(running::rows(&path("normal.jsonl")))
    {
        let bits = row["dna_entropy"].as_f64().unwrap();
        let share = normal["dna_entropy"].as_f64().unwrap();
        assert!((bits / 2.0 - share).abs() < 1e-12 && share <= 1.0);
    }
    // Rows of other proteins are noticed.
    let text = fs::read_to_string(path("s.jsonl")).unwrap();
    let swapped: Vec<&str> = text.lines().rev().collect();
    fs::write(path("s.jsonl"), swapped.join("\n")).unwrap();
    let wrong = [
        "entropy",
        "--input",
        "proteins.jsonl.gz",
        "--states",
        "s.jsonl",
        "--output",
        "w.jsonl",
    ];
    let output = entropy(directory.path(), &wrong);
    assert_code(&output, 4);
    assert!(stderr(&output).contains("encode3di"), "{}", stderr(&output));
    assert!(!path("w.jsonl").exists());
}

/// ProstT5's decoder in place of the head, as genome_entropy asks it.
#[test]
fn a_decoder_says_states_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("g.fa"), genomes(9, &[300])).unwrap();
    let model = golden("prostt5/tiny");
    let decoder = [
        "--model",
        model.to_str().unwrap(),
        "--method",
        "generate",
        "--dtype",
        "f32",
        "--threads",
        "1",
    ];
    let run = [
        "run", "--input", "g.fa", "--min-aa", "15", "--output", "run.json",
    ];
    assert_code(
        &entropy(directory.path(), &[&run[..], &decoder].concat()),
        0,
    );
    let encode = ["encode3di", "--input", "run.json", "--output", "s.jsonl"];
    assert_code(
        &entropy(directory.path(), &[&encode[..], &decoder].concat()),
        0,
    );
    let records = read(&path("run.json"));
    let features = records[0]["features"].as_object().unwrap();
    let rows = running::rows(&path("s.jsonl"));
    assert!(rows.len() == features.len() && rows.len() > 2);
    for row in rows {
        let three_di = &features[row["id"].as_str().unwrap()]["three_di"];
        assert_eq!(three_di["encoding"], row["three_di"]);
        assert_eq!(three_di["method"], "prostt5_aa2fold");
    }
}

#[test]
fn proteins_of_fasta() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("p.faa"),
        ">a\nMKV*\n>b\nMK1\n>c\nGG\n",
    )
    .unwrap();
    let output = entropy(directory.path(), &["fasta-to-protein", "--input", "p.faa"]);
    assert_code(&output, 3);
    assert!(
        stderr(&output).contains("`1` at position 3"),
        "{}",
        stderr(&output)
    );
    let records: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(records.as_array().unwrap().len(), 2);
    let orf = json!({
        "parent_id": "a", "orf_id": "a", "start": 0, "end": 9, "strand": "+", "frame": 0,
        "nt_sequence": "", "aa_sequence": "MKV", "table_id": 11, "has_start_codon": false,
        "has_stop_codon": false, "in_genbank": false,
    });
    assert_eq!(
        records[0],
        json!({"orf": orf, "aa_sequence": "MKV", "aa_length": 3})
    );
}
