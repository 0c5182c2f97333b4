//! The load tool: what a service answers, how fast, under how much load.
//!
//! In a *closed loop* so many clients each ask again as soon as they are answered: the load follows
//! the service. In an *open loop* requests come at a fixed rate whether or not earlier ones were
//! answered, and the time of each counts from when it should have been sent, so that a service
//! which stalls can not hide it.
//!
//! It only speaks to this machine's own address, for a fixed time and with a fixed number of
//! connections.

mod client;
mod compare;
mod measure;
mod report;
mod sequences;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use compare::{Baseline, Compared};
pub use report::{Cell, Report, Seconds};
pub use sequences::short_orfs;

/// Most connections of a run.
pub const MAX_CONCURRENCY: usize = 1024;

/// Longest time of one measurement.
pub const MAX_DURATION: Duration = Duration::from_secs(600);

/// What to measure.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The service.
    pub target: Target,
    /// Sequences of a request; one goes to `/predict`, more to `/predict/batch`.
    pub batch_sizes: Vec<usize>,
    /// Connections.
    pub concurrency: Vec<usize>,
    /// Requests per second of an open loop; `None`: a closed loop.
    pub rate: Option<f64>,
    /// Time of each measurement.
    pub duration: Duration,
    /// Sequences to send, over and over.
    pub sequences: Vec<String>,
    /// Sent as `Authorization: Bearer KEY`.
    pub api_key: Option<String>,
}

/// Where the service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
}

impl Target {
    /// Reads `http://127.0.0.1:8000`.
    ///
    /// # Errors
    ///
    /// When this is no such address, or not one of this machine alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_server::load::Target;
    /// assert!(Target::parse("http://localhost:8000").is_ok());
    /// assert!(Target::parse("http://[::1]:8000/").is_ok());
    /// let error = Target::parse("http://example.org").unwrap_err();
    /// assert!(error.contains("only this machine"), "{error}");
    /// ```
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| format!("`{url}` does not begin with http://"))?;
        let host = rest.trim_end_matches('/');
        if host.contains('/') {
            return Err(format!("`{url}`: leave the path away"));
        }
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => {
                let port = port
                    .parse()
                    .map_err(|_| format!("`{port}` is not a port"))?;
                (name, port)
            }
            _ => (host, 80),
        };
        let ip = match name.trim_start_matches('[').trim_end_matches(']') {
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            ip => ip.parse::<IpAddr>().ok(),
        };
        match ip.filter(IpAddr::is_loopback) {
            Some(ip) => Ok(Target {
                address: SocketAddr::new(ip, port),
                host: host.to_owned(),
            }),
            None => Err(format!(
                "`{name}`: only this machine (localhost, 127.0.0.1, [::1]) is put under load; \
                 a service elsewhere can be reached through a tunnel"
            )),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.host)
    }
}

/// Measures every batch size at every concurrency. `progress` is told of each result.
///
/// # Errors
///
/// When an option makes no sense or the service can not be reached at all.
pub async fn run(options: &LoadOptions, mut progress: impl FnMut(&Cell)) -> io::Result<Report> {
    check(options)?;
    let health = client::get(&options.target, "/health", options.api_key.as_deref()).await?;
    let mut cells = Vec::new();
    for &batch_size in &options.batch_sizes {
        for &concurrency in &options.concurrency {
            let cell = measure::measure(options, batch_size, concurrency).await;
            progress(&cell);
            cells.push(cell);
        }
    }
    Ok(Report::new(options, &health, cells))
}

fn check(options: &LoadOptions) -> io::Result<()> {
    let invalid = |message: String| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    if options.sequences.is_empty() {
        return invalid("there is no sequence to send".to_owned());
    }
    if options.batch_sizes.is_empty() || options.batch_sizes.contains(&0) {
        return invalid("batch sizes must be at least 1".to_owned());
    }
    let concurrency = &options.concurrency;
    if concurrency.is_empty()
        || !concurrency
            .iter()
            .all(|n| (1..=MAX_CONCURRENCY).contains(n))
    {
        return invalid(format!("concurrency must be from 1 to {MAX_CONCURRENCY}"));
    }
    if options.duration.is_zero() || options.duration > MAX_DURATION {
        let most = MAX_DURATION.as_secs();
        return invalid(format!("the duration must be from 1 to {most} seconds"));
    }
    if options
        .rate
        .is_some_and(|rate| !(rate > 0.0 && rate <= 1e6))
    {
        return invalid("the rate must be above 0 and at most 1,000,000".to_owned());
    }
    Ok(())
}
