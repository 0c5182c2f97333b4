//! `sessile viral chunk | identify | classify | validate` as scripts see them: the original's files,
//! byte by byte, messages and exit codes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use sessile_models::checkpoint::{Saved, write_torch};

use crate::running::{assert_says, run, sessile, stderr, text, virnucpro};

fn assert_same(found: &Path, expected: &Path) {
    let (found_text, expected_text) = (fs::read(found).unwrap(), fs::read(expected).unwrap());
    assert!(found_text == expected_text, "{}", found.display());
}

#[test]
fn chunk_and_identified_files_are_those_of_the_original() {
    let folder = tempfile::tempdir().unwrap();
    for chunk in ["300", "500"] {
        let input = virnucpro(&format!("input{chunk}.fa"));
        let input = input.to_str().unwrap();
        let chunked = virnucpro(&format!("input{chunk}_chunked{chunk}.fa"));
        let output = run(folder.path(), &["viral", "chunk", input, "--chunk", chunk]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(output.stdout == fs::read(&chunked).unwrap());

        // From the genomes, and from the chunks.
        let whole = [
            "viral", "identify", input, "--chunk", chunk, "--chunks", "c.fa",
        ];
        let cut = [
            "viral",
            "identify",
            chunked.to_str().unwrap(),
            "--threads",
            "3",
        ];
        for arguments in [&whole[..], &cut[..]] {
            let mut arguments = arguments.to_vec();
            arguments.extend(["--nucleotide", "n.fa", "--protein", "p.faa", "--force"]);
            let output = run(folder.path(), &arguments);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let of = |kind| virnucpro(&format!("input{chunk}_identified_{kind}"));
            assert_same(&folder.path().join("n.fa"), &of("nucleotide.fa"));
            assert_same(&folder.path().join("p.faa"), &of("protein.faa"));
        }
        assert_same(&folder.path().join("c.fa"), &chunked);
    }
}

/// Rows of a result file: names and labels, and scores as numbers.
fn rows(path: &Path) -> Vec<(String, f32, f32)> {
    text(path)
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let score = |place: usize| fields[place].parse().unwrap();
            (format!("{}\t{}", fields[0], fields[1]), score(2), score(3))
        })
        .collect()
}

fn assert_results(folder: &Path, expected: &Path) {
    assert_same(
        &folder.join("prediction_results_highestscore.csv"),
        &expected.join("prediction_results_highestscore.csv"),
    );
    let found = text(&folder.join("prediction_results.txt"));
    let header = "Sequence_ID\tPrediction\tscore1\tscore2\n";
    assert!(found.starts_with(header) && found.ends_with('\n'));
    let found = rows(&folder.join("prediction_results.txt"));
    let expected = rows(&expected.join("prediction_results.txt"));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.0, expected.0);
        assert!((found.1 - expected.1).abs() <= 1e-4, "{}", found.0);
        assert!((found.2 - expected.2).abs() <= 1e-4, "{}", found.0);
    }
}

#[test]
fn result_files_are_those_of_the_original() {
    let folder = tempfile::tempdir().unwrap();
    let merged = virnucpro("e2e300/output_1_merged.pt");
    let (dnabert, esm) = (
        virnucpro("e2e300/output_1_DNABERT_S.pt"),
        virnucpro("e2e300/output_1_ESM.pt"),
    );
    let forms = ["model.pth", "model_state_dict.pth", "model.safetensors"];
    for (number, form) in forms.into_iter().enumerate() {
        let classifier = virnucpro(&format!("mlp/{form}"));
        let results = format!("r{number}");
        let mut arguments = vec!["viral", "classify", "--output", &results, "--chunk", "300"];
        arguments.extend(["--classifier", classifier.to_str().unwrap()]);
        match number {
            0 => arguments.extend(["--features", merged.to_str().unwrap()]),
            _ => {
                arguments.extend(["--nucleotide-features", dnabert.to_str().unwrap()]);
                arguments.extend(["--protein-features", esm.to_str().unwrap(), "--save-merged"]);
            }
        }
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_results(&folder.path().join(&results), &virnucpro("e2e300"));
    }
    // The joined features are a file that can be classified, with the same results.
    let again = [
        "viral",
        "classify",
        "--features",
        "r1/output_1_merged.pt",
        "--output",
        "r9",
    ];
    let classifier = virnucpro("mlp/model.pth");
    let output = run(
        folder.path(),
        &[&again[..], &["--classifier", classifier.to_str().unwrap()]].concat(),
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let results = |number: u32, name: &str| folder.path().join(format!("r{number}")).join(name);
    for name in [
        "prediction_results.txt",
        "frames.tsv",
        "chunks.tsv",
        "contigs.tsv",
    ] {
        assert_same(&results(9, name), &results(0, name));
    }
    let contigs = text(&results(0, "contigs.tsv"));
    let line = contigs
        .lines()
        .find(|line| line.starts_with("long_11_2\t"))
        .unwrap();
    assert_eq!(line.split('\t').nth(1), Some("12"), "{line}");
    let frames = text(&results(0, "frames.tsv"));
    assert_eq!(frames.lines().count(), 51);
    assert!(frames.contains("\nx2plus7|pipe.1_chunk_3F2\tx2plus7|pipe.1\t3\tF2\t"));
}

#[test]
fn a_bad_record_costs_itself_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let input = ">good\nACGTACGTACGTAA\n>empty\n>protein\nMKVLEEF\n>rna\nACGUE\n>\nACGT\n>nul\nAC\0GT\n\
                 >short\nAC\n>gaps\nACGN-RYT\n>good\nACGACG\n";
    fs::write(folder.path().join("in.fa"), input).unwrap();
    let arguments = [
        "viral",
        "identify",
        "in.fa",
        "--chunk",
        "10",
        "--nucleotide",
        "n.fa",
    ];
    let output = run(
        folder.path(),
        &[&arguments[..], &["--protein", "p.faa"]].concat(),
    );
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let said = stderr(&output);
    for reason in [
        "record 2 (empty), line 3: the record has no sequence",
        "record 3 (protein), line 4: 'L' at position 4",
        "record 4 (rna), line 6: 'E' at position 5",
        "the header has no identifier",
        "record 6 (nul)",
        "5 failed",
    ] {
        assert!(said.contains(reason), "{reason}: {said}");
    }
    let names = |file: &str| -> Vec<String> {
        text(&folder.path().join(file))
            .lines()
            .filter_map(|line| line.strip_prefix('>').map(str::to_owned))
            .collect()
    };
    let found = names("p.faa");
    assert!(found.contains(&"good_chunk_1F2".to_owned()), "{found:?}");
    assert!(found.contains(&"gaps_chunk_1F1".to_owned()), "{found:?}");
    assert!(
        !found.iter().any(|name| name.starts_with("short")),
        "{found:?}"
    );
    assert_eq!(found, names("n.fa"));

    let output = run(folder.path(), &["viral", "validate", "in.fa"]);
    assert_eq!(output.status.code(), Some(4));
    let said = stderr(&output);
    for words in [
        "came before",
        "hold no codon",
        "50.0 % of the bases are ambiguous",
        "error: 5 records would fail",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("records:    9 (5 would fail)"), "{report}");
    fs::write(folder.path().join("none.fa"), "").unwrap();
    let output = run(folder.path(), &["viral", "validate", "none.fa"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("none.fa has no records"));
    fs::write(folder.path().join("good.fa"), ">a\nACGT\n").unwrap();
    let output = run(folder.path(), &["viral", "validate", "good.fa", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["records"], &json["bases"]), (&1.into(), &4.into()));
}

/// A pickle that would call `os.system` when Python loads it, in torch's archive.
fn running_pickle(path: &Path) {
    let call = Saved::Object {
        module: "os",
        class: "system",
        state: Vec::new(),
    };
    fs::write(path, write_torch(Vec::new(), "evil", &call).unwrap()).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (merged, model) = (
        virnucpro("e2e300/output_1_merged.pt"),
        virnucpro("mlp/model.pth"),
    );
    let (merged, model) = (merged.to_str().unwrap(), model.to_str().unwrap());
    fs::copy(model, folder.path().join("300_model.pth")).unwrap();
    fs::copy(model, folder.path().join("bound.pth")).unwrap();
    let sidecar = r#"{"chunk": 300, "nucleotide": 72, "protein": 48}"#;
    fs::write(folder.path().join("bound.pth.json"), sidecar).unwrap();
    running_pickle(&folder.path().join("evil.pth"));
    fs::write(folder.path().join("text.pt"), "not a zip").unwrap();
    let esm = virnucpro("e2e300/output_1_ESM.pt");
    let esm = esm.to_str().unwrap();
    let cases: [(&str, &str, &[&str], i32, &str); 10] = [
        (
            merged,
            "300_model.pth",
            &["--chunk", "500"],
            4,
            "for chunks of 300 bases, not of 500",
        ),
        (
            merged,
            "bound.pth",
            &["--chunk", "500"],
            4,
            "for chunks of 300 bases, not of 500",
        ),
        (
            merged,
            "bound.pth",
            &["--nucleotide-size", "768"],
            4,
            "72 numbers, these have 768",
        ),
        (
            merged,
            "bound.pth",
            &["--protein-size", "2560"],
            4,
            "48 numbers, these have 2560",
        ),
        (merged, "evil.pth", &[], 4, "os.system"),
        (merged, "none.pth", &[], 4, "no such file"),
        ("text.pt", model, &[], 4, "text.pt"),
        (esm, model, &[], 4, "--protein-features"),
        (merged, model, &["--threads", "0"], 2, "invalid value '0'"),
        (model, model, &[], 4, "there is no list `ids`"),
    ];
    for (features, classifier, extra, code, words) in cases {
        let mut arguments = vec!["viral", "classify", "--output", "out"];
        arguments.extend(["--features", features, "--classifier", classifier]);
        arguments.extend(extra);
        let output = run(folder.path(), &arguments);
        assert_says(&output, code, words);
        assert!(!folder.path().join("out").exists(), "{words}");
    }
}

#[test]
fn results_are_not_written_over_without_force() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.fa"), ">a\nACGT\n").unwrap();
    fs::write(folder.path().join("n.fa"), "old").unwrap();
    let arguments = [
        "viral",
        "identify",
        "in.fa",
        "--nucleotide",
        "n.fa",
        "--protein",
        "p.faa",
    ];
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        stderr(&output).contains("n.fa exists"),
        "{}",
        stderr(&output)
    );
    assert_eq!(text(&folder.path().join("n.fa")), "old");
    assert!(!folder.path().join("p.faa").exists());
    let output = run(
        folder.path(),
        &[&arguments[..], &["--force", "--quiet"]].concat(),
    );
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
    assert_eq!(
        text(&folder.path().join("n.fa")).lines().next(),
        Some(">aF1")
    );
}

#[test]
fn standard_input_and_a_reader_that_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = sessile(folder.path(), &["viral", "chunk", "-", "--chunk", "500"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    drop(child.stdout.take());
    let record = format!(">long\n{}\n", "ACGT".repeat(2_000_000));
    // The program may end while it is still being written to.
    let _ = input.write_all(record.as_bytes());
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
}

#[test]
fn scores_are_drawn_along_contigs() {
    let folder = tempfile::tempdir().unwrap();
    let results = virnucpro("e2e300/prediction_results.txt");
    let results = results.to_str().unwrap();
    let plot = |extra: &[&str]| {
        run(
            folder.path(),
            &[&["viral", "plot", results], extra].concat(),
        )
    };
    // The original's results do not say where chunks lie.
    let contig = ["--output", "s.svg", "--contig", "long_11_2"];
    let output = plot(&contig);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("--input"), "{}", stderr(&output));
    let svg = text(&folder.path().join("s.svg"));
    assert!(svg.starts_with("<svg") && svg.contains(">long_11_2</text>"));
    assert!(svg.contains(">number of the chunk</text>"), "{svg}");
    let input = virnucpro("input300.fa");
    let placed = [
        "--force",
        "--chunk",
        "300",
        "--input",
        input.to_str().unwrap(),
    ];
    let output = plot(&[&contig[..], &placed].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let svg = text(&folder.path().join("s.svg"));
    assert!(svg.contains(">long_11_2 · 3,360 bases</text>"), "{svg}");
    assert!(svg.contains(">3000</text>") && svg.contains(">position (bases)</text>"));
    for (extra, code, words) in [
        (&["--output", "s.svg"][..], 4, "s.svg exists"),
        (&["--output", "s.gif"], 2, ".svg"),
        (
            &["--output", "t.svg", "--contig", "none"],
            4,
            "none of the contigs",
        ),
    ] {
        let output = plot(extra);
        assert_says(&output, code, words);
    }
}
