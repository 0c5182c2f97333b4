//! `sessile viral predict`

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sessile_pipelines::journal::JournalOptions;
use sessile_pipelines::viral::predict::{
    self, PredictOptions, Predictor, Sample, Stage, Stages, Watch, read_sample_sheet,
};
use sessile_pipelines::{Observer, Summary};
use sessile_runtime::{DeviceChoice, PoolOptions};

use super::super::open_model;
use crate::arguments::viral::PredictArguments;
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{Terminal, count, duration, several};

/// How often a line of `--json-progress` is printed.
const JSON_EVERY: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: PredictArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(true);
    let samples = samples(&arguments)?;
    let models = arguments.models;
    let quiet = arguments.quiet;
    let options = PredictOptions {
        chunk: models.chunk,
        classifier: models.classifier,
        esm_layer: models.esm_layer,
        shard: arguments.shard,
        save_features: arguments.save_features,
        tables: arguments.tables.into(),
        force: arguments.force,
        journal: !arguments.no_journal,
        resume: JournalOptions {
            allow_mixed: arguments.allow_mixed,
            restart: arguments.restart,
        },
        pool: PoolOptions {
            timed: arguments.profile,
            ..arguments.pool.options()
        },
    };
    predict::check(&options, &samples)?;
    let (dnabert, esm) = (open_model(&models.dnabert)?, open_model(&models.esm)?);
    if (dnabert.is_demo() || esm.is_demo()) && !quiet {
        say!("note: `demo` is an untrained model; its scores mean nothing");
    }
    let predictor = Predictor::load(dnabert, esm, options)?;
    if !quiet && !arguments.json_progress && arguments.pool.devices == DeviceChoice::Auto {
        say!("devices: auto takes {}", predictor.pool().devices());
    }
    let mut watcher = Watcher::new(quiet, arguments.json_progress);
    let mut whole = Summary::default();
    for sample in &samples {
        watcher.sample.clone_from(&sample.name);
        let mut told = Told(&mut terminal, quiet);
        let result = predictor.run(sample, &mut told, &mut watcher, &interrupt);
        watcher.clear();
        let done = result.map_err(|error| Failure::ended(error, &interrupt))?;
        whole.failed += done.summary.failed;
        if !quiet {
            let seconds = done.summary.run.as_secs_f64().max(1e-9);
            say!(
                "{}: {} of {} chunks are viruses ({} frames in {} contigs) in {}{} ({} tokens/s, \
                 lanes busy {:.0} %, {} model loads)\nresult: {}",
                sample.name,
                count(done.counts.virus_chunks),
                count(done.counts.chunks),
                count(done.counts.frames),
                count(done.counts.contigs),
                duration(seconds),
                several(done.summary.failed, "failed"),
                count((done.summary.tokens as f64 / seconds) as u64),
                100.0 * done.summary.busy,
                done.summary.model_loads,
                sample.output.display()
            );
        }
        if arguments.profile {
            profile(&predictor, &done.stages);
        }
    }
    Ok(finished(whole.failed))
}

fn samples(arguments: &PredictArguments) -> Result<Vec<Sample>, Failure> {
    if let Some(sheet) = &arguments.sample_sheet {
        return Ok(read_sample_sheet(sheet, &arguments.output)?);
    }
    let name = arguments.output.file_name().unwrap_or_default();
    Ok(vec![Sample {
        name: name.to_string_lossy().into_owned(),
        inputs: arguments.input.clone(),
        output: arguments.output.clone(),
    }])
}

/// Failures and notes; progress is shown by stages.
struct Told<'a>(&'a mut Terminal, bool);

impl Observer for Told<'_> {
    fn failure(&mut self, record: &str, reason: &str) {
        self.0.failure(record, reason);
    }

    fn note(&mut self, message: &str) {
        if !self.1 {
            say!("{message}");
        }
    }
}

/// Shows the stages: a line on a terminal, or JSON.
struct Watcher {
    bar: Option<ProgressBar>,
    json: bool,
    printed: Option<Instant>,
    sample: String,
}

impl Watcher {
    fn new(quiet: bool, json: bool) -> Self {
        let bar = (stderr().is_terminal() && !quiet && !json).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Watcher {
            bar,
            json,
            printed: None,
            sample: String::new(),
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message("");
            bar.tick();
        }
    }
}

impl Watch for Watcher {
    fn stages(&mut self, stages: &Stages) {
        let seconds = stages.elapsed.as_secs_f64().max(1e-3);
        let rate = |number: u64| number as f64 / seconds;
        if let Some(bar) = &self.bar {
            let left = stages.left().map_or_else(String::new, |left| {
                format!(", {} left", duration(left.as_secs_f64()))
            });
            bar.set_message(format!(
                "{}: {} chunks, DNA {:.0} seq/s {:.0} tok/s, protein {:.0} seq/s {:.0} tok/s, {} \
                 frames scored, lanes {:.0} % busy{left}",
                self.sample,
                count(stages.chunks.sequences),
                rate(stages.nucleotide.sequences),
                rate(stages.nucleotide.tokens),
                rate(stages.protein.sequences),
                rate(stages.protein.tokens),
                count(stages.scored.sequences),
                100.0 * stages.busy
            ));
            bar.tick();
        }
        let is_due = self
            .printed
            .is_none_or(|printed| printed.elapsed() >= JSON_EVERY);
        if self.json && is_due {
            self.printed = Some(Instant::now());
            let stage = |stage: Stage| {
                serde_json::json!({
                    "sequences": stage.sequences,
                    "tokens": stage.tokens,
                    "sequences_per_second": rate(stage.sequences),
                    "tokens_per_second": rate(stage.tokens),
                })
            };
            let line = serde_json::json!({
                "sample": self.sample,
                "seconds": seconds,
                "left_seconds": stages.left().map(|left| left.as_secs_f64()),
                "bytes": stages.bytes,
                "bytes_total": stages.bytes_total,
                "busy": stages.busy,
                "chunks": stage(stages.chunks),
                "dnabert": stage(stages.nucleotide),
                "esm": stage(stages.protein),
                "scored": stage(stages.scored),
                "known": stages.known,
                "failed": stages.failed,
            });
            say!("{line}");
        }
    }
}

/// Where the time went: stages by tokens, lanes by operation.
fn profile(predictor: &Predictor, stages: &Stages) {
    say!(
        "stages: {} chunks ({} bases), DNABERT {} tokens, ESM {} tokens, {} frames scored",
        count(stages.chunks.sequences),
        count(stages.chunks.tokens),
        count(stages.nucleotide.tokens),
        count(stages.protein.tokens),
        count(stages.scored.sequences)
    );
    let times = predictor.pool().operation_times();
    let all: f64 = times.iter().map(|(_, time)| time.time.as_secs_f64()).sum();
    for (class, time) in &times {
        let seconds = time.time.as_secs_f64();
        say!(
            "  {:5.1} %  {class}, {} calls, {:.1} GFLOP/s per lane",
            100.0 * seconds / all.max(1e-9),
            count(time.calls),
            time.flops as f64 / seconds.max(1e-9) / 1e9
        );
    }
    predictor.pool().reset_operation_times();
}
