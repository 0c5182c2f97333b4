//! A run beside an earlier one: the cells that both have measured.

use serde::{Deserialize, Serialize};

use super::report::Report;

/// An earlier report, as far as it is compared.
#[derive(Clone, Debug, Deserialize)]
pub struct Baseline {
    cells: Vec<EarlierCell>,
}

#[derive(Clone, Debug, Deserialize)]
struct EarlierCell {
    batch_size: usize,
    concurrency: usize,
    tokens_per_second: f64,
    latency: Option<EarlierSeconds>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct EarlierSeconds {
    p99: f64,
}

/// A cell beside that of an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Sequences of a request.
    pub batch_size: usize,
    /// Connections.
    pub concurrency: usize,
    /// Tokens per second, of those of the earlier run.
    pub throughput: f64,
    /// p99, of that of the earlier run; `None` where one of them answered nothing.
    pub p99: Option<f64>,
}

impl Baseline {
    /// Reads a report.
    ///
    /// # Errors
    ///
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("no report of bench-service: {error}"))
    }

    /// The cells of `report` that were measured then, too.
    pub fn compare(&self, report: &Report) -> Vec<Compared> {
        let cells = report.cells.iter().filter_map(|cell| {
            let earlier = self.cells.iter().find(|earlier| {
                (earlier.batch_size, earlier.concurrency) == (cell.batch_size, cell.concurrency)
            })?;
            let seconds = cell.latency.zip(earlier.latency);
            Some(Compared {
                batch_size: cell.batch_size,
                concurrency: cell.concurrency,
                throughput: cell.tokens_per_second / earlier.tokens_per_second.max(1e-9),
                p99: seconds.map(|(now, then)| now.p99 / then.p99.max(1e-9)),
            })
        });
        cells.collect()
    }
}
