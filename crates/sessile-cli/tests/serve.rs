//! `sessile serve` as an operator runs it: the recorded calls of ESM2_MultiGPU_Inference against the
//! binary, its settings by every name, and its end.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::service::recorded::replay_all;
use crate::service::{Running, root};

/// A `sessile serve` that is killed when a test fails.
struct Service {
    child: Child,
    running: Running,
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    command
        .current_dir(folder)
        .args(["serve", "--dtype", "f32", "--threads", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for name in ["HOST", "PORT", "MODEL_NAME", "LOG_LEVEL"] {
        command.env_remove(name);
    }
    command
}

impl Service {
    fn start(command: &mut Command, address: SocketAddr) -> Self {
        let child = command.spawn().unwrap();
        let running = Running::elsewhere(address);
        let service = Service { child, running };
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(
                begun.elapsed() < crate::service::PATIENCE,
                "it never listened"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        service.running.wait_ready();
        service
    }

    /// Asks it to stop and gives its exit code.
    fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(
                begun.elapsed() < crate::service::PATIENCE,
                "it does not end"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with the small model under the name that the recordings have.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let model = root().join("tests/golden/esm2/tiny_a");
    let copy = folder.path().join("esm2_tiny_a");
    std::fs::create_dir(&copy).unwrap();
    for file in ["config.json", "model.safetensors", "vocab.txt"] {
        std::fs::copy(model.join(file), copy.join(file)).unwrap();
    }
    folder
}

#[test]
fn recorded_calls_are_answered_alike_by_the_binary() {
    let folder = folder();
    let address = free_address();
    let port = address.port().to_string();
    let service = Service::start(
        command(folder.path()).args([
            "--model",
            "esm2_tiny_a",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
        ]),
        address,
    );
    if let Some((faults, replayed)) = replay_all(&service.running) {
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(replayed >= 59, "{replayed} recordings");
    }
    assert_eq!(service.stop(), Some(0));
}

/// Flag, then SESSILE_*, then the other service's names (environment, then `.env`), then the file.
#[test]
fn settings_rank_as_they_should() {
    let folder = folder();
    std::fs::write(
        folder.path().join(".env"),
        "MODEL_NAME=nothing\nMAX_BATCH_SIZE=3\nPORT=1\n",
    )
    .unwrap();
    let settings = folder.path().join("sessile.toml");
    std::fs::write(
        &settings,
        "[serve]\nmax-batch-size = 7\nhost = \"127.0.0.1\"\n",
    )
    .unwrap();
    let address = free_address();
    let service = Service::start(
        command(folder.path())
            .args(["--config", "sessile.toml"])
            .env("MODEL_NAME", "esm2_tiny_a")
            // As a batch system sets it on a node with GPUs.
            .env("CUDA_VISIBLE_DEVICES", "0,1")
            .env("PORT", "2")
            .env("SESSILE_PORT", address.port().to_string()),
        address,
    );
    let ask = |count: usize| {
        let sequences = vec!["MKTV"; count];
        let body = serde_json::json!({ "sequences": sequences });
        service.running.post("/predict/batch", &body).status
    };
    assert_eq!((ask(3), ask(4)), (200, 422));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn what_can_not_be_served_is_said() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let cases: [(&[&str], i32, &str); 4] = [
        (
            &[
                "--model",
                "esm2_tiny_a",
                "--host",
                "127.0.0.1",
                "--port",
                &port,
            ],
            4,
            "can not listen",
        ),
        (&["--model", "no/such/folder/at/all"], 4, "no/such/folder"),
        (
            &["--model", "esm2_tiny_a", "--max-batch-size", "0"],
            2,
            "at least 1",
        ),
        (&["--model", "esm2_tiny_a", "--port", "70000"], 2, "70000"),
    ];
    for (arguments, code, says) in cases {
        let run = command(folder.path())
            .args(arguments)
            .env("HF_HUB_OFFLINE", "1")
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

/// The load tool speaks to the running service and counts what it answers.
#[test]
fn load_is_measured() {
    let folder = folder();
    let address = free_address();
    let port = address.port().to_string();
    let service = Service::start(
        command(folder.path()).args([
            "--model",
            "esm2_tiny_a",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
        ]),
        address,
    );
    let run = Command::new(env!("CARGO_BIN_EXE_sessile"))
        .current_dir(folder.path())
        .args([
            "bench-service",
            "--url",
            &format!("http://{address}"),
            "--batch-sizes",
            "1",
            "4",
        ])
        .args([
            "--concurrency",
            "2",
            "--duration",
            "1",
            "--output",
            "report.json",
        ])
        .args(["--chart", "chart.svg"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let report = std::fs::read(folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2);
    for cell in cells {
        assert!(cell["requests"].as_u64().unwrap() > 0, "{cell}");
        assert_eq!(cell["errors"], serde_json::json!({}), "{cell}");
    }
    let chart = std::fs::read_to_string(folder.path().join("chart.svg")).unwrap();
    assert!(chart.contains("<svg"));
    assert_eq!(service.stop(), Some(0));
}

/// A service that refuses every sequence: the report and a chart are there, and the exit code says it.
#[test]
fn failed_requests_are_in_the_exit_code_and_charts_are_what_they_are_called() {
    let folder = folder();
    let address = free_address();
    let port = address.port().to_string();
    let service = Service::start(
        command(folder.path())
            .args(["--model", "esm2_tiny_a", "--host", "127.0.0.1"])
            .args(["--port", &port, "--max-sequence-length", "5"]),
        address,
    );
    let measure = |chart: &str| {
        Command::new(env!("CARGO_BIN_EXE_sessile"))
            .current_dir(folder.path())
            .args(["bench-service", "--url", &format!("http://{address}")])
            .args(["--batch-sizes", "1", "--concurrency", "1"])
            .args(["--duration", "0.3", "--output", "report.json"])
            .args(["--chart", chart])
            .output()
            .unwrap()
    };
    let run = measure("chart.gif");
    assert_eq!(run.status.code(), Some(2), "{run:?}");
    assert!(!folder.path().join("report.json").exists());
    let run = measure("chart.png");
    assert_eq!(run.status.code(), Some(4), "{run:?}");
    let chart = std::fs::read(folder.path().join("chart.png")).unwrap();
    assert!(chart.starts_with(b"\x89PNG"));
    let report = std::fs::read(folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let cell = &report["cells"][0];
    assert!(cell["errors"]["422"].as_u64().unwrap() > 0, "{cell}");
    assert!(cell["latency"].is_null(), "{cell}");
    assert_eq!(service.stop(), Some(0));
}

/// Logs are JSON, a line each, and whatever is said of a request has its id in it.
#[test]
fn logs_can_be_read_and_belong_to_their_requests() {
    let folder = folder();
    let address = free_address();
    let port = address.port().to_string();
    let log = folder.path().join("log.jsonl");
    let service = Service::start(
        command(folder.path())
            .args(["--model", "esm2_tiny_a", "--host", "127.0.0.1"])
            .args(["--port", &port, "--log-level", "info"])
            .stderr(std::fs::File::create(&log).unwrap()),
        address,
    );
    let ask = |id: &str, body: &[u8]| {
        let headers = [("x-request-id", id), ("content-type", "application/json")];
        let mut connection = service.running.connect();
        connection.send("POST", "/predict", &headers, body)
    };
    let answer = ask("mine-1", br#"{"sequence": "MKT"}"#);
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    let late = ask("mine-2", br#"{"sequence": "MKT", "timeout_ms": 0.5}"#);
    assert_eq!(late.status, 422);
    // What is no plain id is not taken over.
    let other = ask("{\"x\": 1}", br#"{"sequence": "MKT"}"#);
    let given = other.header("x-request-id").unwrap().to_owned();
    assert!(!given.contains('{'), "{given}");
    assert_eq!(service.stop(), Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let answered = |id: &str| {
        let mut found = lines
            .iter()
            .filter(|line| line["message"] == "answered" && line["span"]["id"] == id);
        let line = found.next().unwrap_or_else(|| panic!("{id}: {text}"));
        assert!(found.next().is_none(), "{id} twice");
        (line["status"].clone(), line["error"].clone())
    };
    assert_eq!(answered("mine-1"), (200.into(), serde_json::Value::Null));
    assert_eq!(answered("mine-2"), (422.into(), "validation_error".into()));
    assert_eq!(answered(&given).0, 200);
    assert!(lines.iter().any(|line| line["message"] == "stopping"));
}
