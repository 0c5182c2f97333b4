//! `sessile summarize`

use std::process::ExitCode;
use std::time::Duration;

use sessile_device::GenerationSettings;
use sessile_models::Model;
use sessile_pipelines::summarize::{self, SummarizeOptions};
use sessile_pipelines::{Interrupt, Observer, Summary};
use sessile_runtime::{Dispatch, PoolOptions, WritingOptions};

use super::job::{self, Done};
use super::resolve;
use crate::arguments::summarize::{GeneratorArguments, SummarizeArguments};
use crate::exit::{BAD_INPUT, Failure};
use crate::terminal::{count, duration, place, several};

pub(crate) fn run(arguments: SummarizeArguments) -> Result<ExitCode, Failure> {
    let report = arguments.report.clone();
    job::run(&report, |observer, interrupt| {
        summarize(arguments, observer, interrupt)
    })
}

fn summarize(
    arguments: SummarizeArguments,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Done, Failure> {
    let settings = GenerationSettings::default();
    let rows = arguments
        .rows
        .options(arguments.resume, arguments.report.failures);
    let mut options = SummarizeOptions {
        inputs: arguments.input,
        rows,
        text_field: arguments.text_field,
        with_ids: arguments.with_ids,
        long: arguments.long,
        pool: pool(&arguments.pool),
        settings,
    };
    summarize::check(&options)?;
    let path = resolve(&arguments.model)?;
    let files = Model::open(&path)?.named(&arguments.model);
    // How to write depends on what the model's own settings say.
    let defaults = files.settings()?;
    let settings = arguments.generation.overrides().over(defaults);
    let settings = settings.map_err(|error| Failure::setting(&error))?;
    let most = files.description().max_target_tokens.unwrap_or(usize::MAX);
    if settings.max_length > most && settings.max_length == defaults.max_length {
        let message = format!(
            "{}: max_length {} is more than the {most} tokens that the model can write",
            arguments.model, settings.max_length
        );
        return Err(Failure::new(BAD_INPUT, message).with_hint(Some("set --max-length")));
    }
    options.settings = settings;
    let summary = summarize::run(&files, &options, observer, interrupt);
    let summary = summary.map_err(|error| Failure::ended(error, interrupt))?;
    let places: Vec<String> = (options.rows.places().iter())
        .map(|path| place(path))
        .collect();
    let text = describe(&summary, &places.join(", "));
    Ok(Done { summary, text })
}

fn describe(summary: &Summary, output: &str) -> String {
    let generation = summary.generation.as_ref();
    format!(
        "summarised {} articles in {}{}{} ({} tokens read and written, {:.1} written a second by \
         {} instances)\nresult: {output}",
        count(summary.records - summary.failed),
        duration(summary.run.as_secs_f64().max(1e-9)),
        several(summary.failed, "failed"),
        several(summary.resumed, "from the earlier run"),
        count(summary.tokens),
        generation.map_or(0.0, |report| report.tokens_per_second),
        generation.map_or(0, |report| report.instances),
    )
}

/// Devices, memory and instances.
fn pool(arguments: &GeneratorArguments) -> PoolOptions {
    PoolOptions {
        devices: arguments.devices.clone(),
        threads: arguments.threads,
        dtype: arguments.dtype,
        memory_reserve: arguments.memory_reserve,
        timed: arguments.per_op,
        writing: WritingOptions {
            instances: arguments.limits.instances(arguments.instances),
            dispatch: Dispatch {
                max_batch_requests: arguments.batch_size.unwrap_or(usize::MAX),
                max_fill_wait: Duration::from_millis(arguments.max_delay_ms),
                ..Dispatch::default()
            },
            queue: arguments.queue_size,
            warm_up: arguments.warmup,
            ..WritingOptions::default()
        },
        ..PoolOptions::default()
    }
}
