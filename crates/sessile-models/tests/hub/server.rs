//! A hub on 127.0.0.1 that misbehaves as told, and the place that it sends large files from.
//!
//! Both are one kind of server: a function from a request to a reply, a thread for each connection,
//! one request on each.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest, Sha256};

/// The commit that every revision of the model stands for, unless a test says otherwise.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte that is asked for.
    pub(crate) fn from(&self) -> usize {
        let range = self
            .header("range")
            .and_then(|range| range.strip_prefix("bytes="));
        range
            .and_then(|range| range.trim_end_matches('-').parse().ok())
            .unwrap_or(0)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Close the connection after so many bytes of the body.
    pub(crate) cut: Option<usize>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Reply {
            status,
            body: body.into(),
            ..Reply::default()
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    /// The bytes of a file from where the request wants them.
    pub(crate) fn range(request: &Request, bytes: &[u8]) -> Self {
        match request.from() {
            0 => Reply::new(200, bytes),
            from if from < bytes.len() => Reply::new(206, &bytes[from..]).with(
                "Content-Range",
                format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()),
            ),
            _ => Reply::new(416, ""),
        }
    }
}

/// A server that runs until the test ends.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, handler) = (requests.clone(), Arc::new(handler));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, handler) = (seen.clone(), handler.clone());
                thread::spawn(move || {
                    // A client that goes away is no fault of the server.
                    if let Some(request) = read_request(&stream) {
                        seen.lock().unwrap().push(request.clone());
                        let _ = answer(&stream, &request, &handler(&request));
                    }
                });
            }
        });
        Server { url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many requests of a method had this in their path.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        let requests = self.requests();
        requests
            .iter()
            .filter(|r| r.method == method && r.path.contains(part))
            .count()
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Request {
        method,
        path,
        headers,
    })
}

fn answer(mut stream: &TcpStream, request: &Request, reply: &Reply) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {} -\r\nConnection: close\r\n",
        reply.status
    )?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    if !reply
        .headers
        .iter()
        .any(|(name, _)| name == "Content-Length")
    {
        write!(stream, "Content-Length: {}\r\n", reply.body.len())?;
    }
    stream.write_all(b"\r\n")?;
    if request.method != "HEAD" {
        let sent = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
        stream.write_all(&reply.body[..sent])?;
    }
    stream.flush()
}

/// A repository with a few files, as the hub describes and sends them.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) commit: String,
}

impl Model {
    /// The smallest golden model, one file of weights.
    pub(crate) fn whole() -> Self {
        let mut model = Model::from_golden(
            "esm2/tiny_a/variant_f16",
            &["config.json", "vocab.txt", "model.safetensors"],
        );
        // What no one needs must not be fetched.
        model.files.insert("tf_model.h5".to_owned(), vec![0; 10]);
        model
            .files
            .insert("onnx/model.onnx".to_owned(), vec![0; 10]);
        model
    }

    pub(crate) fn sharded() -> Self {
        Model::from_golden(
            "esm2/tiny_a/variant_sharded",
            &[
                "config.json",
                "vocab.txt",
                "model.safetensors.index.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
            ],
        )
    }

    fn from_golden(folder: &str, names: &[&str]) -> Self {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
        let read = |name: &&str| {
            (
                name.to_string(),
                std::fs::read(format!("{root}/{folder}/{name}")).unwrap(),
            )
        };
        Model {
            files: names.iter().map(read).collect(),
            commit: COMMIT.to_owned(),
        }
    }

    pub(crate) fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The answer of a well-behaved hub that sends its files itself.
    pub(crate) fn reply(&self, request: &Request) -> Reply {
        if request.path.starts_with("/api/models/") {
            let files: Vec<_> = self
                .files
                .keys()
                .map(|f| serde_json::json!({ "rfilename": f }))
                .collect();
            let info = serde_json::json!({ "sha": self.commit, "siblings": files });
            return Reply::new(200, info.to_string());
        }
        let Some(bytes) = self.file(request) else {
            return Reply::new(404, "").with("X-Error-Code", "EntryNotFound");
        };
        Reply::range(request, bytes)
            .with("ETag", format!("\"{}\"", Model::sha256(bytes)))
            .with("X-Linked-Size", bytes.len())
    }

    pub(crate) fn file(&self, request: &Request) -> Option<&Vec<u8>> {
        self.files.get(request.path.rsplit('/').next()?)
    }
}
