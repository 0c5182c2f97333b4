//! `sessile entropy ml`, `plot` and `run --report` as scripts see them.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Output;

use crate::running::{Numbers, run, stderr};
use serde_json::Value;

fn entropy(directory: &Path, arguments: &[&str]) -> Output {
    run(directory, &[&["entropy"], arguments].concat())
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn flate2_text(path: &Path) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).unwrap();
    (flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text)).unwrap();
    text
}

fn reverse_complement(sequence: &[u8]) -> Vec<u8> {
    let complement = |base: &u8| match base {
        b'A' => b'T',
        b'C' => b'G',
        b'G' => b'C',
        _ => b'A',
    };
    sequence.iter().rev().map(complement).collect()
}

/// A gene: ATG, codons of which some are more frequent, TAA. The codons hold no stop.
fn gene(numbers: &mut Numbers, codons: usize) -> Vec<u8> {
    const FREQUENT: [&[u8]; 12] = [
        b"GCT", b"CGT", b"AAC", b"GAC", b"GAA", b"GGT", b"ATC", b"CTG", b"AAA", b"TTC", b"TCT",
        b"GTT",
    ];
    let mut gene = b"ATG".to_vec();
    while gene.len() < 3 * codons {
        let codon: [u8; 3] = [(); 3].map(|()| b"ACGT"[numbers.below(4)]);
        let is_stop = [*b"TAA", *b"TAG", *b"TGA"].contains(&codon);
        match numbers.below(3) {
            0 if !is_stop => gene.extend(codon),
            _ => gene.extend(FREQUENT[numbers.below(FREQUENT.len())]),
        }
    }
    gene.extend(b"TAA");
    gene
}

/// A GenBank record of random bases with genes on both strands, each annotated where it is.
fn genbank(numbers: &mut Numbers, id: &str, genes: usize) -> String {
    let mut sequence: Vec<u8> = Vec::new();
    let mut features = String::new();
    for number in 0..genes {
        // A stop in every frame, so that a gene's ORF begins at most a few codons before it.
        let gap = 60 + numbers.below(300);
        sequence.extend((0..gap).map(|_| b"ACGT"[numbers.below(4)]));
        sequence.extend(b"TTAATTAATTAA");
        let length = 60 + numbers.below(240);
        let gene = gene(numbers, length);
        let (from, to) = (sequence.len() + 1, sequence.len() + gene.len());
        match number % 2 {
            0 => {
                features.push_str(&format!("     CDS             {from}..{to}\n"));
                sequence.extend(gene);
            }
            _ => {
                features.push_str(&format!("     CDS             complement({from}..{to})\n"));
                sequence.extend(reverse_complement(&gene));
            }
        }
        features.push_str(
            "                     /codon_start=1\n                     /transl_table=11\n",
        );
        sequence.extend(b"TTAATTAATTAA");
    }
    let mut origin = String::new();
    for (line, bases) in sequence.chunks(60).enumerate() {
        origin.push_str(&format!("{:>9}", 60 * line + 1));
        for block in bases.chunks(10) {
            let block = String::from_utf8(block.to_ascii_lowercase()).unwrap();
            origin.push_str(&format!(" {block}"));
        }
        origin.push('\n');
    }
    let length = sequence.len();
    format!(
        "LOCUS       {id:<16} {length} bp    DNA     linear   BCT 01-JAN-2026\nDEFINITION  made up.\n\
         ACCESSION   {id}\nVERSION     {id}.1\nFEATURES             Location/Qualifiers\n     source          \
         1..{length}\n{features}ORIGIN\n{origin}//\n"
    )
}

/// Labelled JSON of `files` genomes in `folder/runs`.
fn labelled(folder: &Path, files: usize) {
    let mut numbers = Numbers::new(17);
    fs::create_dir(folder.join("runs")).unwrap();
    for file in 0..files {
        let text = genbank(&mut numbers, &format!("GEN{file}"), 40);
        fs::write(folder.join(format!("{file}.gbk")), text).unwrap();
        let (input, output) = (format!("{file}.gbk"), format!("runs/{file}.json.gz"));
        let done = entropy(folder, &["run", "--genbank", &input, "--output", &output]);
        assert_code(&done, 0);
    }
}

#[test]
fn a_classifier_learns_from_annotated_genomes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    labelled(folder, 5);
    let done = entropy(
        folder,
        &[
            "ml",
            "train",
            "--split-dir",
            "runs",
            "--output",
            "model.ubj",
            "--report",
            "report.json",
            "--class-weight",
            "balanced",
            "--early-stopping",
            "10",
            "--json",
        ],
    );
    assert_code(&done, 0);
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    let report = read(&folder.join("report.json"));
    assert_eq!(said["test"]["auc"], report["test_metrics"]["auc"]);
    assert_eq!(report["training_files"].as_array().unwrap().len(), 4);
    let test_files = report["test_files"].as_array().unwrap();
    assert_eq!(test_files.len(), 1);

    // Better than calling every ORF what most of them are.
    let samples = &report["test_samples"];
    let number = |value: &Value| value.as_f64().unwrap();
    let genes = number(&samples["n_in_genbank"]);
    assert!((30.0..=40.0).contains(&genes), "{samples}");
    let most = genes.max(number(&samples["n_not_in_genbank"]));
    let baseline = most / number(&samples["n_samples"]);
    let metrics = &report["test_metrics"];
    assert!(
        number(&metrics["accuracy"]) > baseline + 0.02,
        "{metrics} {baseline}"
    );
    assert!(number(&metrics["auc"]) > 0.95, "{metrics}");
    assert!(number(&metrics["f1"]) > 0.6, "{metrics}");
    let importance = report["feature_importance"].as_object().unwrap();
    assert_eq!(importance.len(), 12);
    let shares: f64 = importance.values().map(number).sum();
    assert!((shares - 1.0).abs() < 1e-9);

    // What the report predicts is what the model predicts, whatever form it is written in.
    let test_file = format!("runs/{}", test_files[0].as_str().unwrap());
    let predict = |model: &str, output: &str, more: &[&str]| {
        let arguments = [
            "ml", "predict", "--input", &test_file, "--model", model, "--output", output,
        ];
        assert_code(&entropy(folder, &[&arguments, more].concat()), 0);
        fs::read_to_string(folder.join(output)).unwrap()
    };
    let table = predict("model.ubj", "p.csv", &[]);
    let mut lines = table.lines();
    let header = "input_id,orf_id,predicted_label,prob_not_in_genbank,prob_in_genbank,in_genbank";
    assert_eq!(lines.next(), Some(header));
    let predictions = report["test_predictions"].as_array().unwrap();
    assert_eq!(lines.clone().count(), predictions.len());
    for (line, prediction) in lines.zip(predictions) {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields[0], prediction["input_id"]);
        assert_eq!(fields[1], prediction["orf_id"]);
        assert_eq!(fields[2], prediction["predicted_label"].to_string());
        let probability: f64 = fields[4].parse().unwrap();
        assert!((probability - number(&prediction["probability_in_genbank"])).abs() < 1e-6);
        let label = if prediction["actual_label"] == 1 {
            "True"
        } else {
            "False"
        };
        assert_eq!(fields[5], label);
    }
    let old = predict("model.ubj", "p.tsv", &["--compat", "genome-entropy-0.1"]);
    let header = "orf_id\tpredicted_label\tprob_not_in_genbank\tprob_in_genbank\tin_genbank";
    assert_eq!(old.lines().next(), Some(header));

    // The same seed gives the same model; JSON holds the same trees as UBJ.
    let again = [
        "ml",
        "train",
        "--split-dir",
        "runs",
        "--output",
        "again.json",
        "--class-weight",
        "balanced",
        "--early-stopping",
        "10",
        "--quiet",
    ];
    assert_code(&entropy(folder, &again), 0);
    assert_eq!(
        predict("again.json", "again.csv", &["--best-iteration"]),
        table
    );
}

#[test]
fn orfs_are_split_at_random_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    labelled(folder, 2);
    let arguments = [
        "ml", "train", "--input", "runs", "--output", "m.json", "--report", "r.json",
    ];
    assert_code(&entropy(folder, &arguments), 0);
    let report = read(&folder.join("r.json"));
    assert!(report.get("test_predictions").is_none());
    let samples = |key: &str| report[key]["n_samples"].as_u64().unwrap();
    let (training, test) = (samples("training_samples"), samples("test_samples"));
    assert_eq!(test, (training + test) / 10);
    assert!(report["test_metrics"]["auc"].as_f64().unwrap() > 0.9);
    // By records: two of them are put on different sides.
    let by_records = [
        "ml", "train", "--input", "runs", "--split", "records", "--output", "b.ubj", "--report",
        "b.json",
    ];
    assert_code(&entropy(folder, &by_records), 0);
    let report_by_records = read(&folder.join("b.json"));
    let sizes: Vec<u64> = (0..2)
        .map(|file| {
            let text = flate2_text(&folder.join(format!("runs/{file}.json.gz")));
            let records: Value = serde_json::from_str(&text).unwrap();
            records[0]["features"].as_object().unwrap().len() as u64
        })
        .collect();
    let kept_back = report_by_records["test_samples"]["n_samples"]
        .as_u64()
        .unwrap();
    let trained_on = report_by_records["training_samples"]["n_samples"]
        .as_u64()
        .unwrap();
    assert!(
        [kept_back, trained_on] == [sizes[0], sizes[1]]
            || [kept_back, trained_on] == [sizes[1], sizes[0]],
        "{kept_back} {trained_on} {sizes:?}"
    );
    // As scripts call genome_entropy.
    let short = [
        "ml",
        "train",
        "--json-dir",
        "runs",
        "-v",
        "0.3",
        "-t",
        "0.2",
        "--random-seed",
        "7",
        "-o",
        "s.ubj",
    ];
    assert_code(&entropy(folder, &short), 0);
    let short = ["ml", "predict", "-i", "runs", "-m", "s.ubj", "-o", "s.tsv"];
    assert_code(&entropy(folder, &short), 0);
    // Written once, not over.
    assert_code(&entropy(folder, &arguments), 4);
}

#[test]
fn what_can_not_be_learnt_from_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    labelled(folder, 1);
    fs::write(
        folder.join("plain.fa"),
        ">a\nATGAAACCCGGGTTTAAACCCGGGTTTTAA\n",
    )
    .unwrap();
    let run = [
        "run",
        "--input",
        "plain.fa",
        "--min-aa",
        "3",
        "--output",
        "plain.json",
    ];
    assert_code(&entropy(folder, &run), 0);
    let run = [
        "run",
        "--genbank",
        "0.gbk",
        "--skip-entropy",
        "--output",
        "skipped.json",
    ];
    assert_code(&entropy(folder, &run), 0);
    fs::write(folder.join("bad.json"), "[{\"features\": {\"a\": {\"dna\"").unwrap();
    fs::write(folder.join("bad.ubj"), b"{L\0\0\0\0").unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    for (arguments, code, words) in [
        (
            &["ml", "train", "--input", "plain.json", "--output", "m.ubj"][..],
            4,
            "is in GenBank",
        ),
        (
            &["ml", "train", "--input", "bad.json", "--output", "m.ubj"],
            4,
            "bad.json",
        ),
        (
            &["ml", "train", "--input", "empty", "--output", "m.ubj"],
            4,
            "no file of this kind",
        ),
        (
            &["ml", "train", "--input", "none.json", "--output", "m.ubj"],
            4,
            "none.json",
        ),
        (
            &[
                "ml",
                "train",
                "--input",
                "skipped.json",
                "--output",
                "m.ubj",
            ],
            4,
            "dna_entropy is missing",
        ),
        (
            &["ml", "train", "--split-dir", "runs", "--output", "m.ubj"],
            2,
            "two files",
        ),
        (
            &["ml", "train", "--input", "runs", "--output", "m.bin"],
            2,
            ".ubj",
        ),
        (
            &[
                "ml",
                "train",
                "--input",
                "runs",
                "--test-split",
                "1",
                "--output",
                "m.ubj",
            ],
            2,
            "--test-split",
        ),
        (
            &[
                "ml", "train", "--input", "runs", "--depth", "0", "--output", "m.ubj",
            ],
            4,
            "depth",
        ),
        (
            &[
                "ml",
                "train",
                "--input",
                "runs",
                "--class-weight",
                "0",
                "--output",
                "m.ubj",
            ],
            2,
            "weight",
        ),
        (
            &[
                "ml", "predict", "--input", "runs", "--model", "bad.ubj", "--output", "p.csv",
            ],
            4,
            "bad.ubj",
        ),
        (
            &[
                "ml", "predict", "--input", "runs", "--model", "none.ubj", "--output", "p.csv",
            ],
            4,
            "none.ubj",
        ),
        (
            &["plot", "--input", "runs", "--output", "p.pdf"],
            2,
            ".svg or .png",
        ),
        (
            &["plot", "--input", "runs", "--output", "p.svg"],
            4,
            "structure states",
        ),
        (
            &[
                "plot", "--input", "runs", "--figure", "genome", "--record", "x", "--output",
                "p.svg",
            ],
            4,
            "no record x",
        ),
        (
            &[
                "run", "--input", "plain.fa", "--output", "o.tsv", "--report", "r.html",
            ],
            2,
            "--report",
        ),
    ] {
        let output = entropy(folder, arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(words),
            "{arguments:?}: {}",
            stderr(&output)
        );
        for left in [
            "m.ubj", "m.bin", "p.csv", "p.svg", "p.pdf", "o.tsv", "r.html",
        ] {
            assert!(!folder.join(left).exists(), "{arguments:?} left {left}");
        }
    }
    // A bad file beside good ones costs itself alone.
    fs::copy(folder.join("bad.json"), folder.join("runs/bad.json")).unwrap();
    let output = entropy(
        folder,
        &["ml", "train", "--input", "runs", "--output", "m.ubj"],
    );
    assert_code(&output, 3);
    assert!(folder.join("m.ubj").exists() && stderr(&output).contains("bad.json"));
}

#[test]
fn a_run_is_drawn_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    labelled(folder, 1);
    let done = entropy(
        folder,
        &[
            "run",
            "--genbank",
            "0.gbk",
            "--output",
            "o.jsonl",
            "--output",
            "o.tsv",
            "--report",
            "r.html",
        ],
    );
    assert_code(&done, 0);
    let page = fs::read_to_string(folder.join("r.html")).unwrap();
    assert!(page.contains("<h1>Genome entropy <span>GEN0.1</span></h1>"));
    assert_eq!(page.matches("<svg ").count(), 3);
    for (figure, output) in [("genome", "g.png"), ("length", "l.svg"), ("genome", "-")] {
        let arguments = [
            "plot", "--input", "o.jsonl", "--figure", figure, "--output", output,
        ];
        let drawn = entropy(folder, &arguments);
        assert_code(&drawn, 0);
        let bytes = match output {
            "-" => drawn.stdout,
            file => fs::read(folder.join(file)).unwrap(),
        };
        let begins: &[u8] = if output == "g.png" {
            b"\x89PNG"
        } else {
            b"<svg"
        };
        assert!(bytes.starts_with(begins), "{output}");
    }
    let arguments = ["plot", "--input", "o.jsonl", "--output", "again.html"];
    assert_code(&entropy(folder, &arguments), 0);
    let again = fs::read_to_string(folder.join("again.html")).unwrap();
    assert_eq!(again, page);
}
