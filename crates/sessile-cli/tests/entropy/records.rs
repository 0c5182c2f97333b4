//! `sessile entropy run`: forms, parts, samples, and the records of genome_entropy.

use std::fs;

use serde_json::Value;

use super::{assert_code, bytes, entropy, genomes, golden, read, reference};
use crate::running::stderr;

/// Equal but for states, which these runs have no model for; numbers to a billionth.
fn assert_same(ours: &Value, theirs: &Value, path: &str) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            for (name, value) in a {
                if !name.starts_with("three_di") {
                    assert_same(value, &b[name], &format!("{path}/{name}"));
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            for (place, (a, b)) in a.iter().zip(b).enumerate() {
                assert_same(a, b, &format!("{path}/{place}"));
            }
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= 1e-9, "{path}: {a} and {b}");
        }
        _ => assert_eq!(ours, theirs, "{path}"),
    }
}

#[test]
fn compat_writes_the_records_of_genome_entropy() {
    let directory = tempfile::tempdir().unwrap();
    let index = read(&golden("genome_entropy/pipeline/index.json"));
    let folder = golden("genome_entropy/pipeline");
    let mut compared = 0;
    for expected in index["runs"].as_array().unwrap() {
        let arguments = &expected["args"];
        let public = reference();
        let (flag, input, results) = match (&arguments["input_fasta"], &arguments["genbank_file"]) {
            (Value::String(name), _) => ("--input", folder.join(name), folder.clone()),
            (_, Value::String(name)) => match &public {
                Some(public) => ("--genbank", public.join(name), public.join("pipeline")),
                None => continue,
            },
            _ => continue,
        };
        let text = |key: &str, usual: u64| arguments[key].as_u64().unwrap_or(usual).to_string();
        let (table, min_aa) = (text("table_id", 11), text("min_aa_len", 30));
        let mut command = vec![
            "run",
            flag,
            input.to_str().unwrap(),
            "--output",
            "o.json.gz",
            "--force",
            "--table",
            &table,
            "--min-aa",
            &min_aa,
            "--compat",
            "genome-entropy-0.1",
        ];
        if arguments["compute_entropy"] == false {
            command.push("--skip-entropy");
        }
        assert_code(&entropy(directory.path(), &command), 0);
        let name = expected["file"].as_str().unwrap();
        let ours = read(&directory.path().join("o.json.gz"));
        assert_same(&ours, &read(&results.join(name)), name);
        compared += 1;
    }
    assert!(compared >= 4, "{compared}");
}

/// Inputs on which genome_entropy's rules and Sessile's differ: IUPAC codes (`GCN` is a residue,
/// `TAN` a stop), RNA, records without ORFs, ORFs that are open at the end, uncertain locations.
#[test]
fn compat_0_3_writes_the_records_of_genome_entropy_0_3() {
    let directory = tempfile::tempdir().unwrap();
    let folder = golden("genome_entropy");
    let index = read(&folder.join("v0_3/index.json"));
    for run in index.as_array().unwrap() {
        let input = run["input"].as_str().unwrap();
        let is_genbank = input.ends_with(".gbk");
        let flag = if is_genbank { "--genbank" } else { "--input" };
        let path = folder.join(input);
        let (table, min_aa) = (run["table"].to_string(), run["min_aa"].to_string());
        let mut command = vec![
            "run",
            flag,
            path.to_str().unwrap(),
            "--output",
            "o.json",
            "--force",
            "--table",
            &table,
            "--min-aa",
            &min_aa,
            "--compat",
            "genome-entropy-0.3",
        ];
        if run["entropy"] == false {
            command.push("--skip-entropy");
        }
        // The GenBank file has a feature that lies between two bases: left out, and listed.
        assert_code(
            &entropy(directory.path(), &command),
            if is_genbank { 3 } else { 0 },
        );
        let name = run["expected"].as_str().unwrap();
        let expected = read(&folder.join("v0_3").join(name));
        assert_same(&read(&directory.path().join("o.json")), &expected, name);
    }
    assert!(index.as_array().unwrap().len() >= 13);
    // Its fields have an order of their own, too.
    let text = fs::read_to_string(directory.path().join("o.json")).unwrap();
    let place = |text_of: &str| text.find(text_of).unwrap();
    assert!(
        place("\"entropy\":") < place("\"twelve_state\": null"),
        "{text}"
    );
}

#[test]
fn every_form_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("g.fa"), genomes(1, &[3000, 40, 2000])).unwrap();
    let output = entropy(
        directory.path(),
        &[
            "run",
            "--input",
            "g.fa",
            "--min-aa",
            "20",
            "--output",
            "o.json",
            "--output",
            "o.jsonl.gz",
            "--output",
            "o.tsv",
        ],
    );
    assert_code(&output, 0);
    assert!(
        stderr(&output).contains("in 3 records"),
        "{}",
        stderr(&output)
    );
    let records = read(&path("o.json"));
    let lines = String::from_utf8(bytes(&path("o.jsonl.gz"))).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records, Value::Array(lines));
    let table = fs::read_to_string(path("o.tsv")).unwrap();
    let mut rows = table.lines().map(|row| row.split('\t').collect::<Vec<_>>());
    let columns = rows.next().unwrap();
    let mut orfs = 0;
    for record in records.as_array().unwrap() {
        assert_eq!(record["schema_version"], "2.2.0");
        // Features of a map come by name here, rows in the order of the ORFs.
        let features = record["features"].as_object().unwrap();
        for number in 1..=features.len() {
            let feature = &features[&format!("orf{number}")];
            assert!(feature["three_di"].is_null() && feature["twelve_state"].is_null());
            let row = rows.next().unwrap();
            assert_eq!(row.len(), columns.len());
            let column = |name: &str| {
                let place = columns.iter().position(|column| *column == name);
                row[place.unwrap()].to_owned()
            };
            assert_eq!(record["input_id"], column("input_id"));
            assert_eq!(feature["orf_id"], column("orf_id"));
            for (object, name) in [
                ("location", "start"),
                ("location", "end"),
                ("location", "frame"),
                ("entropy", "dna_entropy"),
                ("entropy", "protein_entropy"),
                ("metadata", "has_start_codon"),
            ] {
                assert_eq!(feature[object][name].to_string(), column(name), "{name}");
            }
            assert_eq!(column("three_di_entropy"), "");
            // Without an annotation nobody knows, for which JSON has no word.
            assert_eq!(feature["metadata"]["in_genbank"], false);
            assert_eq!(column("in_genbank"), "");
            orfs += 1;
        }
    }
    assert!(rows.next().is_none() && orfs > 10);
}

#[test]
fn samples_have_their_own_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (name, seed) in [("a.fa", 3), ("b1.fa", 4), ("b2.fa", 5)] {
        fs::write(path(name), genomes(seed, &[900, 600])).unwrap();
    }
    fs::write(path("bad.fa"), "no FASTA\n").unwrap();
    let sheet = "sample,path\nb,b1.fa\na,a.fa\nbad,bad.fa\ngone,gone.fa\nb,b2.fa\n";
    fs::write(path("s.csv"), sheet).unwrap();
    let command = [
        "run",
        "--sample-sheet",
        "s.csv",
        "--output",
        "out",
        "--format",
        "json,tsv.gz",
        "--min-aa",
        "10",
        "--report",
        "report.html",
    ];
    let output = entropy(directory.path(), &command);
    assert_code(&output, 3);
    let said = stderr(&output);
    assert!(
        said.contains("failed: bad: ") && said.contains("failed: gone: "),
        "{said}"
    );
    // The report is of the samples that could be read.
    let report = fs::read_to_string(path("report.html")).unwrap();
    assert!(report.contains("</html>") && report.len() > 10_000);
    let mut names: Vec<_> = fs::read_dir(path("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = ["a.failures.jsonl", "a.json", "a.tsv.gz"];
    assert_eq!(names[..3], expected);
    assert_eq!(names.len(), 6, "{names:?}");
    let alone = [
        "run", "--input", "b1.fa", "b2.fa", "--output", "b.json", "--min-aa", "10",
    ];
    assert_code(&entropy(directory.path(), &alone), 0);
    assert!(fs::read(path("b.json")).unwrap() == fs::read(path("out/b.json")).unwrap());

    // Nothing is written over, and parts of a sheet are of samples.
    assert_code(&entropy(directory.path(), &command), 4);
    let [first, second] = ["1/2", "2/2"];
    for (shard, sample) in [(first, "b"), (second, "a")] {
        let folder = format!("half-{sample}");
        let output = entropy(
            directory.path(),
            &[
                "run",
                "--sample-sheet",
                "s.csv",
                "--output",
                &folder,
                "--shard",
                shard,
                "--min-aa",
                "10",
            ],
        );
        assert_code(&output, 3);
        let file = format!("{sample}.json");
        let ours = fs::read(path(&folder).join(&file)).unwrap();
        assert!(ours == fs::read(path("out").join(&file)).unwrap());
    }
}
