//! What programs read: a JSON object a line on standard error, told apart by its `event`.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use sessile_pipelines::{Observer, Progress, Summary};
use sessile_runtime::WritingReport;

use super::seconds_left;
use crate::exit::Failure;

/// How often progress is told.
const EVERY: Duration = Duration::from_secs(1);

/// Tells a job as JSON on standard error.
pub(crate) struct JsonLog {
    told: Option<Instant>,
}

impl JsonLog {
    pub(crate) fn new() -> Self {
        JsonLog { told: None }
    }

    /// What became of a job.
    pub(crate) fn summary(&mut self, summary: &Summary) {
        let stages = &summary.stages;
        say(&json!({
            "event": "summary",
            "records": summary.records,
            "failed": summary.failed,
            "resumed": summary.resumed,
            "shared": summary.shared,
            "residues": summary.residues,
            "tokens": summary.tokens,
            "seconds": summary.run.as_secs_f64(),
            "busy": summary.busy,
            "model_loads": summary.model_loads,
            "stages": {
                "loading": summary.load.as_secs_f64(),
                "reading": stages.reading.as_secs_f64(),
                "computing": stages.computing.as_secs_f64(),
                "waiting": stages.waiting.as_secs_f64(),
                "journal": stages.journal.as_secs_f64(),
                "writing": stages.writing.as_secs_f64(),
            },
            "generation": summary.generation.as_ref().map(generation),
        }));
    }

    /// Why a job could not be done.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        if let Some(message) = failure.message() {
            say(&json!({
                "event": "error",
                "code": failure.code(),
                "message": message,
                "hint": failure.hint(),
            }));
        }
    }
}

/// What a model that writes has done.
fn generation(report: &WritingReport) -> Value {
    let memory = report
        .memory
        .iter()
        .map(|(device, bytes)| (device.to_string(), json!(bytes)));
    json!({
        "inferences": report.inferences,
        "inferences_per_second": report.inferences_per_second,
        "tokens": report.tokens,
        "tokens_per_second": report.tokens_per_second,
        "instances": report.instances,
        "memory_bytes": memory.collect::<Map<String, Value>>(),
        "queued": report.queued,
        "mean_batch": report.mean_batch,
        "given_back": report.given_back,
        "has_fallen_back": report.has_fallen_back,
    })
}

/// Whoever reads may be gone; the job goes on.
fn say(event: &Value) {
    say!("{event}");
}

impl Observer for JsonLog {
    fn progress(&mut self, progress: &Progress) {
        if self.told.is_some_and(|told| told.elapsed() < EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        let seconds = progress.elapsed.as_secs_f64();
        say(&json!({
            "event": "progress",
            "records": progress.records,
            "failed": progress.failed,
            "resumed": progress.resumed,
            "tokens": progress.tokens,
            "tokens_per_second": progress.tokens as f64 / seconds.max(1e-3),
            "busy": progress.busy,
            "bytes_read": progress.bytes_read,
            "bytes_total": progress.bytes_total,
            "seconds": seconds,
            "seconds_left": seconds_left(progress),
        }));
    }

    fn failure(&mut self, id: &str, place: &str, reason: &str) {
        say(&json!({ "event": "failure", "id": id, "place": place, "reason": reason }));
    }

    fn note(&mut self, message: &str) {
        say(&json!({ "event": "note", "message": message }));
    }
}
