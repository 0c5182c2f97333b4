//! `sessile summarize`

use std::process::ExitCode;
use std::time::Duration;

use sessile_device::GenerationSettings;
use sessile_models::GeneratorFiles;
use sessile_pipelines::summarize::{self, SummarizeOptions};
use sessile_pipelines::{Interrupt, Observer, PipelineErrorKind, Summary};
use sessile_runtime::GeneratorOptions;

use super::resolve;
use crate::arguments::summarize::{GeneratorArguments, SummarizeArguments};
use crate::exit::{DONE, Failure, SOME_FAILED};
use crate::signals;
use crate::terminal::{JsonLog, Terminal, count, duration};

pub(crate) fn run(arguments: SummarizeArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    if arguments.report.json_progress {
        let mut log = JsonLog::new();
        return match summarize(arguments, &mut log, &interrupt) {
            Ok(summary) => {
                log.summary(&summary);
                Ok(code(&summary))
            }
            Err(failure) => {
                log.failed(&failure);
                Err(failure.said())
            }
        };
    }
    let mut terminal = Terminal::new(arguments.report.quiet);
    let output = arguments.output.display().to_string();
    let job = summarize(arguments, &mut terminal, &interrupt);
    terminal.clear();
    let summary = job?;
    let seconds = summary.run.as_secs_f64().max(1e-9);
    let several = |number: u64, what: &str| match number {
        0 => String::new(),
        number => format!(", {} {what}", count(number)),
    };
    let generation = summary.generation.as_ref();
    terminal.summary(&format!(
        "summarised {} articles in {}{}{} ({} tokens read and written, {:.1} written a second by \
         {} instances)\nresult: {}",
        count(summary.records - summary.failed),
        duration(seconds),
        several(summary.failed, "failed"),
        several(summary.resumed, "from the earlier run"),
        count(summary.tokens),
        generation.map_or(0.0, |report| report.tokens_per_second),
        generation.map_or(0, |report| report.instances),
        if output == "-" {
            "standard output"
        } else {
            &output
        },
    ));
    Ok(code(&summary))
}

fn code(summary: &Summary) -> ExitCode {
    ExitCode::from(if summary.failed > 0 {
        SOME_FAILED
    } else {
        DONE
    })
}

fn summarize(
    arguments: SummarizeArguments,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Summary, Failure> {
    let path = resolve(&arguments.model)?;
    let files = GeneratorFiles::open(&path)?.named(&arguments.model);
    let settings = arguments.generation.overrides().over(files.settings())?;
    let options = SummarizeOptions {
        inputs: arguments.input,
        output: arguments.output,
        text_field: arguments.text_field,
        with_ids: arguments.with_ids,
        long: arguments.long,
        force: arguments.force,
        journal: !arguments.resume.no_journal,
        resume: arguments.resume.options(),
        pool: pool(&arguments.pool, settings.clone()),
        settings,
    };
    summarize::run(&files, &options, observer, interrupt).map_err(|error| {
        if error.kind() == PipelineErrorKind::Interrupted {
            let signal = interrupt.signal().unwrap_or(signal_hook::consts::SIGINT);
            Failure::interrupted(signal, error.to_string()).with_hint(error.hint())
        } else {
            error.into()
        }
    })
}

/// Devices, memory and instances, for these settings.
fn pool(arguments: &GeneratorArguments, settings: GenerationSettings) -> GeneratorOptions {
    GeneratorOptions {
        devices: arguments.devices.clone(),
        threads: arguments.threads,
        dtype: arguments.dtype,
        instances: arguments.limits.instances(arguments.instances),
        memory_reserve: arguments.memory_reserve,
        batch: arguments.batch_size,
        max_delay: Duration::from_millis(arguments.max_delay_ms),
        queue: arguments.queue_size,
        warm_up: arguments.warmup,
        timed: arguments.per_op,
        ..GeneratorOptions::new(settings)
    }
}
