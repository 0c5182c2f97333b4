//! `sessile embed`

use std::path::PathBuf;
use std::process::ExitCode;

use sessile_models::OpenOptions;
use sessile_pipelines::embed::{self, EmbedOptions};
use sessile_pipelines::{Interrupt, Observer, Summary};

use super::job::{self, Done};
use super::open_model_with;
use crate::arguments::EmbedArguments;
use crate::exit::Failure;
use crate::terminal::{count, duration, place, several, times};

pub(crate) fn run(arguments: EmbedArguments) -> Result<ExitCode, Failure> {
    let report = arguments.report.clone();
    job::run(&report, |observer, interrupt| {
        embed(arguments, observer, interrupt)
    })
}

fn embed(
    arguments: EmbedArguments,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Done, Failure> {
    let rows = arguments
        .rows
        .options(arguments.resume, arguments.report.failures);
    let options = EmbedOptions {
        inputs: arguments.input,
        rows,
        names: arguments.outputs,
        with_description: arguments.with_description,
        long: arguments.long,
        layer: arguments.layer,
        pool: arguments.pool.options(),
    };
    embed::check(&options)?;
    let model_options = OpenOptions {
        adapter: arguments.adapter,
        ..OpenOptions::default()
    };
    let model = open_model_with(&arguments.model, &model_options)?;
    let name = model.name().to_owned();
    if model.is_demo() {
        observer.note(
            "note: `demo` is an untrained model with random weights, for trying things out; its \
             vectors mean nothing",
        );
    }
    let summary = embed::run(model, &options, observer, interrupt);
    let summary = summary.map_err(|error| Failure::ended(error, interrupt))?;
    let text = describe(&summary, &name, &options.rows.places());
    Ok(Done { summary, text })
}

fn describe(summary: &Summary, model: &str, outputs: &[PathBuf]) -> String {
    let seconds = summary.run.as_secs_f64().max(1e-9);
    let outputs: Vec<String> = outputs.iter().map(|path| place(path)).collect();
    let stages = &summary.stages;
    let time = |stage: std::time::Duration| duration(stage.as_secs_f64());
    format!(
        "embedded {} sequences ({} residues) with {model} in {}{}{}{} ({} tokens/s, devices {:.0} % \
         busy, model loaded {} in {})\ntime: reading {}, computing {} on all lanes, journal {}, \
         writing {}\nresult: {}",
        count(summary.records - summary.failed),
        count(summary.residues),
        duration(seconds),
        several(summary.failed, "failed"),
        several(summary.resumed, "from the earlier run"),
        several(summary.shared, "the same as another"),
        count((summary.tokens as f64 / seconds) as u64),
        100.0 * summary.busy,
        times(summary.model_loads),
        time(summary.load),
        time(stages.reading),
        time(stages.computing),
        time(stages.journal),
        time(stages.writing),
        outputs.join(", "),
    )
}
