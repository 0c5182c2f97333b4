//! One contract for all jobs over files: exit codes, events, failures, resuming and formats.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::{assert_says, rows, run, sessile, stderr, text, virnucpro};

/// A job with an input of which one record fails and another does not.
pub struct Job {
    pub name: &'static str,
    pub command: Vec<String>,
    pub input: &'static str,
    /// The identifier of the record that fails.
    pub failing: &'static str,
    /// The output, as the job is asked for it.
    pub output: &'static str,
    /// A file that is there when the job is done.
    pub result: &'static str,
}

const INPUTS: [(&str, &str); 3] = [
    ("p.fasta", ">good\nMKTAYIAKQRQISFVKSHFSRQ\n>bad\nMK?V\n"),
    (
        "g.fasta",
        ">good\nATGAAACCCGGGTTTAAACCCGGGTTTAAACCCGGGTTTAAACCCGGGTTTTAAACCGATCGATCGATTTACGGCATGCATCC\n\
         >bad\nACGTEE\n",
    ),
    (
        "a.jsonl",
        "{\"id\": \"good\", \"text\": \"Prices rose. The committee met.\"}\n{\"id\": \"bad\", \"text\": 7}\n",
    ),
];

pub fn jobs() -> Vec<Job> {
    let golden = |name: &str| virnucpro("..").join(name).to_str().unwrap().to_owned();
    let command = |words: &str, models: &[(&str, String)]| {
        let mut command: Vec<String> = words.split(' ').map(str::to_owned).collect();
        for (flag, model) in models {
            command.extend([(*flag).to_owned(), model.clone()]);
        }
        command
    };
    let (esm, prost) = (golden("esm2/tiny_a"), golden("prostt5/tiny"));
    vec![
        Job {
            name: "embed",
            command: command("embed", &[("-m", esm.clone())]),
            input: "p.fasta",
            failing: "bad",
            output: "out.jsonl",
            result: "out.jsonl",
        },
        Job {
            name: "encode3di",
            command: command("entropy encode3di", &[("-m", prost.clone())]),
            input: "p.fasta",
            failing: "bad",
            output: "out.jsonl",
            result: "out.jsonl",
        },
        Job {
            name: "entropy run",
            command: command("entropy run --min-aa 10", &[("-m", prost)]),
            input: "g.fasta",
            failing: "bad",
            output: "out.json",
            result: "out.json",
        },
        Job {
            name: "viral predict",
            command: command(
                "viral predict --chunk 300",
                &[
                    ("--esm", esm),
                    ("--dnabert", golden("dnabert_s/tiny_a")),
                    ("--classifier", golden("virnucpro/mlp/model.pth")),
                ],
            ),
            input: "g.fasta",
            failing: "bad",
            output: "out",
            result: "out/contigs.tsv",
        },
        Job {
            name: "summarize",
            command: command(
                "summarize --num-beams 1 --max-length 12 --min-length 2",
                &[("-m", golden("bart/tiny"))],
            ),
            input: "a.jsonl",
            failing: "bad",
            output: "out.jsonl",
            result: "out.jsonl",
        },
    ]
}

impl Job {
    pub fn run(&self, folder: &Path, more: &[&str]) -> Output {
        self.run_on(folder, self.input, self.output, more)
    }

    pub fn run_on(&self, folder: &Path, input: &str, output: &str, more: &[&str]) -> Output {
        let mut arguments: Vec<&str> = self.command.iter().map(String::as_str).collect();
        arguments.extend(["-i", input, "-o", output]);
        arguments.extend(more);
        run(folder, &arguments)
    }
}

fn surroundings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in INPUTS {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The keys of an event that tells how far a job is.
const PROGRESS: &str = "busy bytes_read bytes_total event failed records resumed seconds \
                        seconds_left tokens tokens_per_second";

fn events(output: &Output) -> Vec<Value> {
    let said = stderr(output);
    let event = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    said.lines().map(event).collect()
}

fn keys(event: &Value) -> BTreeSet<&str> {
    event
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// A record that fails costs itself: exit code 3, the same events with the same keys, and a line in
/// `--failures` with its identifier and its place.
#[test]
fn a_record_that_fails_is_told_alike_by_all_jobs() {
    let mut summaries = BTreeSet::new();
    for job in jobs() {
        let folder = surroundings();
        let output = job.run(folder.path(), &["--json-progress", "--failures", "f.jsonl"]);
        let name = job.name;
        assert_eq!(output.status.code(), Some(3), "{name}: {}", stderr(&output));
        assert!(folder.path().join(job.result).exists(), "{name}");
        let failures = rows(&folder.path().join("f.jsonl"));
        assert_eq!(failures.len(), 1, "{name}: {failures:?}");
        assert_eq!(failures[0]["id"], job.failing, "{name}");
        for key in ["place", "reason"] {
            assert!(failures[0][key].is_string(), "{name}: {failures:?}");
        }
        let events = events(&output);
        let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
        assert_eq!((of("failure"), of("summary")), (1, 1), "{name}: {events:?}");
        for event in &events {
            match event["event"].as_str().unwrap() {
                "failure" => {
                    let expected = ["event", "id", "place", "reason"];
                    assert_eq!(keys(event), expected.into(), "{name}");
                    assert_eq!(event["id"], job.failing, "{name}");
                }
                "note" => assert_eq!(keys(event), ["event", "message"].into(), "{name}"),
                "progress" => {
                    let keys: Vec<&str> = keys(event).into_iter().collect();
                    assert_eq!(keys.join(" "), PROGRESS, "{name}");
                    // Sizes are known, so there is an estimate as soon as something was computed.
                    let is_known = event["records"].as_u64() > event["resumed"].as_u64();
                    assert_eq!(
                        event["seconds_left"].is_number(),
                        is_known,
                        "{name}: {event}"
                    );
                }
                "summary" => {
                    assert_eq!(event["failed"], 1, "{name}");
                    let keys: Vec<&str> = keys(event).into_iter().collect();
                    summaries.insert(keys.join(" "));
                }
                other => panic!("{name}: {other}"),
            }
        }
    }
    assert_eq!(summaries.len(), 1, "{summaries:?}");
}

/// A signal ends every job with its own exit code; nothing is left but a journal with something in it.
#[test]
fn signals_have_their_exit_codes_and_words() {
    let signals = [("HUP", 129), ("INT", 130), ("TERM", 143)];
    for (job, turn) in jobs().into_iter().zip(0..) {
        for (more, words) in [
            (&[][..], "interrupted after"),
            (&["--no-journal"], "nothing is kept without a journal"),
        ] {
            let folder = surroundings();
            let path = folder.path();
            let (name, code) = signals[(turn + more.len()) % signals.len()];
            let mut arguments: Vec<&str> = job.command.iter().map(String::as_str).collect();
            arguments.extend(["-i", "-", "-o", job.output]);
            arguments.extend(more);
            let mut child = sessile(path, &arguments)
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut input = child.stdin.take().unwrap();
            let records = fs::read(path.join(job.input)).unwrap();
            input.write_all(&records).unwrap();
            let begun = Instant::now();
            let has_begun = || {
                let entries = walk(path);
                entries
                    .iter()
                    .any(|name| name.contains(".partial") || name.contains(".tmp"))
            };
            while !has_begun() {
                assert!(begun.elapsed() < Duration::from_secs(60), "{}", job.name);
                std::thread::sleep(Duration::from_millis(10));
            }
            let id = child.id().to_string();
            let sent = Command::new("kill")
                .args([&format!("-{name}"), &id])
                .status();
            assert!(sent.unwrap().success());
            let output = child.wait_with_output().unwrap();
            drop(input);
            assert_says(&output, code, words);
            let left: Vec<String> = walk(path)
                .into_iter()
                .filter(|name| {
                    [".tmp", ".partial", ".lock"]
                        .iter()
                        .any(|end| name.contains(end))
                })
                .collect();
            assert!(left.is_empty(), "{}: {left:?}", job.name);
            let has_journal = walk(path).iter().any(|name| name.ends_with(".journal"));
            let can_resume = stderr(&output).contains("run the same command again to resume");
            assert_eq!(has_journal, can_resume, "{}: {}", job.name, stderr(&output));
        }
    }
}

/// The names of all files below a folder.
fn walk(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => names.extend(walk(&entry.path())),
            false => names.push(entry.file_name().into_string().unwrap()),
        }
    }
    names
}

/// The exit code of each cause is the same in all jobs.
#[test]
fn every_cause_has_one_exit_code() {
    for job in jobs() {
        let folder = surroundings();
        let (path, name) = (folder.path(), job.name);
        assert_says(
            &job.run_on(path, "none.fasta", job.output, &[]),
            4,
            "none.fasta",
        );
        assert_says(
            &job.run_on(path, "none.jsonl", job.output, &["--quiet"]),
            4,
            "none.jsonl",
        );
        assert_says(&job.run(path, &["--no-such-flag"]), 2, "--no-such-flag");
        assert_says(&job.run(path, &["--devices", "cuda:0"]), 5, "cuda:0");
        let copy = fs::read(path.join(job.input)).unwrap();
        if job.name != "viral predict" {
            let ending = Path::new(job.output).extension().unwrap().to_str().unwrap();
            let same = format!("in.{ending}");
            fs::copy(path.join(job.input), path.join(&same)).unwrap();
            let output = job.run_on(path, &same, &same, &["--force"]);
            assert_says(&output, 2, "input");
            assert_eq!(fs::read(path.join(&same)).unwrap(), copy, "{name}");
            let output = job.run_on(path, job.input, "out.xlsx", &[]);
            assert_says(&output, 2, "xlsx");
        }
        assert_eq!(job.run(path, &[]).status.code(), Some(3), "{name}");
        let written = fs::read(path.join(job.result)).unwrap();
        assert_says(&job.run(path, &[]), 4, "exist");
        assert_eq!(job.run(path, &["--force"]).status.code(), Some(3), "{name}");
        assert_eq!(fs::read(path.join(job.result)).unwrap(), written, "{name}");
        let left: Vec<_> = fs::read_dir(path).unwrap().flatten().collect();
        let left = left
            .iter()
            .map(|entry| entry.file_name().into_string().unwrap());
        let unclean: Vec<String> = left
            .filter(|name| {
                [".journal", ".lock", ".partial", ".tmp"]
                    .iter()
                    .any(|end| name.contains(end))
            })
            .collect();
        assert!(unclean.is_empty(), "{name}: {unclean:?}");
    }
}

/// Rows of every job with rows, in every format that can hold them, are the rows of its JSON Lines.
#[test]
fn rows_are_the_same_in_every_text_format() {
    for job in jobs() {
        if !job.output.ends_with("jsonl") {
            continue;
        }
        let folder = surroundings();
        let path = folder.path();
        let outputs = [
            "out.json",
            "out.tsv",
            "out.csv",
            "out.parquet",
            "out.tsv.gz",
            "out.jsonl.zst",
        ];
        let mut more = Vec::new();
        for output in outputs {
            more.extend(["-o", output]);
        }
        let output = job.run(path, &more);
        assert_eq!(
            output.status.code(),
            Some(3),
            "{}: {}",
            job.name,
            stderr(&output)
        );
        let lines = rows(&path.join("out.jsonl"));
        let list: Value = serde_json::from_str(&text(&path.join("out.json"))).unwrap();
        assert_eq!(list, Value::Array(lines.clone()), "{}", job.name);
        for (name, delimiter) in [("out.tsv", '\t'), ("out.csv", ',')] {
            let table = text(&path.join(name));
            let header = table.lines().next().unwrap();
            assert!(header.starts_with(&format!("id{delimiter}")), "{header}");
            assert!(table.contains("good"), "{table}");
        }
        for (packed, plain) in [("out.tsv.gz", "out.tsv"), ("out.jsonl.zst", "out.jsonl")] {
            let file = fs::File::open(path.join(packed)).unwrap();
            let (mut reader, _) = sessile_seq::compression::decompress(file).unwrap();
            let mut unpacked = String::new();
            std::io::Read::read_to_string(&mut reader, &mut unpacked).unwrap();
            assert_eq!(unpacked, text(&path.join(plain)), "{}: {packed}", job.name);
        }
        let parquet = fs::read(path.join("out.parquet")).unwrap();
        assert!(
            parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"),
            "{}",
            job.name
        );
    }
}
