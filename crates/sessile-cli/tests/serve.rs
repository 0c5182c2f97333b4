//! `sessile serve` as an operator runs it: the recorded calls of ESM2_MultiGPU_Inference against the
//! binary, its settings by every name, and its end.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::service::recorded::replay_all;
use crate::service::{Running, root};

/// A `sessile serve` that is killed when a test fails.
pub struct Service {
    pub child: Child,
    pub running: Running,
}

pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    command
        .current_dir(folder)
        .args(["serve", "--dtype", "f32", "--threads", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for name in ["HOST", "PORT", "MODEL_NAME", "LOG_LEVEL", "CORS_ORIGINS"] {
        command.env_remove(name);
    }
    command
}

impl Service {
    pub fn start(command: &mut Command, address: SocketAddr) -> Self {
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

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Asks it to stop and gives its exit code.
    pub fn stop(self) -> Option<i32> {
        self.signal("-TERM");
        self.end()
    }

    /// Its exit code, once it has ended.
    fn end(mut self) -> Option<i32> {
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
pub fn folder() -> tempfile::TempDir {
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
            // As the other service has it by itself.
            "--cors-origins",
            "*",
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

/// What a run that ends at once logged, a value a line, and its exit code.
fn refused(command: &mut Command) -> (Option<i32>, Vec<serde_json::Value>) {
    let run = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    let lines = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {said}")));
    (run.status.code(), lines.collect())
}

/// The lines of a log, and the one with this message.
fn logged(log: &Path, message: &str) -> (String, serde_json::Value) {
    let text = std::fs::read_to_string(log).unwrap();
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let line = lines.find(|line| line["message"] == message);
    let line = line.unwrap_or_else(|| panic!("no `{message}`: {text}"));
    (text, line)
}

/// Whoever names a Service `sessile` has the kubelet set `SESSILE_PORT`; compilers of conda set `HOST`.
#[test]
fn what_a_cluster_or_a_compiler_sets_neither_stops_nor_changes_it() {
    let folder = folder();
    let address = free_address();
    let port = address.port().to_string();
    let log = folder.path().join("log.jsonl");
    let service = Service::start(
        command(folder.path())
            .env("SESSILE_SERVICE_HOST", "10.96.12.3")
            .env("SESSILE_SERVICE_PORT", "80")
            .env("SESSILE_SERVICE_PORT_HTTP", "80")
            .env("SESSILE_PORT", "tcp://10.96.12.3:80")
            .env("SESSILE_PORT_8000_TCP", "tcp://10.96.12.3:8000")
            .env("SESSILE_PORT_8000_TCP_PROTO", "tcp")
            .env("SESSILE_GPU_PORT", "udp://10.96.12.4:53")
            .env("HOST", "x86_64-conda-linux-gnu")
            .env("PORT", &port)
            .env("MODEL_NAME", "esm2_tiny_a")
            .env("SESSILE_TOKENS_BUDGET", "1")
            .stderr(std::fs::File::create(&log).unwrap()),
        address,
    );
    assert_eq!(service.stop(), Some(0));
    let (text, line) = logged(&log, "serving");
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(line["models"], "esm2_tiny_a");
    assert_eq!(line["devices"], "cpu");
    assert_eq!(line["dtype"], "f32");
    assert_eq!(line["lanes"], 2);
    assert_eq!(line["address"], address.to_string());
    assert_eq!(line["needs_key"], false);
    // What is meant for it and means nothing is told, and why it is heard by this machine alone.
    for said in [
        "SESSILE_TOKENS_BUDGET sets nothing: no flag has this name; did you mean SESSILE_TOKEN_BUDGET?",
        "HOST=x86_64-conda-linux-gnu sets nothing",
        "no API key is set, so the service listens on this machine only (127.0.0.1)",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(
        !text.contains("SESSILE_SERVICE") && !text.contains("SESSILE_PORT"),
        "{text}"
    );
}

#[test]
fn a_key_is_asked_for_by_whatever_name_it_is_set() {
    let folder = folder();
    std::fs::write(
        folder.path().join("keys"),
        "\u{feff}# keys\r\n third \r\n\r\n",
    )
    .unwrap();
    let cases: [(&str, &str, &[&str]); 3] = [
        ("SESSILE_API_KEY", "secret", &["secret"]),
        ("SESSILE_API_KEYS", "a, b ", &["a", "b"]),
        ("SESSILE_API_KEYS_FILE", "keys", &["third"]),
    ];
    for (name, value, keys) in cases {
        let address = free_address();
        let port = address.port().to_string();
        let service = Service::start(
            command(folder.path())
                .args(["--model", "esm2_tiny_a", "--port", &port])
                .env(name, value),
            address,
        );
        let ask = |key: &str| {
            let headers = [("x-api-key", key)];
            let mut connection = service.running.connect();
            connection
                .send("POST", "/v1/embeddings", &headers, br#"{"input": "MKT"}"#)
                .status
        };
        for key in keys {
            assert_eq!(ask(key), 200, "{name}={value}: {key}");
        }
        for key in ["", "other", value]
            .iter()
            .filter(|key| !keys.contains(key))
        {
            assert_eq!(
                ask(key),
                if keys.contains(&key.trim()) { 200 } else { 401 },
                "{key:?}"
            );
        }
        assert_eq!(service.stop(), Some(0));
    }
}

#[test]
fn empty_keys_are_refused_at_the_start_by_name() {
    let folder = folder();
    std::fs::write(folder.path().join("empty"), "# none\n\n").unwrap();
    std::fs::write(
        folder.path().join("list.toml"),
        "[serve]\napi-keys = [\"a\", \"\"]\n",
    )
    .unwrap();
    let cases: [(&[&str], (&str, &str), &str); 8] = [
        (
            &["--api-keys", ""],
            ("X", ""),
            "--api-keys (SESSILE_API_KEYS) is set but has no key",
        ),
        (
            &["--api-keys", "secret,"],
            ("X", ""),
            "--api-keys (SESSILE_API_KEYS): key 2 is empty",
        ),
        (
            &[],
            ("SESSILE_API_KEYS", ""),
            "--api-keys (SESSILE_API_KEYS) is set but has no key",
        ),
        (
            &[],
            ("SESSILE_API_KEYS", "a,,b"),
            "--api-keys (SESSILE_API_KEYS): key 2 is empty",
        ),
        (
            &[],
            ("SESSILE_API_KEY", " "),
            "--api-key (SESSILE_API_KEY) is set but has no key",
        ),
        (&["--api-keys-file", "empty"], ("X", ""), "empty has no key"),
        (
            &["--api-keys-file", "nowhere"],
            ("X", ""),
            "cannot read the keys in nowhere",
        ),
        (
            &["--config", "list.toml"],
            ("X", ""),
            "--api-keys (SESSILE_API_KEYS) is set but has no key",
        ),
    ];
    for (arguments, (name, value), says) in cases {
        let (code, lines) = refused(
            command(folder.path())
                .args(["--model", "esm2_tiny_a", "--port", "0"])
                .args(arguments)
                .env(name, value),
        );
        assert_eq!(code, Some(2), "{arguments:?} {name}={value}: {lines:?}");
        let last = lines.last().unwrap();
        assert_eq!(last["level"], "ERROR");
        let message = last["message"].as_str().unwrap();
        assert!(
            message.contains(says),
            "{arguments:?} {name}={value}: {message}"
        );
    }
    // An empty list sets nothing in any command, so it is a slip.
    std::fs::write(folder.path().join("list.toml"), "[serve]\napi-keys = []\n").unwrap();
    let run = command(folder.path())
        .args(["--model", "esm2_tiny_a", "--config", "list.toml"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("`api-keys` is an empty list"), "{said}");
}

#[test]
fn hangup_reads_the_file_of_keys_again() {
    let folder = folder();
    let file = folder.path().join("keys");
    let log = folder.path().join("log.jsonl");
    std::fs::write(&file, "first\n").unwrap();
    let address = free_address();
    let port = address.port().to_string();
    let service = Service::start(
        command(folder.path())
            .args(["--model", "esm2_tiny_a", "--port", &port])
            .args(["--host", "127.0.0.1", "--api-keys-file", "keys"])
            .stderr(std::fs::File::create(&log).unwrap()),
        address,
    );
    let passes = |key: &str| {
        let headers = [("x-api-key", key)];
        let answer = service
            .running
            .connect()
            .send("GET", "/v1/models", &headers, b"");
        answer.status == 200
    };
    assert!(passes("first") && !passes("second"));
    std::fs::write(&file, "second\n").unwrap();
    service.signal("-HUP");
    service.running.wait_until(|| passes("second"));
    assert!(!passes("first"));
    // What makes no sense changes nothing.
    std::fs::write(&file, "# no key\n").unwrap();
    service.signal("-HUP");
    service.running.wait_until(|| {
        let text = std::fs::read_to_string(&log).unwrap();
        text.contains("the keys were not read again")
    });
    assert!(passes("second") && !passes(""));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn hangup_without_a_file_of_keys_drains() {
    let folder = folder();
    let address = free_address();
    let port = address.port().to_string();
    let service = Service::start(
        command(folder.path()).args(["--model", "esm2_tiny_a", "--port", &port]),
        address,
    );
    // A request that takes a while is answered before the end.
    let body = serde_json::json!({ "input": vec!["MKTAYIAKQR".repeat(20); 16] });
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| service.running.post("/v1/score", &body).status);
        service
            .running
            .wait_until(|| service.running.metric("sessile_in_flight_requests") > 0.0);
        service.signal("-HUP");
        assert_eq!(asked.join().unwrap(), 200);
    });
    assert_eq!(service.end(), Some(0));
}

#[test]
fn no_path_of_this_machine_is_told() {
    let folder = folder();
    let model = folder.path().join("esm2_tiny_a");
    for (arguments, name) in [(&[][..], "esm2_tiny_a"), (&["--served-name", "esm"], "esm")] {
        let address = free_address();
        let port = address.port().to_string();
        let service = Service::start(
            command(folder.path())
                .arg("--model")
                .arg(&model)
                .args(["--port", &port])
                .args(arguments),
            address,
        );
        let running = &service.running;
        assert_eq!(running.get("/health").json()["model_name"], name);
        assert_eq!(running.get("/v1/models").json()["data"][0]["id"], name);
        assert_eq!(running.get(&format!("/v1/models/{name}")).status, 200);
        let body = serde_json::json!({ "input": "MKT", "model": name });
        assert_eq!(running.post("/v1/embeddings", &body).json()["model"], name);
        let body = serde_json::json!({ "input": "MKT", "model": model });
        assert_eq!(running.post("/v1/embeddings", &body).status, 404);
        let folder = folder.path().display().to_string();
        for path in [
            "/",
            "/health",
            "/health/ready",
            "/metrics",
            "/v1/models",
            "/openapi.json",
        ] {
            assert!(!running.get(path).text().contains(&folder), "{path}");
        }
        assert_eq!(service.stop(), Some(0));
    }
}

#[test]
fn a_gpu_that_is_asked_for_is_never_the_processor() {
    let folder = folder();
    for (devices, visible) in [
        ("cuda", ""),
        ("cuda:0", "-1"),
        ("cpu,cuda:1", ""),
        ("cuda", "none"),
    ] {
        let (code, lines) = refused(
            command(folder.path())
                .args([
                    "--model",
                    "esm2_tiny_a",
                    "--port",
                    "0",
                    "--devices",
                    devices,
                ])
                .env("SESSILE_CUDA_DRIVER", "/nowhere/libcuda.so")
                .env("CUDA_VISIBLE_DEVICES", visible),
        );
        assert_eq!(code, Some(5), "{devices} {visible:?}: {lines:?}");
        let last = lines.last().unwrap();
        assert!(
            last["message"].as_str().unwrap().contains("cuda:"),
            "{last}"
        );
    }
}

#[test]
fn names_of_the_worker_hold_from_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let model = root()
        .join("tests/golden/bart/tiny")
        .canonicalize()
        .unwrap();
    let plan = |file: &str, environment: Option<(&str, &str)>| {
        std::fs::write(folder.path().join(".env"), file).unwrap();
        let run = Command::new(env!("CARGO_BIN_EXE_sessile"))
            .current_dir(folder.path())
            .args(["plan", "--json", "--memory", "16GiB", "--model"])
            .arg(&model)
            .envs(environment)
            .output()
            .unwrap();
        let plan: Option<serde_json::Value> = serde_json::from_slice(&run.stdout).ok();
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        (
            run.status.code(),
            plan.map(|plan| plan[0]["instances"].clone()),
            said,
        )
    };
    let name = "GPU_MAX_MODEL_INSTANCES";
    let (_, instances, said) = plan(&format!("\u{feff}{name}=8\n"), None);
    assert_eq!(instances, Some(8.into()), "{said}");
    let (_, instances, said) = plan(&format!("{name}=8\n"), Some((name, "4")));
    assert_eq!(instances, Some(4.into()), "{said}");
    let (code, _, said) = plan("GPU_BATCH_SIZE=many\n", None);
    assert_eq!(code, Some(2));
    assert!(said.contains("GPU_BATCH_SIZE: `many`"), "{said}");
    // A file of another program is none of the business of other commands.
    std::fs::write(folder.path().join(".env"), "what is this?\n").unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_sessile"))
        .current_dir(folder.path())
        .args(["completions", "bash"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(0), "{run:?}");
}
