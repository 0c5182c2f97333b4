//! What was measured, as it is written down.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

use super::LoadOptions;
use super::compare::Compared;

/// All measurements of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Seconds since 1970 when it was written.
    pub time: u64,
    /// The service.
    pub url: String,
    /// What it said of itself at the beginning.
    pub health: Value,
    /// `closed`, or `open` at [`Report::rate`].
    pub r#loop: &'static str,
    /// Requests per second of an open loop.
    pub rate: Option<f64>,
    /// Number of different sequences.
    pub sequences: usize,
    /// Their mean length in residues.
    pub mean_length: f64,
    /// A measurement per batch size and concurrency.
    pub cells: Vec<Cell>,
    /// The same beside an earlier run, if there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<Compared>,
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Sequences of a request.
    pub batch_size: usize,
    /// Connections.
    pub concurrency: usize,
    /// How long it took.
    pub seconds: f64,
    /// Requests answered.
    pub requests: usize,
    /// Requests that failed, by status or kind.
    pub errors: BTreeMap<String, u64>,
    /// Requests answered per second.
    pub requests_per_second: f64,
    /// Sequences answered per second.
    pub sequences_per_second: f64,
    /// Tokens per second, both ends of a sequence counted.
    pub tokens_per_second: f64,
    /// Times to the answer; `None` when no request was answered.
    pub latency: Option<Seconds>,
}

/// Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Seconds {
    /// Half are shorter.
    pub p50: f64,
    /// 95 of 100 are shorter.
    pub p95: f64,
    /// 99 of 100 are shorter.
    pub p99: f64,
    /// The longest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

impl Seconds {
    /// Of times that are sorted.
    pub(super) fn new(sorted: &[Duration]) -> Option<Self> {
        let longest = sorted.last()?;
        let at = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted[rank.clamp(1, sorted.len()) - 1].as_secs_f64()
        };
        Some(Seconds {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: longest.as_secs_f64(),
            mean: sorted.iter().sum::<Duration>().as_secs_f64() / sorted.len() as f64,
        })
    }
}

impl Cell {
    /// Requests that failed.
    pub fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    pub(super) fn new(
        batch_size: usize,
        concurrency: usize,
        elapsed: Duration,
        latencies: &[Duration],
        sequences: usize,
        tokens: usize,
        errors: BTreeMap<String, u64>,
    ) -> Self {
        let seconds = elapsed.as_secs_f64();
        Cell {
            batch_size,
            concurrency,
            seconds,
            requests: latencies.len(),
            errors,
            requests_per_second: latencies.len() as f64 / seconds,
            sequences_per_second: sequences as f64 / seconds,
            tokens_per_second: tokens as f64 / seconds,
            latency: Seconds::new(latencies),
        }
    }
}

impl Report {
    pub(super) fn new(options: &LoadOptions, health: &Value, cells: Vec<Cell>) -> Self {
        let residues: usize = options.sequences.iter().map(String::len).sum();
        Report {
            time: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            url: format!("http://{}", options.target.host),
            health: health.clone(),
            r#loop: if options.rate.is_some() {
                "open"
            } else {
                "closed"
            },
            rate: options.rate,
            sequences: options.sequences.len(),
            mean_length: residues as f64 / options.sequences.len().max(1) as f64,
            cells,
            compared: Vec::new(),
        }
    }

    /// Requests that failed.
    pub fn errors(&self) -> u64 {
        self.cells.iter().map(Cell::errors).sum()
    }

    /// Requests that were answered.
    pub fn answered(&self) -> usize {
        self.cells.iter().map(|cell| cell.requests).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_times_measured() {
        let times: Vec<_> = (1..=200).map(Duration::from_secs).collect();
        let seconds = Seconds::new(&times);
        let expected = Seconds {
            p50: 100.0,
            p95: 190.0,
            p99: 198.0,
            max: 200.0,
            mean: 100.5,
        };
        assert_eq!(seconds, Some(expected));
        assert_eq!(Seconds::new(&[]), None);
        assert_eq!(Seconds::new(&times[..1]).unwrap().p99, 1.0);
    }

    #[test]
    fn a_report_is_compared_with_an_earlier_one() {
        let cell = |concurrency, seconds: u64, tokens| {
            let times = [Duration::from_secs(seconds)];
            let elapsed = Duration::from_secs(10);
            Cell::new(1, concurrency, elapsed, &times, 1, tokens, BTreeMap::new())
        };
        let report = |cells| Report {
            time: 0,
            url: String::new(),
            health: Value::Null,
            r#loop: "closed",
            rate: None,
            sequences: 1,
            mean_length: 1.0,
            cells,
            compared: Vec::new(),
        };
        let earlier = report(vec![cell(1, 4, 100), cell(8, 2, 100)]);
        let text = serde_json::to_string(&earlier).unwrap();
        let baseline = crate::load::Baseline::parse(&text).unwrap();
        let compared = baseline.compare(&report(vec![cell(1, 2, 150), cell(64, 1, 100)]));
        let expected = Compared {
            batch_size: 1,
            concurrency: 1,
            throughput: 1.5,
            p99: Some(0.5),
        };
        assert_eq!(compared, [expected]);
        assert!(crate::load::Baseline::parse("{}").is_err());
    }
}
