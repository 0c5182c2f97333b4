//! Killed with SIGKILL at any point, the same command ends with the same bytes.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::contract::{Job, jobs};
use crate::running::{Numbers, proteins, run, sessile, stderr};

/// Kills of each job.
const KILLS: usize = 6;

/// Starts of each job, those that end before they are killed included.
const STARTS: usize = 40;

/// Inputs that keep every job busy for a second or more.
fn surroundings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "few.fasta",
        &(proteins(150, 20, 50) + ">empty\n>odd\nMK1V\n"),
    );
    write(
        "p.fasta",
        &(proteins(5000, 20, 60) + ">empty\n>odd\nMK1V\n"),
    );
    let mut numbers = Numbers::new(7);
    for (name, contigs) in [("g.fasta", 80), ("v.fasta", 500)] {
        let mut genomes = String::new();
        for record in 0..contigs {
            genomes.push_str(&format!(">contig {record}\n"));
            genomes.extend((0..5000).map(|_| char::from(b"ACGT"[numbers.below(4)])));
            genomes.push('\n');
        }
        write(name, &(genomes + ">odd\nMKLEW\n"));
    }
    let article = |number: usize| {
        let text = format!("The committee measured theatre number {number} in spring.");
        format!("{}\n", serde_json::json!({ "id": number, "text": text }))
    };
    let mut articles: String = (0..3000).map(article).collect();
    articles.push_str("{\"id\": \"odd\", \"text\": 7}\n");
    write("a.jsonl", &articles);
    folder
}

/// What is asked of a job, beside its model: input, outputs, and flags that make it last.
fn asked(
    name: &str,
) -> (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
) {
    const SMALL: [&str; 2] = ["--token-budget", "256"];
    match name {
        "embed" => (
            "few.fasta",
            &["o.jsonl", "o.parquet", "o.h5", "o.safetensors", "o.npz"],
            &["--outputs", "mean,likelihood", "--token-budget", "128"],
        ),
        "encode3di" => (
            "p.fasta",
            &["o.tsv", "o.json", "o.parquet", "o.fasta"],
            &SMALL,
        ),
        "entropy run" => (
            "g.fasta",
            &["o.json", "o.jsonl.gz", "o.tsv", "o.csv", "o.parquet"],
            &SMALL,
        ),
        "summarize" => (
            "a.jsonl",
            &["o.jsonl", "o.csv.zst", "o.parquet"],
            &["--with-ids"],
        ),
        _ => (
            "v.fasta",
            &["o"],
            &["--tables", "csv", "--token-budget", "256"],
        ),
    }
}

fn start(job: &Job, folder: &Path, into: &str, more: &[&str]) -> Child {
    let (input, outputs, flags) = asked(job.name);
    let place = |name: &str| format!("{into}/{name}");
    let failures = place("failed.jsonl");
    let outputs: Vec<String> = outputs.iter().map(|name| place(name)).collect();
    let mut arguments: Vec<&str> = job.command.iter().map(String::as_str).collect();
    arguments.extend(["-i", input, "--failures", &failures]);
    arguments.extend(outputs.iter().flat_map(|output| ["-o", output]));
    arguments.extend(flags.iter().chain(more));
    let mut command = sessile(folder, &arguments);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// All files below a folder, with their bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

fn names(files: BTreeMap<PathBuf, Vec<u8>>, folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let below = |path: PathBuf| path.strip_prefix(folder).unwrap().to_owned();
    let files = files.into_iter();
    files.map(|(path, bytes)| (below(path), bytes)).collect()
}

#[track_caller]
fn assert_same(job: &Job, folder: &Path) {
    let of = |into: &str| names(files(&folder.join(into)), &folder.join(into));
    let (whole, killed) = (of("whole"), of("killed"));
    let paths = |files: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
        files.iter().map(|(path, _)| path.clone()).collect()
    };
    assert_eq!(paths(&whole), paths(&killed), "{}", job.name);
    for (ours, theirs) in killed.iter().zip(&whole) {
        assert!(ours == theirs, "{}: {}", job.name, ours.0.display());
    }
}

/// Thirty SIGKILLs at random times, six of each job, with several formats at once; every run but
/// the first goes on where the one before stopped, with other numbers of threads.
#[test]
fn killed_runs_go_on_to_the_same_bytes() {
    let mut random = Numbers::new(20_261_121);
    for job in jobs() {
        let folder = surroundings();
        let path = folder.path();
        for into in ["whole", "killed"] {
            fs::create_dir(path.join(into)).unwrap();
        }
        let begun = Instant::now();
        let whole = start(&job, path, "whole", &["--threads", "1"]);
        let whole = whole.wait_with_output().unwrap();
        assert_eq!(whole.status.code(), Some(3), "{}", stderr(&whole));
        let lasts = begun.elapsed().as_millis() as usize;
        let (mut kills, mut starts, mut resumed) = (0, 0, 0);
        let mut end = None;
        while kills < KILLS || end.is_none() {
            starts += 1;
            assert!(starts <= STARTS, "{}: {kills} kills", job.name);
            if end.take().is_some() {
                // It was over before it could be killed six times.
                assert_same(&job, path);
                fs::remove_dir_all(path.join("killed")).unwrap();
                fs::create_dir(path.join("killed")).unwrap();
            }
            let threads = ["1", "2"][starts % 2];
            let mut child = start(&job, path, "killed", &["--threads", threads]);
            if kills < KILLS {
                let wait = random.below(lasts / 3 + 20) as u64;
                std::thread::sleep(Duration::from_millis(wait));
                child.kill().unwrap();
            }
            let output = child.wait_with_output().unwrap();
            resumed += usize::from(stderr(&output).contains("resuming after"));
            match output.status.code() {
                None => kills += 1,
                Some(code) => {
                    assert_eq!(code, 3, "{}: {}", job.name, stderr(&output));
                    end = Some(output);
                }
            }
        }
        assert!(
            resumed > 0,
            "{}: no run had anything to go on with",
            job.name
        );
        assert_same(&job, path);
    }
}

/// Without a journal nothing is gone on with, and what a killed run leaves is removed by the next.
#[test]
fn what_a_killed_run_without_a_journal_leaves_is_removed_by_the_next() {
    for job in jobs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let mut arguments: Vec<&str> = job.command.iter().map(String::as_str).collect();
        arguments.extend(["-o", job.output, "--no-journal", "-i"]);
        let mut child = sessile(path, &[&arguments[..], &["-"]].concat())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let left = || -> Vec<PathBuf> {
            let files = files(path).into_keys();
            files
                .filter(|path| {
                    path.extension()
                        .is_some_and(|end| end == "tmp" || end == "partial")
                })
                .collect()
        };
        let begun = Instant::now();
        while left().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", job.name);
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!left().is_empty(), "{}", job.name);
        fs::write(path.join(job.input), "").unwrap();
        let output = run(path, &[&arguments[..], &[job.input, "--force"]].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}",
            job.name,
            stderr(&output)
        );
        assert!(left().is_empty(), "{}: {:?}", job.name, left());
    }
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
