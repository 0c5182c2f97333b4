//! `sessile viral predict`

use std::process::ExitCode;

use sessile_pipelines::shard::Shard;
use sessile_pipelines::viral::predict::{
    self, PredictOptions, Predicted, Predictor, Sample, read_sample_sheet,
};
use sessile_pipelines::{Interrupt, Observer, Summary};
use sessile_runtime::{DeviceChoice, PoolOptions};

use super::super::job::{self, Done};
use super::super::open_model;
use crate::arguments::viral::PredictArguments;
use crate::exit::Failure;
use crate::terminal::{count, duration, several, times};

pub(crate) fn run(arguments: &PredictArguments) -> Result<ExitCode, Failure> {
    job::run(&arguments.report, |observer, interrupt| {
        predict(arguments, observer, interrupt)
    })
}

fn predict(
    arguments: &PredictArguments,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Done, Failure> {
    let samples = samples(arguments)?;
    let models = &arguments.models;
    let options = PredictOptions {
        chunk: models.chunk,
        classifier: models.classifier.clone(),
        esm_layer: models.esm_layer,
        shard: arguments.shard.shard,
        save_features: arguments.save_features,
        tables: arguments.tables.tables,
        force: arguments.overwrite.force,
        journal: !arguments.resume.no_journal,
        resume: arguments.resume.options(),
        pool: PoolOptions {
            timed: arguments.per_op,
            ..arguments.pool.options()
        },
    };
    predict::check(&options, &samples)?;
    let (dnabert, esm) = (open_model(&models.dnabert)?, open_model(&models.esm)?);
    if dnabert.is_demo() || esm.is_demo() {
        observer.note("note: `demo` is an untrained model; its scores mean nothing");
    }
    let predictor = Predictor::load(dnabert, esm, options)?;
    if arguments.pool.devices == DeviceChoice::Auto {
        observer.note(&format!(
            "devices: auto takes {}",
            predictor.pool().devices()
        ));
    }
    let mut whole = Summary::default();
    let mut texts = Vec::new();
    for sample in &samples {
        let done = predictor.run(sample, observer, interrupt);
        let done = done.map_err(|error| Failure::ended(error, interrupt))?;
        whole.add(&done.summary);
        texts.push(describe(sample, &done, arguments.shard.shard));
        if arguments.per_op {
            profile(&predictor, observer);
        }
    }
    Ok(Done {
        summary: whole,
        text: texts.join("\n"),
    })
}

fn samples(arguments: &PredictArguments) -> Result<Vec<Sample>, Failure> {
    if let Some(sheet) = &arguments.sample_sheet {
        return Ok(read_sample_sheet(sheet, &arguments.output)?);
    }
    let name = arguments.output.file_name().unwrap_or_default();
    Ok(vec![Sample {
        name: name.to_string_lossy().into_owned(),
        inputs: arguments.sequences.all()?,
        output: arguments.output.clone(),
        failures: arguments.report.failures.clone(),
    }])
}

fn describe(sample: &Sample, done: &Predicted, shard: Shard) -> String {
    let Predicted { counts, summary } = done;
    let seconds = summary.run.as_secs_f64().max(1e-9);
    let verdicts = match shard.is_whole() {
        true => format!(
            "{} of {} chunks are viruses",
            count(counts.virus_chunks),
            count(counts.chunks)
        ),
        false => format!("shard {shard} is done"),
    };
    format!(
        "{}: {verdicts} ({} frames in {} contigs) in {}{}{} ({} tokens/s, devices {:.0} % busy, \
         models loaded {} in {})\nresult: {}",
        sample.name,
        count(counts.frames),
        count(counts.contigs),
        duration(seconds),
        several(summary.failed, "failed"),
        several(summary.resumed, "from the earlier run"),
        count((summary.tokens as f64 / seconds) as u64),
        100.0 * summary.busy,
        times(summary.model_loads),
        duration(summary.load.as_secs_f64()),
        shard.path(&sample.output).display()
    )
}

/// Where the time went, by operation.
fn profile(predictor: &Predictor, observer: &mut dyn Observer) {
    let times = predictor.pool().operation_times();
    let all: f64 = times.iter().map(|(_, time)| time.time.as_secs_f64()).sum();
    for (class, time) in &times {
        let seconds = time.time.as_secs_f64();
        observer.note(&format!(
            "  {:5.1} %  {class}, {} calls, {:.1} GFLOP/s per lane",
            100.0 * seconds / all.max(1e-9),
            count(time.calls),
            time.flops as f64 / seconds.max(1e-9) / 1e9
        ));
    }
    predictor.pool().reset_operation_times();
}
