//! `sessile summarize` as scripts call it.

use std::process::{Command, Output};

use serde_json::Value;

const BART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/bart/tiny");

fn sessile(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sessile"))
        .args(["summarize", "--model", BART, "--dtype", "f32"])
        .args(arguments)
        .output()
        .unwrap()
}

fn rows(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Bad articles keep their place, and the others are the reference's to the token.
#[test]
fn articles_keep_their_order_and_fields() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (
        folder.path().join("in.jsonl"),
        folder.path().join("out.jsonl"),
    );
    let articles: Value =
        serde_json::from_slice(&std::fs::read(format!("{BART}/inputs.json")).unwrap()).unwrap();
    let expected: Value =
        serde_json::from_slice(&std::fs::read(format!("{BART}/expected.json")).unwrap()).unwrap();
    let mut lines = vec![
        "{\"id\": 1}".to_owned(),
        "no JSON".to_owned(),
        "{\"text\": \"  \", \"id\": \"blank\"}".to_owned(),
    ];
    for article in articles.as_array().unwrap() {
        let (name, text) = (&article["name"], &article["text"]);
        if text.as_str().unwrap().is_empty() {
            continue;
        }
        lines.push(format!(
            "{{\"z\": 1, \"text\": {text}, \"id\": {name}, \"a\": [2]}}"
        ));
    }
    std::fs::write(&input, lines.join("\n")).unwrap();
    let (input, out) = (input.to_str().unwrap(), output.to_str().unwrap());
    let run = sessile(&[
        "--input",
        input,
        "--output",
        out,
        "--with-ids",
        "--long",
        "truncate",
    ]);
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    let rows = rows(&output);
    assert_eq!(rows.len(), lines.len());
    for (row, reason) in rows.iter().zip(["no field `text`", "expected", "empty"]) {
        assert!(row["error"].as_str().unwrap().contains(reason), "{row}");
    }
    for row in &rows[3..] {
        let name = row["id"].as_str().unwrap();
        let truth = &expected[name];
        if let Some(run) = truth.get("bart_large_cnn_defaults") {
            assert_eq!(row["token_ids"], run["ids"], "{name}");
            assert_eq!(row["summary"], run["text"], "{name}");
        }
        assert_eq!(row["truncated"], name == "trunc");
        assert_eq!((&row["z"], &row["a"]), (&1.into(), &Value::from(vec![2])));
    }
    let text = std::fs::read_to_string(&output).unwrap();
    let fourth = text.lines().nth(3).unwrap();
    assert!(
        fourth.starts_with("{\"z\":1,\"id\":"),
        "the order of the fields: {fourth}"
    );

    let again = sessile(&["--input", input, "--output", out]);
    assert_eq!(
        again.status.code(),
        Some(2),
        "an output is not written over: {again:?}"
    );
}

#[test]
fn text_files_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("story.txt");
    std::fs::write(
        &input,
        "The committee measured the crowded theatre in spring.",
    )
    .unwrap();
    let input = input.to_str().unwrap();
    let short = ["--num-beams", "1", "--min-length", "2", "--max-length", "8"];
    let run = sessile(
        &[
            &["--input", input, "--output", "-", "--with-ids"],
            &short[..],
        ]
        .concat(),
    );
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let row: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(row["id"], "story");
    assert!(row["token_ids"].as_array().unwrap().len() <= 8);

    let drawn = |seed: &str| {
        let chance = [
            "--do-sample",
            "--seed",
            seed,
            "--min-length",
            "2",
            "--max-length",
            "30",
        ];
        sessile(&[&["--input", input, "--output", "-"], &chance[..]].concat()).stdout
    };
    assert_eq!(drawn("7"), drawn("7"));
    assert_ne!(drawn("7"), drawn("8"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.txt");
    std::fs::write(&input, "text").unwrap();
    let input = input.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 5] = [
        (&["--max-length", "1"], 4, "leaves no room"),
        (
            &["--min-length", "50", "--max-length", "20"],
            4,
            "is more than",
        ),
        (&["--num-beams", "0"], 4, "0 beams"),
        (&["--early-stopping", "maybe"], 2, "maybe"),
        (&["--memory-reserve", "100000GiB"], 5, "are needed"),
    ];
    for (arguments, code, says) in cases {
        let run = sessile(&[&["--input", input, "--output", "-"], arguments].concat());
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(run.stdout.is_empty());
    }
    let missing = sessile(&["--input", "/nowhere.jsonl", "--output", "-"]);
    assert_eq!(missing.status.code(), Some(4));
}
