//! What goes in comes out: as a row, or in the list of failures with its name.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::running::{assert_says, rows, run, sessile, stderr, text, virnucpro};

fn model(name: &str) -> String {
    virnucpro("..").join(name).to_str().unwrap().to_owned()
}

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(name)
}

fn predict(folder: &Path, more: &[&str]) -> i32 {
    let (esm, dnabert) = (model("esm2/tiny_a"), model("dnabert_s/tiny_a"));
    let classifier = virnucpro("mlp/model.pth");
    let mut arguments = vec!["viral", "predict", "--esm", &esm, "--dnabert", &dnabert];
    arguments.extend([
        "--classifier",
        classifier.to_str().unwrap(),
        "--chunk",
        "300",
    ]);
    arguments.extend(more);
    let output = run(folder, &arguments);
    let code = output.status.code().unwrap();
    assert!([0, 3].contains(&code), "{}", stderr(&output));
    code
}

/// Stops in every frame, too short for a codon, nothing but N, and one with frames.
#[test]
fn every_contig_has_its_row_with_a_frame_or_without() {
    let folder = tempfile::tempdir().unwrap();
    let contigs = case("four_contigs.fa");
    let input = contigs.to_str().unwrap();
    assert_eq!(predict(folder.path(), &[input, "--output", "whole"]), 0);
    let table = text(&folder.path().join("whole/contigs.tsv"));
    let table: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(table.len(), 5, "{table:?}");
    let columns = table[0].len();
    for (row, name) in table[1..].iter().zip(["stoprich", "two", "alln", "ok"]) {
        assert_eq!((row[0], row.len()), (name, columns));
        let verdict = row[columns - 1];
        match name {
            "ok" => assert!(["true", "false"].contains(&verdict), "{row:?}"),
            // No chunk with a frame, no share, no scores, no verdict.
            _ => assert_eq!(row[1..], ["0", "0", "", "0", "", "", ""], "{row:?}"),
        }
    }
    // The same from parts, and as Parquet.
    for shard in ["1/3", "2/3", "3/3"] {
        predict(
            folder.path(),
            &[input, "--shard", shard, "--output", "merged"],
        );
    }
    let part = |number| format!("merged.part-{number}-of-3");
    let arguments = ["merge", &part(3), &part(1), &part(2), "--output", "merged"];
    assert_eq!(run(folder.path(), &arguments).status.code(), Some(0));
    for name in [
        "contigs.tsv",
        "chunks.tsv",
        "frames.tsv",
        "prediction_results.txt",
    ] {
        let of = |results: &str| text(&folder.path().join(results).join(name));
        assert_eq!(of("merged"), of("whole"), "{name}");
    }
    predict(
        folder.path(),
        &[input, "--output", "tables", "--tables", "parquet"],
    );
    assert!(folder.path().join("tables/contigs.parquet").exists());
}

#[test]
fn a_contig_that_fails_is_listed_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(100);
    let text_in = format!(
        ">good\n{}\n>protein\nMKLEFQ\n>empty\n>{long}\nMKLEFQ\n",
        "GCC".repeat(100)
    );
    fs::write(folder.path().join("in.fa"), text_in).unwrap();
    assert_eq!(predict(folder.path(), &["in.fa", "--output", "out"]), 3);
    let failed = text(&folder.path().join("out/failed.tsv"));
    let failed: Vec<&str> = failed
        .lines()
        .skip(1)
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    assert_eq!(failed, ["protein", "empty", &long]);
    let contigs = text(&folder.path().join("out/contigs.tsv"));
    assert_eq!(contigs.lines().skip(1).count(), 1);
}

#[test]
fn records_are_rows_or_failures_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let proteins = ">a\nMKV\n>empty\n>odd\nMK1V\n>a\nMKV\n>b\nGASP*\n";
    fs::write(folder.path().join("in.fa"), proteins).unwrap();
    let (esm, prost) = (model("esm2/tiny_a"), model("prostt5/tiny"));
    for command in [
        &["embed", "--model", &esm, "--output", "e.jsonl"][..],
        &[
            "entropy",
            "encode3di",
            "--model",
            &prost,
            "--output",
            "e.jsonl",
        ],
    ] {
        let mut arguments = command.to_vec();
        arguments.extend(["--input", "in.fa", "--failures", "f.jsonl", "--force"]);
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        let ids = |name: &str| -> Vec<Value> {
            let rows = rows(&folder.path().join(name));
            rows.into_iter().map(|row| row["id"].clone()).collect()
        };
        assert_eq!(ids("e.jsonl"), ["a", "a", "b"], "{command:?}");
        assert_eq!(ids("f.jsonl"), ["empty", "odd"], "{command:?}");
    }
    let genomes = ">a\nACGTACGTACGT\n>empty\n>protein\nMKLEFQ\n>a\nACGT\n";
    fs::write(folder.path().join("g.fa"), genomes).unwrap();
    let arguments = [
        "entropy",
        "run",
        "--model",
        "none",
        "--input",
        "g.fa",
        "--output",
        "g.jsonl",
        "--failures",
        "f.jsonl",
        "--force",
    ];
    assert_eq!(run(folder.path(), &arguments).status.code(), Some(3));
    assert_eq!(rows(&folder.path().join("g.jsonl")).len(), 2);
    let failed = rows(&folder.path().join("f.jsonl"));
    let failed: Vec<&Value> = failed.iter().map(|row| &row["id"]).collect();
    assert_eq!(failed, ["empty", "protein"]);
}

#[test]
fn articles_that_fail_keep_their_fields() {
    let folder = tempfile::tempdir().unwrap();
    let input = case("articles_that_fail.jsonl");
    let bart = model("bart/tiny");
    let arguments = [
        "summarize",
        "--model",
        &bart,
        "--input",
        input.to_str().unwrap(),
        "--output",
        "o.jsonl",
        "--failures",
        "f.jsonl",
        "--num-beams",
        "1",
        "--max-length",
        "8",
        "--min-length",
        "0",
    ];
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let written = rows(&folder.path().join("o.jsonl"));
    let lines = text(&input);
    let lines: Vec<&str> = lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    assert_eq!(written.len(), lines.len());
    let mut failed = 0;
    for (row, line) in written.iter().zip(lines) {
        let named = [
            "empty", "ws", "null", "num", "list", "missing", "dup", "nan", "lone", "long",
        ];
        for name in named {
            if line.starts_with(&format!("{{\"id\":\"{name}\""))
                || line.starts_with(&format!("{{\"id\": \"{name}\""))
            {
                assert_eq!(row["id"], name, "{row}");
            }
        }
        assert!(row.get("text").is_none(), "{row}");
        failed += usize::from(row.get("error").is_some());
    }
    let listed = rows(&folder.path().join("f.jsonl"));
    assert_eq!(listed.len(), failed);
    for name in ["empty", "ws", "null", "num", "list", "missing", "nan"] {
        assert!(
            listed.iter().any(|row| row["id"] == name),
            "{name}: {listed:?}"
        );
    }
}

/// However short records are, those under way are few.
#[test]
fn memory_does_not_grow_with_the_number_of_short_records() {
    let folder = tempfile::tempdir().unwrap();
    let genomes: String = (0..60_000)
        .map(|n| format!(">r{n}\nATGAAATAAC\n"))
        .collect();
    fs::write(folder.path().join("g.fa"), genomes).unwrap();
    let arguments = [
        "entropy",
        "run",
        "--model",
        "none",
        "--input",
        "g.fa",
        "--output",
        "o.json",
        "--min-aa",
        "2",
        "--threads",
        "2",
        "--quiet",
    ];
    let mut child = sessile(folder.path(), &arguments)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut largest = 0_u64;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
        largest = largest.max(peak.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(child.wait().unwrap().success());
    assert!(largest < 150_000, "{largest} kB");
}

#[test]
fn a_file_of_another_kind_is_called_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.fa"), ">aF1\nMKV\n>bF2\nGASP\n").unwrap();
    let esm = model("esm2/tiny_a");
    for name in ["v.parquet", "v.pq", "v.npz", "v.npy", "v.h5"] {
        let arguments = [
            "embed", "--model", &esm, "--input", "p.fa", "--output", name,
        ];
        assert_eq!(run(folder.path(), &arguments).status.code(), Some(0));
    }
    fs::copy(folder.path().join("v.parquet"), folder.path().join("v.pt")).unwrap();
    let classifier = virnucpro("mlp/model.pth");
    for (name, words) in [
        ("v.parquet", "the classifier takes"),
        ("v.pq", "the classifier takes"),
        ("v.pt", "the classifier takes"),
        ("v.npz", "a NumPy archive"),
        ("v.npy", "a NumPy array"),
        ("v.h5", "an HDF5 file"),
        ("p.fa", "text, not a feature file"),
    ] {
        let arguments = [
            "viral",
            "classify",
            "--features",
            name,
            "--classifier",
            classifier.to_str().unwrap(),
            "--output",
            "out",
        ];
        let output = run(folder.path(), &arguments);
        assert_says(&output, 4, words);
        assert!(!stderr(&output).contains("damaged"), "{}", stderr(&output));
    }
}

/// A GenBank record without a name, a file that is one endless line, and names that come twice.
#[test]
fn genbank_files_with_odd_names_are_told_in_their_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let record = |name: &str| {
        format!("LOCUS       {name}\nORIGIN\n        1 atgaaacccgggtttaaacccgggtttaaa\n//\n")
    };
    let text = [record("one"), record(""), record("one")].concat();
    fs::write(path.join("g.gbk"), text).unwrap();
    let arguments = [
        "entropy",
        "run",
        "-g",
        "g.gbk",
        "-o",
        "o.json",
        "--failures",
        "f.jsonl",
    ];
    let output = run(path, &arguments);
    assert_says(&output, 3, "record 2, line 5: the record has no name");
    let said = stderr(&output);
    assert!(
        said.contains("record 3 (one)") && said.contains("the identifier came before"),
        "{said}"
    );
    assert!(!said.contains("header"), "{said}");
    let failures = rows(&path.join("f.jsonl"));
    assert_eq!(failures[0]["place"], "g.gbk: record 2, line 5");
    if Path::new("/dev/zero").exists() {
        let output = run(path, &["entropy", "run", "-g", "/dev/zero", "-o", "z.json"]);
        assert_says(&output, 4, "a line is longer than");
    }
}

/// A header without an identifier has a place, and a file that is no FASTA is told once.
#[test]
fn places_and_reasons_are_apart_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("p.fasta"), ">a\nMKV\n> \nMKL\n").unwrap();
    let arguments = [
        "embed",
        "-m",
        "demo",
        "-i",
        "p.fasta",
        "-o",
        "o.jsonl",
        "--failures",
        "f.jsonl",
    ];
    assert_says(
        &run(path, &arguments),
        3,
        "failed: p.fasta: record 2, line 3: ",
    );
    let failures = rows(&path.join("f.jsonl"));
    assert_eq!(failures[0]["place"], "p.fasta: record 2, line 3");
    assert!(!failures[0]["reason"].as_str().unwrap().contains("p.fasta"));
    fs::write(path.join("no.fasta"), "not FASTA\n").unwrap();
    for job in [
        &["embed", "-m", "demo"][..],
        &["entropy", "run"],
        &["entropy", "orf"],
    ] {
        let output = run(path, &[job, &["-i", "no.fasta", "-o", "no.json"]].concat());
        assert_says(&output, 4, "error: no record could be read");
        let said = stderr(&output);
        assert_eq!(said.matches("no.fasta").count(), 1, "{said}");
    }
}

#[test]
fn commands_of_viral_can_be_quiet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::copy(case("four_contigs.fa"), path.join("c.fa")).unwrap();
    assert_eq!(predict(path, &["c.fa", "--output", "r"]), 0);
    for arguments in [
        &["plot", "r", "-i", "c.fa", "-o", "p.svg", "-q"][..],
        &["validate", "c.fa", "-q"],
        &["generate-config", "-o", "c.toml", "--quiet"],
    ] {
        let output = run(path, &[&["viral"], arguments].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            output.stderr.is_empty() && output.stdout.is_empty(),
            "{arguments:?}"
        );
    }
}
