//! One measurement: one batch size at one concurrency.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;

use super::LoadOptions;
use super::client::Client;
use super::report::Cell;

/// A request that is ready to be sent.
struct Prepared {
    body: Bytes,
    /// Tokens: residues and both ends of each sequence.
    tokens: usize,
    sequences: usize,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    tokens: usize,
    sequences: usize,
    errors: BTreeMap<String, u64>,
}

/// Measures.
pub(super) async fn measure(options: &LoadOptions, batch_size: usize, concurrency: usize) -> Cell {
    let (path, requests) = prepare(&options.sequences, batch_size);
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let end = begun + options.duration;
    let clients = (0..concurrency).map(|_| {
        let client = Client::new(&options.target, options.api_key.as_deref());
        drive(client, path, &requests, &next, options.rate, begun, end)
    });
    let seen = join_all(clients).await;
    let elapsed = begun.elapsed();
    let mut all = Seen::default();
    for one in seen {
        all.latencies.extend(one.latencies);
        all.tokens += one.tokens;
        all.sequences += one.sequences;
        for (error, count) in one.errors {
            *all.errors.entry(error).or_default() += count;
        }
    }
    all.latencies.sort_unstable();
    Cell::new(
        batch_size,
        concurrency,
        elapsed,
        &all.latencies,
        all.sequences,
        all.tokens,
        all.errors,
    )
}

/// One connection, until the end.
async fn drive(
    mut client: Client<'_>,
    path: &str,
    requests: &[Prepared],
    next: &AtomicUsize,
    rate: Option<f64>,
    begun: Instant,
    end: Instant,
) -> Seen {
    /// After an error, so that a service that is down is not asked as fast as can be.
    const PAUSE: Duration = Duration::from_millis(20);
    let mut seen = Seen::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let mut due = Instant::now();
        if let Some(rate) = rate {
            due = begun + Duration::from_secs_f64(number as f64 / rate);
            if due < end {
                tokio::time::sleep_until(due.into()).await;
            }
        }
        if due >= end {
            return seen;
        }
        let request = &requests[number % requests.len()];
        let error = match client.post(path, request.body.clone()).await {
            Ok((status, _)) if status.is_success() => {
                seen.latencies.push(due.elapsed());
                seen.tokens += request.tokens;
                seen.sequences += request.sequences;
                continue;
            }
            Ok((status, _)) => status.as_u16().to_string(),
            Err(error) => error.kind().to_string(),
        };
        *seen.errors.entry(error).or_default() += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Cuts the sequences into requests.
fn prepare(sequences: &[String], batch_size: usize) -> (&'static str, Vec<Prepared>) {
    let tokens = |sequences: &[&String]| sequences.iter().map(|text| text.len() + 2).sum();
    let all: Vec<&String> = sequences.iter().collect();
    if batch_size == 1 {
        let requests = all.iter().map(|sequence| Prepared {
            body: json!({ "sequence": sequence }).to_string().into(),
            tokens: tokens(&[sequence]),
            sequences: 1,
        });
        return ("/predict", requests.collect());
    }
    // As many requests as there are sequences, so that each size sees every mixture.
    let requests = (0..all.len()).map(|first| {
        let batch: Vec<&String> = (0..batch_size)
            .map(|offset| all[(first + offset) % all.len()])
            .collect();
        Prepared {
            body: json!({ "sequences": batch }).to_string().into(),
            tokens: tokens(&batch),
            sequences: batch.len(),
        }
    });
    ("/predict/batch", requests.collect())
}
