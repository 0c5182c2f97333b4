//! Who may ask for how much: a file of clients with a key each, tokens a minute, requests at a time, and
//! the best priority that they are served with.
//!
//! A client has a bucket that holds the tokens of a minute and fills evenly. A request is taken while
//! there is anything in it and takes all of its tokens out, even more than there are, so that a request
//! larger than the quota is served too; the client then waits until the bucket is above nothing again.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::failure::{Failure, FailureKind};

/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What a client may ask for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ClientLimits {
    /// What it is called in metrics.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Tokens that it may have read in a minute; none: any number.
    pub tokens_per_minute: Option<u64>,
    /// Requests that it may have answered at the same time; none: any number.
    pub concurrency: Option<usize>,
    /// The best priority that its requests are served with: 0, 1 or 2. What asks for better is served
    /// with this.
    #[serde(default)]
    pub priority: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    client: Vec<ClientLimits>,
}

/// Reads a file of clients, in TOML:
///
/// ```
/// use sessile_server::clients::parse;
///
/// let text = r#"
///     [[client]]
///     name = "web"
///     key = "first-key"
///     [[client]]
///     name = "night"
///     key = "second-key"
///     tokens_per_minute = 1_000_000
///     concurrency = 4
///     priority = 2
/// "#;
/// let clients = parse("clients.toml", text).unwrap();
/// assert_eq!((clients[1].concurrency, clients[1].priority), (Some(4), 2));
/// assert!(parse("x", &text.replace("second", "first")).unwrap_err().contains("same key"));
/// ```
///
/// # Errors
///
/// Names `origin` and what is wrong there.
pub fn parse(origin: &str, text: &str) -> Result<Vec<ClientLimits>, String> {
    let file: File = toml::from_str(text).map_err(|error| format!("{origin}: {error}"))?;
    let (mut names, mut keys) = (HashSet::new(), HashSet::new());
    for client in &file.client {
        let name = &client.name;
        let fault = if name.is_empty() || !name.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            "a client's name is letters, digits and signs, without blanks"
        } else if !names.insert(name) {
            "two clients have the same name"
        } else if client.key.trim() != client.key
            || crate::keys::parse("key", &client.key).is_err()
            || client.key.contains(',')
        {
            "a key is empty, or has blanks around it, a comma or a character that cannot be sent"
        } else if !keys.insert(&client.key) {
            "two clients have the same key"
        } else if client.tokens_per_minute == Some(0) || client.concurrency == Some(0) {
            "a limit of 0 lets nothing through; leave the client out"
        } else if client.priority > 2 {
            "priority is 0, 1 or 2"
        } else {
            continue;
        };
        return Err(format!("{origin}: client `{name}`: {fault}"));
    }
    if file.client.is_empty() {
        return Err(format!("{origin} has no client"));
    }
    Ok(file.client)
}

/// Reads such a file from the disk.
///
/// # Errors
///
/// As [`parse`], and when the file cannot be read or is too large.
pub fn read_file(path: &Path) -> Result<Vec<ClientLimits>, String> {
    let origin = path.display().to_string();
    let unreadable = |error| format!("cannot read the clients in {origin}: {error}");
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(format!("{origin} is not a file of clients"));
    }
    parse(&origin, &std::fs::read_to_string(path).map_err(unreadable)?)
}

/// A client and what it has asked for lately.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) limits: ClientLimits,
    bucket: Mutex<Bucket>,
    running: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// A request of a client, until its answer is sent.
pub(crate) struct Running(Arc<Client>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Client {
    /// With a full bucket, or with what `before` has left of it.
    pub(crate) fn new(limits: ClientLimits, before: Option<&Client>) -> Self {
        let most = limits.tokens_per_minute.unwrap_or(0) as f64;
        let now = Instant::now();
        let tokens = before.map_or(most, |client| {
            let rate = client.limits.tokens_per_minute;
            let bucket = client.bucket();
            rate.map_or(most, |rate| bucket.after(rate, now).tokens.min(most))
        });
        Client {
            bucket: Mutex::new(Bucket { tokens, at: now }),
            running: AtomicUsize::new(0),
            limits,
        }
    }

    fn bucket(&self) -> Bucket {
        *self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request among those that run, if there may be another.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Running, Failure> {
        let running = self.running.fetch_add(1, Ordering::AcqRel);
        let begun = Running(Arc::clone(self));
        match self.limits.concurrency {
            Some(most) if running >= most => {
                let message = format!("`{}` may have {most} requests at a time", self.limits.name);
                Err(Failure::new(FailureKind::QuotaExceeded, message).retry_after(1))
            }
            _ => Ok(begun),
        }
    }

    /// Takes the tokens of a request out, or tells when there will be some.
    pub(crate) fn spend(&self, tokens: usize) -> Result<(), Failure> {
        let Some(rate) = self.limits.tokens_per_minute else {
            return Ok(());
        };
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        *bucket = bucket.after(rate, Instant::now());
        if bucket.tokens > 0.0 {
            bucket.tokens -= tokens as f64;
            return Ok(());
        }
        let seconds = (1.0 - bucket.tokens) * 60.0 / rate as f64;
        let message = format!(
            "`{}` may have {rate} tokens read in a minute; try again later",
            self.limits.name
        );
        let failure = Failure::new(FailureKind::QuotaExceeded, message);
        Err(failure.retry_after(seconds.ceil() as u64))
    }
}

impl Bucket {
    fn after(self, rate: u64, now: Instant) -> Self {
        let filled = now.saturating_duration_since(self.at).as_secs_f64() * rate as f64
            / Duration::from_secs(60).as_secs_f64();
        Bucket {
            tokens: (self.tokens + filled).min(rate as f64),
            at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(tokens: Option<u64>, concurrency: Option<usize>) -> Arc<Client> {
        let limits = ClientLimits {
            name: "night".to_owned(),
            key: "key".to_owned(),
            tokens_per_minute: tokens,
            concurrency,
            priority: 1,
        };
        Arc::new(Client::new(limits, None))
    }

    #[test]
    fn tokens_come_back_evenly_and_a_large_request_is_owed() {
        let client = client(Some(600), None);
        client.spend(400).unwrap();
        client.spend(900).unwrap();
        let refused = client.spend(1).unwrap_err();
        assert_eq!(refused.kind, FailureKind::QuotaExceeded);
        // 700 are owed, ten come a second.
        assert!(
            (70..=71).contains(&refused.retry_after.unwrap()),
            "{refused:?}"
        );
        let after = |seconds| {
            let bucket = client.bucket();
            bucket
                .after(600, bucket.at + Duration::from_secs(seconds))
                .tokens
        };
        assert!(after(69) < 0.0 && after(71) > 0.0 && after(10_000) == 600.0);
        // Reading the file again forgives nothing.
        let again = Client::new(client.limits.clone(), Some(&client));
        assert!(again.spend(1).is_err());
    }

    #[test]
    fn requests_at_a_time_are_counted_until_they_end() {
        let client = client(None, Some(2));
        let first = client.begin().unwrap();
        let _second = client.begin().unwrap();
        assert!(client.begin().is_err());
        drop(first);
        client.begin().unwrap();
        client.spend(usize::MAX).unwrap();
    }

    #[test]
    fn faults_in_the_file_are_named() {
        for (text, words) in [
            ("", "missing field `client`"),
            ("client = []", "has no client"),
            ("[[client]]\nname = \"a\"", "missing field `key`"),
            (
                "[[client]]\nname = \"a\"\nkey = \"k\"\nrate = 1",
                "unknown field `rate`",
            ),
            ("[[client]]\nname = \"a b\"\nkey = \"k\"", "without blanks"),
            ("[[client]]\nname = \"a\"\nkey = \"\"", "a key is empty"),
            (
                "[[client]]\nname = \"a\"\nkey = \"k\"\nconcurrency = 0",
                "a limit of 0",
            ),
            (
                "[[client]]\nname = \"a\"\nkey = \"k\"\npriority = 3",
                "0, 1 or 2",
            ),
        ] {
            let error = parse("clients.toml", text).unwrap_err();
            assert!(
                error.contains(words) && error.contains("clients.toml"),
                "{error}"
            );
        }
    }
}
