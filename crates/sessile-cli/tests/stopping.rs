//! Signals end a job within seconds, whatever it is doing, and it keeps what it has.
#![cfg(unix)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::running::{assert_says, sessile, stderr, virnucpro};

/// A job that is cut off because it did not stop takes 10 s.
const SOON: Duration = Duration::from_secs(8);

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// Ends a program and says what became of it; it may not take longer than `SOON`.
#[track_caller]
fn stop(mut child: Child, name: &str) -> Output {
    signal(&child, name);
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > SOON {
            child.kill().unwrap();
            panic!("it goes on after SIG{name}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[track_caller]
fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A pass over 65,000 residues takes minutes: the lane gives it up in its midst.
#[test]
fn a_signal_ends_a_pass_over_one_long_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let long = "ACDEFGHIKL".repeat(6500);
    fs::write(
        folder.path().join("in.fa"),
        format!(">a\nMKV\n>b\n{long}\n"),
    )
    .unwrap();
    let model = virnucpro("..").join("esm2/tiny_a");
    let arguments = [
        "embed",
        "--model",
        model.to_str().unwrap(),
        "--long",
        "full",
        "--input",
        "in.fa",
        "--output",
        "o.jsonl",
        "--token-budget",
        "64",
    ];
    let journal = folder.path().join("o.jsonl.journal");
    for (name, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let child = sessile(folder.path(), &arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for("nothing is computed", || {
            fs::metadata(&journal).is_ok_and(|journal| journal.len() > 0)
        });
        std::thread::sleep(Duration::from_millis(1500));
        let output = stop(child, name);
        assert_says(&output, code, "interrupted after 1 record");
        assert!(stderr(&output).contains("run the same command again"));
        assert!(journal.exists() && !folder.path().join("o.jsonl.lock").exists());
        assert!(!folder.path().join("o.jsonl").exists());
    }
    let output = sessile(folder.path(), &arguments)
        .stderr(Stdio::piped())
        .spawn();
    let output = output.unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let output = stop(output, "TERM");
    assert!(
        stderr(&output).contains("resuming after 1 record of an earlier run"),
        "{output:?}"
    );
}

/// `nohup` has SIGHUP ignored: the job outlives its terminal.
#[test]
fn a_job_that_is_to_outlive_its_terminal_does() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "embed", "--model", "demo", "--input", "-", "--output", "o.jsonl",
    ];
    let program = sessile(folder.path(), &arguments);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]);
    command.arg(program.get_program()).args(program.get_args());
    command
        .current_dir(folder.path())
        .env("HOME", folder.path());
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the job does not start", || {
        folder.path().join("o.jsonl.lock").exists()
    });
    signal(&child, "HUP");
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b">a\nMKV\n").unwrap();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// A hub that takes connections and never answers.
fn silent_hub() -> (String, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, connections) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let _ = sender.send(connection);
        }
    });
    (url, connections)
}

fn with_hub(folder: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = sessile(folder, arguments);
    for name in [
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "XDG_CACHE_HOME",
    ] {
        command.env_remove(name);
    }
    command
        .env("HF_ENDPOINT", url)
        .env("HF_HOME", folder.join("hf"));
    command.stderr(Stdio::piped()).stdout(Stdio::null());
    command
}

/// The commands that fetch a model; `IN` is an input that may be there, `CLS` a classifier.
const FETCHING: [&str; 11] = [
    "embed --model org/name --input IN.fa --output o.jsonl",
    "summarize --model org/name --input IN.jsonl --output o.jsonl",
    "entropy run --model org/name --input IN.fa --output o.json",
    "entropy encode3di --model org/name --input IN.fa --output o.jsonl",
    "entropy encode3di --model org/name --method generate --input IN.fa --output o.jsonl",
    "viral predict IN.fa --esm org/name --dnabert org/name --classifier CLS --chunk 300 --output o",
    "viral verify IN.fa --esm org/name --dnabert org/name --classifier CLS --chunk 300",
    "bench --model org/name --set IN.fa",
    "entropy estimate-tokens --model org/name",
    "serve --model org/name --port 0",
    "plan --model org/name",
];

fn words<'w>(command: &'w str, input: &'w str, classifier: &'w str) -> Vec<String> {
    let command = command.replace("IN", input).replace("CLS", classifier);
    command.split(' ').map(str::to_owned).collect()
}

#[test]
fn a_signal_ends_a_fetch_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.fa"), ">a\nACGT\n").unwrap();
    fs::write(folder.path().join("in.jsonl"), "{\"text\": \"a\"}\n").unwrap();
    let classifier = virnucpro("mlp/model.pth");
    let (url, connections) = silent_hub();
    for (place, command) in FETCHING.iter().enumerate() {
        let words = words(command, "in", classifier.to_str().unwrap());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let child = with_hub(folder.path(), &url, &words).spawn().unwrap();
        let connection = connections.recv_timeout(Duration::from_secs(60));
        assert!(connection.is_ok(), "{command}: no model is fetched");
        let name = ["TERM", "INT", "HUP"][place % 3];
        let output = stop(child, name);
        // `plan` does not listen, and ends by the signal itself.
        if !command.starts_with("plan") {
            let code = [143, 130, 129][place % 3];
            assert_eq!(
                output.status.code(),
                Some(code),
                "{command}: {}",
                stderr(&output)
            );
            assert!(
                stderr(&output).contains("being fetched"),
                "{command}: {output:?}"
            );
        }
    }
}

#[test]
fn what_is_wrong_is_said_before_a_model_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.fa"), ">a\nACGT\n").unwrap();
    fs::write(folder.path().join("in.jsonl"), "{\"text\": \"a\"}\n").unwrap();
    let classifier = virnucpro("mlp/model.pth");
    let (url, connections) = silent_hub();
    let check = |words: Vec<String>, code: i32, said: &str| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut child = with_hub(folder.path(), &url, &words).spawn().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if connections.try_recv().is_ok() || begun.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                panic!("{words:?} fetches a model first");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_says(&child.wait_with_output().unwrap(), code, said);
    };
    let classifier = classifier.to_str().unwrap();
    for command in FETCHING.iter().filter(|command| command.contains("IN")) {
        check(words(command, "none", classifier), 4, "none");
        if command.contains("CLS") {
            check(words(command, "in", "no-classifier"), 4, "no-classifier");
        }
        if command.contains("--output") {
            let elsewhere = command.replace("--output ", "--output nowhere/");
            if !command.contains("viral") {
                check(
                    words(&elsewhere, "in", classifier),
                    4,
                    "its folder is not there",
                );
            }
        }
    }
    for (command, code, said) in [
        (
            "embed --model o/n --input in.fa --output o.xlsx",
            2,
            "unsupported output format",
        ),
        (
            "summarize --model o/n --input in.jsonl --output o.xlsx",
            2,
            "unsupported output format",
        ),
        (
            "entropy encode3di --model o/n --input in.fa --output o.jsonl --head none.pt",
            4,
            "none.pt",
        ),
    ] {
        check(words(command, "", ""), code, said);
    }
}

/// A reader that does not read holds up the job; a signal ends it all the same.
#[test]
fn a_signal_ends_a_job_whose_output_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("in.fa"),
        format!(">a\n{}\n", "ACGT".repeat(200_000)),
    )
    .unwrap();
    let arguments = ["viral", "chunk", "in.fa", "--chunk", "300"];
    let mut child = sessile(folder.path(), &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(
        child.try_wait().unwrap().is_none(),
        "the pipe has taken everything"
    );
    signal(&child, "TERM");
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
