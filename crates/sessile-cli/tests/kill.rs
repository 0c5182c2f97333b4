//! Killed with SIGKILL at any point, the same command ends with the same bytes.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::running::{Numbers, proteins, run, sessile, stderr};

const OUTPUTS: [&str; 5] = ["o.jsonl", "o.parquet", "o.h5", "o.safetensors", "o.npz"];

/// A likelihood takes a pass per residue, so that the run lasts a while; with small batches the
/// answers come one by one.
fn arguments(folder: &str) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "embed",
        "--model",
        "model",
        "--input",
        "in.fasta",
        "--outputs",
        "mean,likelihood",
        "--threads",
        "1",
        "--token-budget",
        "128",
        "--failures",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("{folder}/failed.jsonl"));
    for output in OUTPUTS {
        arguments.extend(["--output".to_owned(), format!("{folder}/{output}")]);
    }
    arguments
}

fn start(directory: &Path, folder: &str) -> Child {
    let arguments = arguments(folder);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    sessile(directory, &arguments)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/esm2/tiny_a");
    std::os::unix::fs::symlink(model, directory.path().join("model")).unwrap();
    let mut text = proteins(1000, 20, 50);
    text.push_str(">empty\n>odd\nMK1V\n");
    fs::write(directory.path().join("in.fasta"), text).unwrap();
    for folder in ["whole", "killed"] {
        fs::create_dir(directory.path().join(folder)).unwrap();
    }
    let status = start(directory.path(), "whole").wait().unwrap();
    assert_eq!(status.code(), Some(3));

    let mut random = Numbers::new(20_261_121);
    let mut resumed = 0;
    let mut kept = 1000;
    let mut is_over = false;
    for _ in 0..5 {
        let mut child = start(directory.path(), "killed");
        // By what the run has kept, not by the clock: the journal is written every 200 ms, and how
        // much a machine computes in that time is its own affair.
        let journal = directory.path().join("killed/o.jsonl.journal");
        let length = || fs::metadata(&journal).map_or(0, |journal| journal.len());
        let begun = Instant::now();
        while length() <= kept && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is kept");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(random.below(100) as u64));
        child.kill().unwrap();
        if child.wait().unwrap().code().is_some() {
            is_over = true;
            break;
        }
        resumed += 1;
        kept = length();
    }
    assert!(resumed > 0, "no kill came in the middle of a run");
    if !is_over {
        let mut owned = arguments("killed");
        owned.extend(["--log-level", "info"].map(str::to_owned));
        let arguments: Vec<&str> = owned.iter().map(String::as_str).collect();
        let output = run(directory.path(), &arguments);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(
            stderr(&output).contains("resuming after"),
            "{}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("note: took over the lock of a run that is gone lock="),
            "{}",
            stderr(&output)
        );
    }
    for name in OUTPUTS.into_iter().chain(["failed.jsonl"]) {
        let read = |folder: &str| fs::read(directory.path().join(folder).join(name)).unwrap();
        assert!(read("whole") == read("killed"), "{name}");
    }
    let left = fs::read_dir(directory.path().join("killed")).unwrap();
    assert_eq!(left.count(), OUTPUTS.len() + 1);
}

/// Killed after the outputs got their names but before the journal was removed, or between two of
/// them: the journal says that an output that exists is its own.
#[test]
fn a_run_killed_while_it_named_its_outputs_goes_on_too() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.fasta"), proteins(30, 5, 20)).unwrap();
    let arguments = [
        "embed", "--model", "demo", "--input", "in.fasta", "--output", "o.jsonl", "--output",
        "o.h5",
    ];
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let whole = fs::read(directory.path().join("o.h5")).unwrap();
    fs::remove_file(directory.path().join("o.h5")).unwrap();
    // Without a journal the output that is left is in the way.
    assert_eq!(run(directory.path(), &arguments).status.code(), Some(4));

    // The same state with the journal that such a kill leaves.
    fs::rename(
        directory.path().join("o.jsonl"),
        directory.path().join("kept"),
    )
    .unwrap();
    let mut child = sessile(directory.path(), &arguments)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let journal = directory.path().join("o.jsonl.journal");
    let copy = directory.path().join("copy");
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(60) {
        let _ = fs::hard_link(&journal, &copy);
        std::thread::yield_now();
    }
    fs::remove_file(directory.path().join("o.h5")).unwrap();
    fs::rename(&copy, &journal).unwrap();
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("30 from the earlier run"),
        "{}",
        stderr(&output)
    );
    assert!(fs::read(directory.path().join("o.h5")).unwrap() == whole);
    assert!(!journal.exists());
}

#[test]
fn one_run_at_a_time_writes_an_output() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "embed", "--model", "demo", "--input", "-", "--output", "o.jsonl",
    ];
    let mut first = sessile(directory.path(), &arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !directory.path().join("o.jsonl.journal").exists() {
        assert!(begun.elapsed().as_secs() < 60);
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = sessile(directory.path(), &arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let process = format!("process {} on", first.id());
    assert!(stderr(&output).contains(&process), "{}", stderr(&output));
    drop(first.stdin.take());
    first.wait().unwrap();
}

#[test]
fn what_can_not_be_mixed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("in.fasta"), proteins(30, 5, 20)).unwrap();
    let embed = |extra: &[&str]| {
        let mut arguments = vec![
            "embed", "--model", "demo", "--input", "in.fasta", "--output", "o.jsonl",
        ];
        arguments.extend_from_slice(extra);
        run(directory.path(), &arguments)
    };
    // A disk that is full after a few rows leaves the journal of an unfinished run.
    let limited = "ulimit -f 8; trap '' XFSZ; \"$0\" embed --model demo --input in.fasta \
                   --output o.jsonl --dtype f32";
    let leave_unfinished = || {
        let output = std::process::Command::new("bash")
            .args(["-c", limited, env!("CARGO_BIN_EXE_sessile")])
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(path("o.jsonl.journal").exists());
    };
    leave_unfinished();
    for (extra, reason) in [
        (&["--dtype", "f32", "--outputs", "cls"][..], "columns"),
        (&["--dtype", "f32", "--long", "truncate"], "--long fail"),
        (&["--dtype", "bf16"], "--dtype f32"),
    ] {
        let output = embed(extra);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
        assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    }
    // Other inputs are noticed; the outputs do not appear.
    fs::write(
        path("in.fasta"),
        format!(">other\nMKV\n{}", proteins(30, 5, 20)),
    )
    .unwrap();
    let output = embed(&["--dtype", "f32"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("record 1 is `other`"),
        "{}",
        stderr(&output)
    );
    assert!(!path("o.jsonl").exists());
    fs::write(path("in.fasta"), proteins(30, 5, 20)).unwrap();
    // Whoever insists may mix, or begin anew.
    let output = embed(&["--dtype", "bf16", "--allow-mixed"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    fs::remove_file(path("o.jsonl")).unwrap();
    leave_unfinished();
    let output = embed(&["--dtype", "bf16", "--restart"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        !stderr(&output).contains("earlier run"),
        "{}",
        stderr(&output)
    );
}
