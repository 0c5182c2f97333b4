//! Spans on their way to a collector: OTLP over HTTP, in JSON
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>), a batch a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::{Attribute, Span};

/// Spans that wait at most; more are dropped and counted.
const MOST_WAITING: usize = 8192;

/// Spans of a batch at most.
const BATCH: usize = 1024;

/// From one batch to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest time for a batch to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// A collector of traces: `http://host:4318`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Host and port.
    authority: String,
    /// What stands before `/v1/traces`.
    path: String,
}

impl std::str::FromStr for Collector {
    type Err = String;

    /// # Examples
    ///
    /// ```
    /// use sessile_server::Collector;
    ///
    /// assert!("http://collector:4318".parse::<Collector>().is_ok());
    /// let error = "https://collector".parse::<Collector>().unwrap_err();
    /// assert!(error.contains("http://"), "{error}");
    /// ```
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.trim().strip_prefix("http://") else {
            return Err(format!(
                "`{text}`: a collector is given as http://HOST:4318 (OTLP over HTTP; one that wants \
                 TLS is reached through a collector beside the service)"
            ));
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() || authority.contains('@') {
            return Err(format!("`{text}` names no host"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| {
            !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        Ok(Collector {
            authority: if has_port {
                authority.to_owned()
            } else {
                format!("{authority}:4318")
            },
            path: match path.trim_end_matches('/') {
                "" => String::new(),
                path => format!("/{path}"),
            },
        })
    }
}

/// Takes spans, and sends them from a task of its own.
pub(crate) struct Exporter {
    spans: Sender<Span>,
    dropped: Arc<AtomicU64>,
}

impl Exporter {
    /// Has spans sent to this collector until the last clone of the exporter is dropped.
    pub(crate) fn start(collector: Collector) -> Arc<Self> {
        let (spans, waiting) = channel(MOST_WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        tokio::spawn(run(collector, waiting, Arc::clone(&dropped)));
        Arc::new(Exporter { spans, dropped })
    }

    pub(super) fn send(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Spans that were lost: the collector was gone or too slow.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn run(collector: Collector, mut waiting: Receiver<Span>, dropped: Arc<AtomicU64>) {
    let mut batch = Vec::new();
    let mut is_well = true;
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        // Others that come meanwhile go with it.
        tokio::time::sleep(INTERVAL).await;
        while batch.len() < BATCH
            && let Ok(span) = waiting.try_recv()
        {
            batch.push(span);
        }
        let count = batch.len() as u64;
        let body = document(&batch);
        batch.clear();
        let sent = timeout(PATIENCE, post(&collector, body)).await;
        let fault = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if let Some(error) = &fault {
            dropped.fetch_add(count, Ordering::Relaxed);
            // Once, until it is well again.
            if is_well {
                tracing::warn!(error, "the collector of traces takes nothing");
            }
        }
        is_well = fault.is_none();
    }
}

async fn post(collector: &Collector, body: Bytes) -> Result<(), String> {
    let stream = TcpStream::connect(&collector.authority)
        .await
        .map_err(|error| error.to_string())?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let request = Request::post(format!("{}/v1/traces", collector.path))
        .header(header::HOST, &collector.authority)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status();
    // Read to its end, so that the collector sees none cut off.
    let _ = answer.into_body().collect().await;
    match status.is_success() {
        true => Ok(()),
        false => Err(format!("status {status}")),
    }
}

fn document(spans: &[Span]) -> Bytes {
    let resource = json!([
        attribute("service.name", &Attribute::Text("sessile".to_owned())),
        attribute(
            "service.version",
            &Attribute::Text(env!("CARGO_PKG_VERSION").to_owned())
        ),
    ]);
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let document = json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": "sessile" }, "spans": spans }],
    }] });
    Bytes::from(document.to_string())
}

fn span(span: &Span) -> Value {
    let attributes = span.attributes.iter();
    let mut value = json!({
        "traceId": format!("{:032x}", span.trace),
        "spanId": format!("{:016x}", span.span),
        "name": span.name,
        // A server's, or one inside of it.
        "kind": if span.is_server { 2 } else { 1 },
        "startTimeUnixNano": nanoseconds(span.begun),
        "endTimeUnixNano": nanoseconds(span.ended),
        "attributes": attributes.map(|(name, value)| attribute(name, value)).collect::<Vec<_>>(),
    });
    if let Some(parent) = span.parent {
        value["parentSpanId"] = json!(format!("{parent:016x}"));
    }
    if span.has_failed {
        value["status"] = json!({ "code": 2 });
    }
    value
}

fn attribute(name: &str, value: &Attribute) -> Value {
    match value {
        Attribute::Text(text) => json!({ "key": name, "value": { "stringValue": text } }),
        // As text, for JSON has no whole numbers of 64 bits.
        Attribute::Number(number) => {
            json!({ "key": name, "value": { "intValue": number.to_string() } })
        }
    }
}

fn nanoseconds(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.as_nanos().to_string()
}
