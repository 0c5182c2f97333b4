//! What an operator can choose about the service.

use std::net::SocketAddr;
use std::time::Duration;

use sessile_runtime::DeviceChoice;

use crate::clients::ClientLimits;
use crate::otlp::Collector;
use crate::tls::Tls;

/// What an operator can choose. The defaults are those of the command line.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Where to listen.
    pub address: SocketAddr,
    /// Most sequences of a request to `/predict/batch`.
    pub max_batch_size: usize,
    /// Most residues of a sequence.
    pub max_sequence_length: usize,
    /// Most items of a request to the `/v1` paths.
    pub max_items: usize,
    /// Most bytes of a body.
    pub max_body_bytes: usize,
    /// Most bytes that bodies and answers hold until they are sent, all requests together. An
    /// eighth on top is kept for small requests.
    pub max_held_bytes: usize,
    /// Most connections at once. For more, those are closed that have waited longest for their
    /// clients; while all are at work, only probes are answered.
    pub max_connections: usize,
    /// Whether requests of several clients are computed together.
    pub batching: bool,
    /// Longest time a lane waits for a batch to fill.
    pub max_wait: Duration,
    /// Most requests of a batch.
    pub queue_max_size: usize,
    /// Longest time that the head of a request may take to arrive, and a connection may be idle.
    pub header_timeout: Duration,
    /// Longest time that a body may take to arrive.
    pub body_timeout: Duration,
    /// Longest time that a client may take nothing of its answer.
    pub send_timeout: Duration,
    /// Fewest bytes per second, over that time, that a client must take of its answer.
    pub min_send_rate: usize,
    /// Longest time for an answer, if the client does not ask for less.
    pub request_timeout: Duration,
    /// Longest time from the start until every lane has answered; none: any.
    pub startup_timeout: Option<Duration>,
    /// Longest time to finish accepted work after SIGTERM.
    pub grace: Duration,
    /// How often an idle lane is asked for a forward pass.
    pub probe_interval: Duration,
    /// How long ago a lane may have answered for the service to be ready.
    pub probe_timeout: Duration,
    /// Origins of pages that may call; `*` for all, none: no page of another origin may.
    pub cors_origins: Vec<String>,
    /// Where traces are sent; none: there are none.
    pub collector: Option<Collector>,
    /// The certificate to show; none: connections are not encrypted.
    pub tls: Option<Tls>,
    /// Keys of which one is asked for, as [`keys::parse`](crate::keys::parse) gives them; none:
    /// everybody may call.
    pub api_keys: Vec<String>,
    /// Clients with keys and limits of their own, beside those keys.
    pub clients: Vec<ClientLimits>,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        ServiceOptions {
            address: SocketAddr::from(([127, 0, 0, 1], 8000)),
            max_batch_size: 64,
            max_sequence_length: 1024,
            max_items: 8192,
            max_body_bytes: 8 << 20,
            max_held_bytes: 512 << 20,
            max_connections: 1024,
            batching: true,
            max_wait: Duration::from_millis(50),
            queue_max_size: 64,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
            min_send_rate: 128 << 10,
            request_timeout: Duration::from_secs(300),
            startup_timeout: None,
            grace: Duration::from_secs(30),
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(30),
            cors_origins: Vec::new(),
            collector: None,
            tls: None,
            api_keys: Vec::new(),
            clients: Vec::new(),
        }
    }
}

/// Reads origins as ESM2_MultiGPU_Inference takes them, a JSON list, or separated by commas.
///
/// # Errors
///
/// What is wrong with the text.
///
/// # Examples
///
/// ```
/// use sessile_server::options::parse_origins;
/// assert_eq!(parse_origins(r#"["https://a.org"]"#).unwrap(), ["https://a.org"]);
/// assert_eq!(parse_origins("https://a.org, *").unwrap(), ["https://a.org", "*"]);
/// assert!(parse_origins("[1]").is_err());
/// ```
pub fn parse_origins(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    if text.starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|error| format!("`{text}` is not a JSON list of origins: {error}"));
    }
    Ok(text
        .split(',')
        .map(|origin| origin.trim().to_owned())
        .filter(|origin| !origin.is_empty())
        .collect())
}

/// What a list such as that of `CUDA_VISIBLE_DEVICES` means as a choice of devices, by the numbers
/// that the driver gives them before the variable hides any; `None` when it leaves the choice open.
///
/// # Examples
///
/// ```
/// use sessile_server::options::visible_devices;
/// assert_eq!(visible_devices(""), Some("cpu".parse().unwrap()));
/// assert_eq!(visible_devices("-1"), Some("cpu".parse().unwrap()));
/// assert_eq!(visible_devices("0,2"), Some("cuda:0,cuda:2".parse().unwrap()));
/// assert_eq!(visible_devices("GPU-5a1e"), None);
/// ```
pub fn visible_devices(text: &str) -> Option<DeviceChoice> {
    let text = text.trim();
    if text.is_empty() || text == "-1" {
        return "cpu".parse().ok();
    }
    let names: Vec<String> = text
        .split(',')
        .map(|ordinal| format!("cuda:{}", ordinal.trim()))
        .collect();
    names.join(",").parse().ok()
}
