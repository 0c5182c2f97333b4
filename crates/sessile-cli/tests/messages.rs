//! Standard error that can not be written, or that nobody reads, costs lines and no job.
#![cfg(unix)]

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::running::sessile;

const JOBS: [(&[&str], &str); 6] = [
    (
        &[
            "embed", "--model", "demo", "--input", "p.fa", "--output", "o.jsonl",
        ],
        "o.jsonl",
    ),
    (
        &[
            "entropy", "run", "--model", "none", "--input", "g.fa", "--output", "o.json",
        ],
        "o.json",
    ),
    (
        &["entropy", "orf", "--input", "g.fa", "--output", "r.json"],
        "r.json",
    ),
    (
        &[
            "viral", "chunk", "g.fa", "--chunk", "30", "--output", "c.fa",
        ],
        "c.fa",
    ),
    (
        &["models", "synthesize", "esm2_t6_8M", "--output", "m"],
        "m/config.json",
    ),
    (&["man", "--output", "pages"], "pages/sessile.1"),
];

fn inputs(folder: &Path) {
    fs::write(folder.join("p.fa"), ">a\nMKV\n>b\nGASP\n").unwrap();
    fs::write(
        folder.join("g.fa"),
        ">g\nATGAAACCCGGGTTTAAACCCGGGTTTAAACCCTAA\n",
    )
    .unwrap();
}

#[test]
fn standard_error_on_a_full_disk_or_closed_costs_no_job() {
    for is_closed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        inputs(folder.path());
        for (arguments, result) in JOBS {
            let mut command = sessile(folder.path(), arguments);
            match is_closed {
                false => {
                    let full = File::options().write(true).open("/dev/full").unwrap();
                    command.stderr(full);
                }
                true => {
                    // A pipe whose reader has gone away.
                    let (reader, writer) = std::io::pipe().unwrap();
                    drop(reader);
                    command.stderr(writer);
                }
            }
            let status = command.stdout(Stdio::null()).status().unwrap();
            assert_eq!(status.code(), Some(0), "{arguments:?}");
            assert!(folder.path().join(result).exists(), "{arguments:?}");
        }
        // What a job can not do has its exit code, heard or not.
        let arguments = [
            "embed", "--model", "demo", "--input", "none", "--output", "x.jsonl",
        ];
        let full = File::options().write(true).open("/dev/full").unwrap();
        let status = sessile(folder.path(), &arguments).stderr(full).status();
        assert_eq!(status.unwrap().code(), Some(4));
    }
}

#[test]
fn a_reader_of_messages_that_does_not_read_does_not_freeze_a_job() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    // Each is a failure that is told; together they are more than a pipe holds.
    for record in 0..3000 {
        text += &format!(">bad_record_with_a_long_name_{record}\nMK1V\n");
    }
    fs::write(folder.path().join("in.fa"), text + ">good\nMKV\n").unwrap();
    let arguments = [
        "embed",
        "--model",
        "demo",
        "--input",
        "in.fa",
        "--output",
        "o.jsonl",
        "--json-progress",
        "--failures",
        "failed.jsonl",
        "--log-level",
        "debug",
    ];
    let mut child = sessile(folder.path(), &arguments)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "the job is frozen"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(3));
    let failures = fs::read_to_string(folder.path().join("failed.jsonl")).unwrap();
    assert_eq!(failures.lines().count(), 3000);
    assert_eq!(
        fs::read_to_string(folder.path().join("o.jsonl"))
            .unwrap()
            .lines()
            .count(),
        1
    );
}

/// A stack that no system gives: every thread is refused.
#[test]
fn a_system_without_threads_is_told_and_not_met_with_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    inputs(folder.path());
    for (arguments, _) in JOBS.iter().take(4) {
        let mut command = sessile(folder.path(), arguments);
        command.env("RUST_MIN_STACK", (1_u64 << 46).to_string());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {said}");
        assert!(said.contains("ulimit -u"), "{said}");
    }
}
