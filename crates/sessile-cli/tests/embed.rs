//! `sessile embed` as scripts see it: rows, messages and exit codes.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::running::{rows, run, sessile, stderr};

#[test]
fn one_run_over_fifty_files_loads_the_model_once() {
    let directory = tempfile::tempdir().unwrap();
    let inputs = directory.path().join("inputs");
    std::fs::create_dir(&inputs).unwrap();
    for file in 0..50 {
        let text = format!(">first_{file}\nMKTAYIAK\n>second_{file}\nmkv*\n");
        std::fs::write(inputs.join(format!("{file:02}.fasta")), text).unwrap();
    }
    let output = run(
        directory.path(),
        &[
            "embed", "--model", "demo", "--input", "inputs", "--output", "o.jsonl",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("model loaded once"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("untrained"), "{}", stderr(&output));
    let rows = rows(&directory.path().join("o.jsonl"));
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..50)
        .flat_map(|file| [format!("first_{file}"), format!("second_{file}")])
        .collect();
    assert_eq!(ids, expected);
    assert_eq!(rows[0]["length"], 8);
    assert_eq!(rows[1]["length"], 3);
    assert_eq!(rows[0]["truncated"], false);
    assert_eq!(rows[0]["mean"].as_array().unwrap().len(), 128);
}

#[test]
fn a_bad_record_costs_itself_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let long = "A".repeat(1025);
    let text = format!(">good\nMKV\n>empty\n>odd\nMK1V\n>long\n{long}\n>last\nGG\n");
    std::fs::write(directory.path().join("in.fasta"), text).unwrap();
    let output = run(
        directory.path(),
        &[
            "embed", "--model", "demo", "--input", "in.fasta", "--output", "o.jsonl",
        ],
    );
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let rows = rows(&directory.path().join("o.jsonl"));
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["good", "last"]);
    let said = stderr(&output);
    for reason in [
        "no sequence",
        "`1` at position 3",
        "1025 residues are more than",
        "(long)",
    ] {
        assert!(said.contains(reason), "{reason}: {said}");
    }
}

#[test]
fn bases_for_a_model_of_proteins_are_told_of_once() {
    let directory = tempfile::tempdir().unwrap();
    let bases = "ACGT".repeat(20);
    let text = format!(">protein\nMKV\n>gene\n{bases}\n>other\n{bases}A\n");
    std::fs::write(directory.path().join("in.fasta"), text).unwrap();
    let output = run(
        directory.path(),
        &[
            "embed", "--model", "demo", "--input", "in.fasta", "--output", "o.jsonl",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert_eq!(said.matches("these letters are bases").count(), 1, "{said}");
    assert!(said.contains("record 2 (gene), line 3"), "{said}");
}

#[test]
fn exit_codes_say_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("in.fasta"), ">a\nMKV\n").unwrap();
    std::fs::write(directory.path().join("text.txt"), "not fasta\n").unwrap();
    std::fs::write(directory.path().join("there.jsonl"), "old\n").unwrap();
    let embed = |extra: &[&'static str]| {
        let mut arguments = vec!["embed"];
        arguments.extend_from_slice(extra);
        arguments
    };
    let cases: [(&str, Vec<&str>, i32); 8] = [
        ("no arguments", vec!["embed"], 2),
        ("unknown flag", embed(&["--nonsense"]), 2),
        (
            "unknown output",
            embed(&[
                "--model",
                "demo",
                "--input",
                "in.fasta",
                "--output",
                "o",
                "--outputs",
                "x",
            ]),
            2,
        ),
        (
            "no such input",
            embed(&["--model", "demo", "--input", "none.fasta", "--output", "o"]),
            4,
        ),
        (
            "not FASTA",
            embed(&["--model", "demo", "--input", "text.txt", "--output", "o"]),
            4,
        ),
        (
            "no such model",
            embed(&["--model", "./none", "--input", "in.fasta", "--output", "o"]),
            4,
        ),
        (
            "an output that exists",
            embed(&[
                "--model",
                "demo",
                "--input",
                "in.fasta",
                "--output",
                "there.jsonl",
            ]),
            4,
        ),
        (
            "a device that is not there",
            embed(&[
                "--model",
                "demo",
                "--input",
                "in.fasta",
                "--output",
                "o",
                "--devices",
                "cuda:7",
            ]),
            5,
        ),
    ];
    for (name, arguments, code) in cases {
        let output = run(directory.path(), &arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{name}: {}",
            stderr(&output)
        );
        assert!(!output.stderr.is_empty(), "{name}");
        assert!(!directory.path().join("o").exists(), "{name}");
    }
    let kept = std::fs::read_to_string(directory.path().join("there.jsonl")).unwrap();
    assert_eq!(kept, "old\n");
    // Nothing half-written is left lying about.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = sessile(
        directory.path(),
        &[
            "embed",
            "--model",
            "demo",
            "--input",
            "-",
            "--output",
            "-",
            "--outputs",
            "per_residue",
        ],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    for record in 0..200 {
        // The program may be gone before it has read everything.
        if writeln!(stdin, ">r{record}\n{}", "MKTAYIAKQR".repeat(20)).is_err() {
            break;
        }
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("error"), "{}", stderr(&output));
}

#[test]
fn settings_come_from_flags_then_the_environment_then_the_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("s.toml"),
        "[plan]\ntoken-budget = 300\nmodel = \"demo\"\n",
    )
    .unwrap();
    let budget = |arguments: &[&str], variable: Option<&str>| {
        let mut all = vec!["plan", "--json", "--config", "s.toml"];
        all.extend_from_slice(arguments);
        let mut command = sessile(directory.path(), &all);
        if let Some(value) = variable {
            command.env("SESSILE_TOKEN_BUDGET", value);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let plans: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        plans[0]["token_budget"].as_u64().unwrap()
    };
    assert_eq!(budget(&[], None), 300);
    assert_eq!(budget(&[], Some("400")), 400);
    assert_eq!(budget(&["--token-budget", "500"], Some("400")), 500);

    std::fs::write(
        directory.path().join("bad.toml"),
        "[plan]\ntoken-bugdet = 300\n",
    )
    .unwrap();
    let output = run(
        directory.path(),
        &["plan", "--model", "demo", "--config", "bad.toml"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("token-bugdet"),
        "{}",
        stderr(&output)
    );
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_is_finished_and_the_same_command_goes_on() {
    let arguments = [
        "embed", "--model", "demo", "--input", "-", "--output", "o.jsonl",
    ];
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let directory = tempfile::tempdir().unwrap();
        let names = || {
            let entries = std::fs::read_dir(directory.path()).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let start = || {
            sessile(directory.path(), &arguments)
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let mut child = start();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b">a\nMKV\n>b\nMKV\n>c\nGG\n").unwrap();
        stdin.flush().unwrap();
        // The journal is there when signals are listened for.
        let begun = std::time::Instant::now();
        while !names().contains(&"o.jsonl.journal".to_owned()) {
            assert!(begun.elapsed().as_secs() < 60, "{:?}", names());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        let killed = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let said = stderr(&output);
        // The first record is handed out when the window is full or the input ends.
        if names().is_empty() {
            assert!(said.contains("stopped after 0 records"), "{said}");
        } else {
            assert!(said.contains("run the same command again"), "{said}");
            assert_eq!(names(), ["o.jsonl.journal"]);
        }

        let mut child = start();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b">a\nMKV\n>b\nMKV\n>c\nGG\n").unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(rows(&directory.path().join("o.jsonl")).len(), 3);
        assert_eq!(names(), ["o.jsonl"]);
    }
}
