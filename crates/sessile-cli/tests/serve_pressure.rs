//! `sessile serve` while its surroundings fail: standard error that takes nothing, texts that are far
//! too long, clients that are slow at the end.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::serve::{Service, command, folder, free_address};
use crate::service::root;

fn start(folder: &Path, arguments: &[&str], error: Stdio) -> Service {
    let address = free_address();
    let port = address.port().to_string();
    let mut command: Command = command(folder);
    command
        .args(["--host", "127.0.0.1", "--port", &port])
        .args(arguments)
        .stderr(error);
    Service::start(&mut command, address)
}

/// Requests and probes are answered, and it ends as it should.
fn is_well(service: Service, requests: usize) {
    let mut connection = service.running.connect();
    let body = json!({"input": "MKT"}).to_string();
    for _ in 0..requests {
        let answer = connection.send("POST", "/v1/embeddings", &[], body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(service.running.get("/health/live").status, 200);
    let dropped = service.running.metric("sessile_log_lines_dropped_total");
    assert!(dropped > 0.0, "{dropped}");
    drop(connection);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_log_that_cannot_be_written_costs_no_request() {
    let folder = folder();
    let model = ["--model", "esm2_tiny_a"];
    let full = File::options().write(true).open("/dev/full").unwrap();
    is_well(start(folder.path(), &model, full.into()), 50);
    // A reader that died.
    let mut service = start(folder.path(), &model, Stdio::piped());
    drop(service.child.stderr.take());
    is_well(service, 50);
}

#[test]
fn a_log_reader_that_stalls_holds_nobody_up() {
    let folder = folder();
    let service = start(folder.path(), &["--model", "esm2_tiny_a"], Stdio::piped());
    // More than the pipe and the queue behind it take: ids of 64 letters are in every line.
    let id = "i".repeat(64);
    let body = json!({"input": "MKT"}).to_string();
    let mut connection = service.running.connect();
    let mut sent = 0;
    while service.running.metric("sessile_log_lines_dropped_total") == 0.0 {
        for _ in 0..500 {
            let headers = [("x-request-id", id.as_str())];
            let answer = connection.send("POST", "/nothing", &headers, body.as_bytes());
            assert_eq!(answer.status, 404, "{}", answer.text());
            sent += 1;
        }
        assert!(sent < 50_000, "nothing was dropped");
    }
    is_well(service, 10);
}

#[test]
fn a_job_whose_standard_error_is_full_is_done() {
    let folder = folder();
    std::fs::write(folder.path().join("in.fasta"), ">a\nMKTAYIAK\n>b\nMKV*J\n").unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_sessile"))
        .current_dir(folder.path())
        .args(["embed", "--model", "esm2_tiny_a", "--input", "in.fasta"])
        .args(["--output", "out.jsonl"])
        .stderr(full)
        .status()
        .unwrap();
    assert!(matches!(status.code(), Some(0 | 3)), "{status}");
    assert!(folder.path().join("out.jsonl").exists());
}

#[test]
fn an_answer_that_is_cut_at_the_end_is_told_by_the_exit_code() {
    let folder = folder();
    let arguments = ["--model", "esm2_tiny_a", "--grace", "0.3"];
    let service = start(folder.path(), &arguments, Stdio::null());
    let sequence = "MKTAYIAKQR".repeat(100);
    let body = json!({ "input": [sequence, sequence, sequence] }).to_string();
    let mut connection = service.running.connect();
    connection.begin("POST", "/v1/contacts", &[], body.as_bytes());
    connection.stream.read_exact(&mut [0; 64]).unwrap();
    assert_eq!(service.stop(), Some(5));
}

/// The most memory that a process has had, in MiB.
#[cfg(target_os = "linux")]
fn peak(service: &Service) -> usize {
    let path = format!("/proc/{}/status", service.child.id());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() >> 10
}

#[cfg(target_os = "linux")]
#[test]
fn texts_that_are_far_too_long_take_no_more_than_their_bodies() {
    let folder = folder();
    let model = root().join("tests/golden/bart/tiny");
    let model = model.canonicalize().unwrap();
    let service = start(
        folder.path(),
        &["--model", model.to_str().unwrap()],
        Stdio::null(),
    );
    let before = peak(&service);
    let text = "A".repeat(8_000_000);
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (service, text) = (&service.running, &text);
            scope.spawn(move || {
                let body = json!({ "input": text, "truncate": client % 2 == 0 });
                let answer = service.post("/v1/summarize", &body);
                assert!(matches!(answer.status, 400 | 429), "{}", answer.status);
            });
        }
    });
    // Eight bodies, and what is made of two at a time.
    let more = peak(&service) - before;
    assert!(more < 300, "{more} MiB");
    assert_eq!(service.stop(), Some(0));
}
