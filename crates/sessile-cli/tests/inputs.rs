//! Inputs as people have them: empty, saved by a spreadsheet, RNA, with names that come twice.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::running::{assert_says, rows, run, sessile, stderr, text};

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    path.join(name).to_str().unwrap().to_owned()
}

/// Runs with this on standard input.
fn fed(directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = sessile(directory, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// A command that makes rows of records.
struct Case {
    name: &'static str,
    /// Before the input.
    arguments: Vec<String>,
    /// The flag of the input; empty for one without.
    flag: &'static str,
    ending: &'static str,
    after: &'static [&'static str],
    /// The output and what it holds for no records; none for a command without.
    output: Option<(&'static str, &'static str)>,
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn cases() -> Vec<Case> {
    let esm = golden("esm2/tiny_a");
    let dnabert = golden("dnabert_s/tiny_a");
    let classifier = golden("virnucpro/mlp/model.pth");
    let stage = |name: &'static str, ending: &'static str| Case {
        name,
        arguments: words(&["entropy", name]),
        flag: "--input",
        ending,
        after: &["--output", "o.json"],
        output: Some(("o.json", "[]\n")),
    };
    vec![
        Case {
            name: "embed",
            arguments: words(&["embed", "--model", &esm]),
            flag: "--input",
            ending: "fa",
            after: &["--output", "o.jsonl"],
            output: Some(("o.jsonl", "")),
        },
        Case {
            name: "encode3di",
            arguments: words(&["entropy", "encode3di", "--model", &golden("prostt5/tiny")]),
            flag: "--input",
            ending: "fa",
            after: &["--output", "o.jsonl"],
            output: Some(("o.jsonl", "")),
        },
        Case {
            name: "summarize",
            arguments: words(&["summarize", "--model", &golden("bart/tiny")]),
            flag: "--input",
            ending: "jsonl",
            after: &["--output", "o.jsonl"],
            output: Some(("o.jsonl", "")),
        },
        Case {
            name: "entropy run",
            ..stage("run", "fa")
        },
        Case {
            name: "entropy run, GenBank",
            flag: "--genbank",
            ..stage("run", "gb")
        },
        stage("orf", "fa"),
        stage("fasta-to-protein", "faa"),
        Case {
            name: "encode3di, JSON",
            ending: "json",
            arguments: words(&["entropy", "encode3di", "--model", &golden("prostt5/tiny")]),
            after: &["--output", "o.jsonl"],
            output: Some(("o.jsonl", "")),
            ..stage("encode3di", "json")
        },
        stage("translate", "json"),
        stage("entropy", "json"),
        Case {
            name: "viral identify",
            arguments: words(&["viral", "identify"]),
            flag: "",
            ending: "fa",
            after: &[
                "--chunk",
                "300",
                "--nucleotide",
                "n.fa",
                "--protein",
                "p.faa",
            ],
            output: Some(("p.faa", "")),
        },
        Case {
            name: "viral validate",
            arguments: words(&["viral", "validate"]),
            flag: "",
            ending: "fa",
            after: &[],
            output: None,
        },
        Case {
            name: "viral predict",
            arguments: words(&[
                "viral",
                "predict",
                "--dnabert",
                &dnabert,
                "--esm",
                &esm,
                "--classifier",
                &classifier,
                "--chunk",
                "300",
            ]),
            flag: "",
            ending: "fa",
            after: &["--output", "o"],
            output: Some((
                "o/prediction_results.txt",
                "Sequence_ID\tPrediction\tscore1\tscore2\n",
            )),
        },
    ]
}

#[test]
fn an_input_without_records_is_answered_alike_by_all_commands() {
    for case in cases() {
        let Case { name, ending, .. } = case;
        let mut inputs: Vec<(&str, &[u8])> = vec![
            ("empty", b""),
            ("blank", b"\n \r\n\r\t\n"),
            ("mark", b"\xef\xbb\xbf\r\n"),
        ];
        if ending.starts_with("fa") {
            inputs.push(("comment", b"; nothing yet\n\n"));
        }
        if ending == "json" {
            inputs.push(("list", b"[]\n"));
        }
        inputs.push(("-", b""));
        for (input, content) in inputs {
            let directory = tempfile::tempdir().unwrap();
            let file = match input {
                "-" => input.to_owned(),
                _ => format!("{input}.{ending}"),
            };
            if input != "-" {
                fs::write(directory.path().join(&file), content).unwrap();
            }
            let mut arguments: Vec<&str> = case.arguments.iter().map(String::as_str).collect();
            if !case.flag.is_empty() {
                arguments.push(case.flag);
            }
            arguments.push(&file);
            arguments.extend(case.after);
            let output = fed(directory.path(), &arguments, content);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(0), "{name}, {input}: {said}");
            let told = match input {
                "-" => "warning: standard input has no records".to_owned(),
                _ => format!("warning: {file} has no records"),
            };
            assert_eq!(said.matches(&told).count(), 1, "{name}, {input}: {said}");
            if let Some((file, expected)) = case.output {
                let found = text(&directory.path().join(file));
                assert_eq!(found, expected, "{name}, {input}");
            }
        }
    }
}

#[test]
fn an_empty_file_beside_others_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.fa"), ">a\nMKTAYIAK\n").unwrap();
    fs::write(directory.path().join("b.fa"), "").unwrap();
    let esm = golden("esm2/tiny_a");
    let arguments = [
        "embed", "--model", &esm, "--input", "a.fa", "b.fa", "--output", "o.jsonl",
    ];
    let output = run(directory.path(), &arguments);
    assert_says(&output, 0, "warning: b.fa has no records");
    assert_eq!(rows(&directory.path().join("o.jsonl")).len(), 1);
}

#[test]
fn rna_gives_a_model_of_nucleotides_the_vectors_of_dna() {
    let directory = tempfile::tempdir().unwrap();
    let input = ">t\nACGTACGT\n>u\nACGUACGU\n>n\nACGNACGN\n>lower\nacguacgu\n";
    fs::write(directory.path().join("u.fa"), input).unwrap();
    let dnabert = golden("dnabert_s/tiny_a");
    let arguments = [
        "embed",
        "--model",
        &dnabert,
        "--input",
        "u.fa",
        "--output",
        "o.jsonl",
        "--outputs",
        "mean_all",
    ];
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let rows = rows(&directory.path().join("o.jsonl"));
    assert_eq!(rows[0]["mean_all"], rows[1]["mean_all"]);
    assert_eq!(rows[0]["mean_all"], rows[3]["mean_all"]);
    assert_ne!(rows[0]["mean_all"], rows[2]["mean_all"]);
}

#[test]
fn equal_identifiers_are_told_and_descriptions_can_be_kept() {
    let directory = tempfile::tempdir().unwrap();
    let input =
        ">protein 1\nMKTAYIAKQR\n>protein 2\nMKVLAAGG\n>protein 3\nMKVLAAGGWWW\n>other\nMK\n";
    fs::write(directory.path().join("n.fa"), input).unwrap();
    let esm = golden("esm2/tiny_a");
    let embed = |output: &str, more: &[&str]| {
        let arguments = [
            "embed", "--model", &esm, "--input", "n.fa", "--output", output,
        ];
        let output = run(directory.path(), &[&arguments[..], more].concat());
        let told = "n.fa: record 2 (protein), line 3: the identifier came before";
        assert_says(&output, 0, told);
        assert_eq!(stderr(&output).matches("came before").count(), 1);
        output
    };
    let output = embed("plain.jsonl", &[]);
    assert!(stderr(&output).contains("--with-description keeps the rest"));
    let plain = rows(&directory.path().join("plain.jsonl"));
    assert!(plain.iter().all(|row| row.get("description").is_none()));
    embed("kept.jsonl", &["--with-description"]);
    let kept = rows(&directory.path().join("kept.jsonl"));
    let descriptions: Vec<_> = kept.iter().map(|row| row["description"].as_str()).collect();
    assert_eq!(descriptions, [Some("1"), Some("2"), Some("3"), Some("")]);
    assert_eq!(kept[1]["mean"], plain[1]["mean"]);
    for format in ["kept.parquet", "kept.npz", "kept.npy"] {
        embed(format, &["--with-description"]);
    }

    fs::write(
        directory.path().join("g.fa"),
        ">g 1\nATGAAACCCTAA\n>g 2\nATGAAACCCTAA\n",
    )
    .unwrap();
    for arguments in [
        &["entropy", "run", "--input", "g.fa", "--output", "o.json"][..],
        &["entropy", "orf", "--input", "g.fa", "--output", "orfs.json"],
        &[
            "viral",
            "identify",
            "g.fa",
            "--chunk",
            "10",
            "--protein",
            "p.faa",
            "--nucleotide",
            "frames.fa",
        ],
        &["viral", "validate", "g.fa"],
    ] {
        let output = run(directory.path(), arguments);
        assert_says(
            &output,
            0,
            "g.fa: record 2 (g), line 3: the identifier came before",
        );
    }
}

#[test]
fn byte_order_marks_are_passed_over_in_every_text_input() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let fasta = "\u{feff}>a\r\nATGAAACCCTAA\r\n";
    fs::write(path("a.fa"), fasta).unwrap();
    fs::write(path("sheet.csv"), "\u{feff}sample,path\r\ns1,a.fa\r\n").unwrap();
    fs::write(path("s.toml"), "\u{feff}[entropy.run]\r\nmin-aa = 2\r\n").unwrap();
    let arguments = [
        "--config",
        "s.toml",
        "entropy",
        "run",
        "--sample-sheet",
        "sheet.csv",
        "--output",
        "out",
    ];
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(path("out").join("s1.json").exists(), "{}", stderr(&output));
    let found = text(&path("out").join("s1.json"));
    assert!(found.contains("\"a\"") && found.contains("MKP"), "{found}");

    fs::write(
        path("a.jsonl"),
        "\u{feff}{\"id\":\"bom\",\"text\":\"Prices rose.\"}\r\n",
    )
    .unwrap();
    let bart = golden("bart/tiny");
    let arguments = [
        "summarize",
        "--model",
        &bart,
        "--input",
        "a.jsonl",
        "--output",
        "o.jsonl",
    ];
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let rows = rows(&path("o.jsonl"));
    assert_eq!(rows[0]["id"], "bom");

    // JSON that was saved by an editor is read back.
    fs::write(path("p.json"), format!("\u{feff}{found}")).unwrap();
    let arguments = [
        "entropy", "entropy", "--input", "p.json", "--output", "e.json",
    ];
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn other_encodings_are_refused_by_name_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    let wide = |text: &str| -> Vec<u8> {
        let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()
    };
    fs::write(directory.path().join("w.fa"), wide(">a\nACGTACGT\n")).unwrap();
    fs::write(directory.path().join("w.gb"), wide("LOCUS       A\n")).unwrap();
    fs::write(directory.path().join("w.csv"), wide("s1,a.fa\n")).unwrap();
    fs::write(directory.path().join("w.json"), wide("[]\n")).unwrap();
    fs::write(directory.path().join("w.toml"), wide("threads = 1\n")).unwrap();
    for (arguments, code) in [
        (
            &["entropy", "run", "--input", "w.fa", "--output", "o.json"][..],
            4,
        ),
        (
            &["entropy", "run", "--genbank", "w.gb", "--output", "o.json"],
            4,
        ),
        (
            &["entropy", "run", "--sample-sheet", "w.csv", "--output", "o"],
            4,
        ),
        (
            &[
                "entropy",
                "translate",
                "--input",
                "w.json",
                "--output",
                "o.json",
            ],
            4,
        ),
        (
            &[
                "viral",
                "identify",
                "w.fa",
                "--chunk",
                "10",
                "--protein",
                "p.faa",
                "--nucleotide",
                "n.fa",
            ],
            4,
        ),
        (&["viral", "validate", "w.fa"], 4),
        (&["--config", "w.toml", "devices"], 2),
    ] {
        let output = run(directory.path(), arguments);
        assert_says(&output, code, "the text is UTF-16; save it as UTF-8");
    }
}

#[test]
fn a_byte_order_mark_before_the_json_of_a_request_is_passed_over() {
    let service = crate::service::Running::tiny(crate::service::options());
    let json = r#"{"input": ["MKTAYIAK"]}"#;
    let plain = service.post_text("/v1/embeddings", json.as_bytes());
    assert_eq!(plain.status, 200, "{}", plain.text());
    let marked = service.post_text("/v1/embeddings", format!("\u{feff}{json}").as_bytes());
    assert_eq!(marked.status, 200, "{}", marked.text());
    assert_eq!(marked.json()["data"], plain.json()["data"]);
    let wide: Vec<u8> = "\u{feff}{}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let refused = service.post_text("/v1/embeddings", &wide);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("UTF-16"), "{}", refused.text());
}
