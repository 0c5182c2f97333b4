//! What is wrong with inputs and arguments, and what it costs.

use std::fs;

use super::{assert_code, entropy, genomes, read};
use crate::running::{rows, sessile, stderr};

const GENBANK: &str = "LOCUS       TOY 15 bp DNA
VERSION     TOY.1
FEATURES             Location/Qualifiers
     CDS             1..12
     CDS             7..40
ORIGIN
        1 atgaaaccct aaggg
//
";

/// The good records are written, the bad ones listed, and the exit code says so.

#[test]
fn bad_input_costs_what_is_bad() {
    let fine = ">fine\nATGAAACCCTAA\n";
    let cases: [(&str, &str, i32, &str, usize); 9] = [
        // (input, its name, exit code, what is said, records written)
        (
            ">n\nATGNNNCCCTAA\n>iupac\nATGRYKCCCTAA\n",
            "n.fa",
            0,
            "2 records",
            2,
        ),
        (">rna\nAUGAAACCCUAA\n", "rna.fa", 0, "1 records", 1),
        (
            ">p\nMKLEW\n>fine\nATGAAACCCTAA\n",
            "p.fa",
            3,
            "'L' at position 3",
            1,
        ),
        (">p\nMKLEW\n", "only-p.fa", 3, "it looks like a protein", 0),
        (
            ">e\n>fine\nATGAAACCCTAA\n",
            "e.fa",
            3,
            "the record has no sequence",
            1,
        ),
        (
            ">fine\nATGAAACCCTAA\n>nul\nAT\u{0}G\n",
            "nul.fa",
            3,
            "NUL",
            1,
        ),
        ("", "empty.gb", 0, "empty.gb has no records", 0),
        (
            GENBANK,
            "outside.gb",
            3,
            "ends at base 40 of a sequence of 15 bases",
            1,
        ),
        (fine, "fasta.gb", 4, "read it as FASTA", 0),
    ];
    for (text, name, code, said, written) in cases {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), text).unwrap();
        let flag = if name.ends_with(".gb") {
            "--genbank"
        } else {
            "--input"
        };
        let output = entropy(
            directory.path(),
            &[
                "run",
                flag,
                name,
                "--min-aa",
                "2",
                "--output",
                "o.json",
                "--failures",
                "failed.jsonl",
            ],
        );
        assert_eq!(
            output.status.code(),
            Some(code),
            "{name}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(said),
            "{name}: {}",
            stderr(&output)
        );
        let result = directory.path().join("o.json");
        if code == 4 {
            assert!(!result.exists(), "{name}");
            continue;
        }
        assert_eq!(read(&result).as_array().unwrap().len(), written, "{name}");
        let failed = rows(&directory.path().join("failed.jsonl"));
        assert_eq!(failed.is_empty(), code == 0, "{name}");
        if code == 3 {
            assert!(
                failed[0]["reason"].as_str().unwrap().contains(said),
                "{name}: {failed:?}"
            );
        }
    }
}

#[test]
fn annotation_that_is_good_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("t.gb"), GENBANK).unwrap();
    fs::write(
        directory.path().join("t.fa"),
        ">TOY\nATGAAACCCTAAGGG\n>other\nATGAAACCCTAAGGG\n",
    )
    .unwrap();
    for (more, marked) in [
        (&["--genbank", "t.gb"][..], 1),
        (&["--genbank", "t.gb", "--input", "t.fa"], 1),
        (&["--input", "t.fa"], 0),
    ] {
        let command = [
            &["run", "--min-aa", "2", "--output", "o.json", "--force"][..],
            more,
        ]
        .concat();
        let output = entropy(directory.path(), &command);
        assert_code(&output, if marked > 0 { 3 } else { 0 });
        let records = read(&directory.path().join("o.json"));
        let labels: Vec<bool> = records
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|record| record["features"].as_object().unwrap().values())
            .map(|feature| feature["metadata"]["in_genbank"].as_bool().unwrap())
            .collect();
        assert_eq!(
            labels.iter().filter(|label| **label).count(),
            marked,
            "{more:?}"
        );
    }
}

/// Beside FASTA a GenBank file gives coding sequences only: a genome that is not computed must not
/// go unseen.
#[test]
fn genbank_records_without_a_sequence_are_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("t.gb"), GENBANK).unwrap();
    fs::write(
        directory.path().join("two.gb"),
        format!("{GENBANK}{}", GENBANK.replace("TOY", "TOY2")),
    )
    .unwrap();
    fs::write(
        directory.path().join("other.fa"),
        ">other\nATGAAACCCTAAGGG\n",
    )
    .unwrap();
    fs::write(directory.path().join("t.fa"), ">TOY\nATGAAACCCTAAGGG\n").unwrap();
    fs::write(directory.path().join("s.csv"), "a,t.gb\na,other.fa\n").unwrap();
    let run = |more: &[&str]| {
        let command = [&["run", "--min-aa", "2", "--force"][..], more].concat();
        entropy(directory.path(), &command)
    };
    let alone = run(&[
        "--input",
        "other.fa",
        "--genbank",
        "t.gb",
        "--output",
        "o.json",
    ]);
    let sheet = run(&["--sample-sheet", "s.csv", "--output", "sheet"]);
    for output in [alone, sheet] {
        assert_code(&output, 3);
        let said = stderr(&output);
        assert!(said.contains("t.gb: TOY"), "{said}");
        assert!(said.contains("no FASTA record has its name"), "{said}");
    }
    let output = run(&[
        "--input",
        "t.fa",
        "--genbank",
        "two.gb",
        "--output",
        "o.json",
    ]);
    let said = stderr(&output);
    assert!(said.contains("TOY2.1 have no FASTA record"), "{said}");
    assert!(!said.contains("no FASTA record has its name"), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("g.fa"), genomes(7, &[300])).unwrap();
    fs::write(directory.path().join("there.json"), "mine").unwrap();
    let base = ["run", "--input", "g.fa"];
    for (more, code, said) in [
        (
            &["--output", "o.json", "--table", "7"][..],
            2,
            "1, 2, 3, 4, 5, 6, 9",
        ),
        (
            &["--output", "o.json", "--table", "300"],
            2,
            "no genetic code 300",
        ),
        (
            &["--output", "o.json", "--schema", "2.1.0"],
            2,
            "2.2.0, 2.0.0",
        ),
        (&["--output", "o.xlsx"], 2, "jsonl, json, tsv, csv, parquet"),
        (&["--output", "o.h5"], 2, "hdf5 holds arrays"),
        (&["--output", "there.json"], 4, "--force"),
        (&["--output", "no/o.json"], 4, "its folder is not there"),
        (&["--output", "o.json", "--shard", "4/3"], 2, "not a shard"),
        (
            &["--output", "-", "--shard", "1/3"],
            2,
            "a shard cannot be written to -",
        ),
        (
            &["--output", "o.json", "--model", "no-such-model"],
            4,
            "no-such-model",
        ),
        (
            &["--output", "o.json", "--output", "o.json"],
            2,
            "named twice",
        ),
        (
            &["--output", "o.json", "--gpu-ids", "0", "--devices", "cpu"],
            2,
            "--gpu-ids",
        ),
    ] {
        let output = entropy(directory.path(), &[&base[..], more].concat());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{more:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(said),
            "{more:?}: {}",
            stderr(&output)
        );
    }
    assert_eq!(
        fs::read(directory.path().join("there.json")).unwrap(),
        b"mine"
    );
    assert_code(
        &entropy(directory.path(), &["run", "--output", "o.json"]),
        2,
    );
    assert_code(
        &entropy(
            directory.path(),
            &["run", "--input", "gone.fa", "--output", "o.json"],
        ),
        4,
    );
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("g.fa"), genomes(8, &[400_000])).unwrap();
    let mut child = sessile(
        directory.path(),
        &["entropy", "orf", "--input", "g.fa", "--format", "get-orfs"],
    )
    .stdout(std::process::Stdio::piped())
    .stderr(std::process::Stdio::piped())
    .spawn()
    .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_code(&output, 0);
    assert_eq!(stderr(&output), "");
}
