//! A service in this process, listening on this machine, and a client that speaks plain HTTP.

#![allow(dead_code, reason = "no test needs all of it")]

pub mod recorded;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use sessile_models::Model;
use sessile_runtime::{DTypeChoice, PoolOptions, RuntimeError};
use sessile_server::{Ended, Engine, Server, ServiceOptions};
use tokio::sync::oneshot;

/// Longest wait for anything in a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The small model of the golden files, under the name that the recordings have.
pub fn tiny() -> Model {
    Model::open(&root().join("tests/golden/esm2/tiny_a"))
        .unwrap()
        .named("esm2_tiny_a")
}

/// Two lanes in f32, so that answers can be compared with the golden files.
pub fn pool_options() -> PoolOptions {
    PoolOptions {
        threads: Some(2),
        dtype: DTypeChoice::Only("f32".parse().unwrap()),
        ..PoolOptions::default()
    }
}

/// On any free port of this machine.
pub fn options() -> ServiceOptions {
    ServiceOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        grace: Duration::from_secs(20),
        ..ServiceOptions::default()
    }
}

/// A service that stops when it is dropped.
pub struct Running {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Ended>>,
}

impl Running {
    /// The small model, with these options.
    pub fn tiny(options: ServiceOptions) -> Self {
        let service = Running::start(options, || Engine::load(vec![tiny()], &pool_options()));
        service.wait_ready();
        service
    }

    pub fn start(
        options: ServiceOptions,
        load: impl FnOnce() -> Result<Engine, RuntimeError> + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let server = Server::bind("esm2_tiny_a".to_owned(), options)
                    .await
                    .unwrap();
                tell.send(server.address()).unwrap();
                let stop = async {
                    let _ = stopped.await;
                };
                server.run(load, stop).await.unwrap()
            })
        });
        Running {
            address: told.recv_timeout(PATIENCE).unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// A service in another process, which ends of itself.
    pub fn elsewhere(address: SocketAddr) -> Self {
        Running {
            address,
            stop: None,
            thread: None,
        }
    }

    pub fn wait_ready(&self) {
        self.wait_until(|| self.get("/health/ready").status == 200);
    }

    #[track_caller]
    pub fn wait_until(&self, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "it never came to be");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Tells it to stop and goes on.
    pub fn ask_to_stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// How it ended.
    pub fn ended(mut self) -> Ended {
        self.ask_to_stop();
        joined(self.thread.take().unwrap()).unwrap()
    }

    /// Waits for it to end of itself.
    pub fn ends(mut self) -> Ended {
        let stop = self.stop.take();
        let ended = joined(self.thread.take().unwrap()).unwrap();
        drop(stop);
        ended
    }

    pub fn connect(&self) -> Connection {
        Connection::new(self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.connect().send("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, body.to_string().as_bytes())
    }

    pub fn post_text(&self, path: &str, body: &[u8]) -> Answer {
        let json = [("content-type", "application/json")];
        self.connect().send("POST", path, &json, body)
    }

    /// The value of a metric without labels, or the sum over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        self.metric_with(name, "")
    }

    /// The sum of a metric over the lines that have `label` in them.
    pub fn metric_with(&self, name: &str, label: &str) -> f64 {
        self.get("/metrics")
            .text()
            .lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
            })
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ask_to_stop();
        if let Some(thread) = self.thread.take() {
            let ended = joined(thread);
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the service panicked or did not end"
            );
        }
    }
}

/// What a thread returned, if it ended in time and did not panic.
fn joined(thread: JoinHandle<Ended>) -> Result<Ended, ()> {
    // Twice: a lane that hangs does so for as long as a test is patient.
    let until = Instant::now() + 2 * PATIENCE;
    while !thread.is_finished() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    match thread.is_finished() {
        true => thread.join().map_err(|_| ()),
        false => Err(()),
    }
}

/// A connection.
pub struct Connection {
    pub stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection {
            stream: BufReader::new(stream),
        }
    }

    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.begin(method, path, headers, body);
        self.receive(method)
    }

    /// Sends without waiting for the answer.
    pub fn begin(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if method == "POST" {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes).unwrap();
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        // The service may have closed the connection already; its answer tells.
        let _ = self.stream.get_mut().write_all(bytes);
    }

    pub fn receive(&mut self, method: &str) -> Answer {
        self.try_receive(method).expect("an answer")
    }

    pub fn try_receive(&mut self, method: &str) -> Option<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
        self.stream.read_exact(&mut body).ok()?;
        Some(Answer {
            status,
            headers,
            body,
        })
    }
}
