//! `sessile entropy encode3di`

use std::process::ExitCode;

use sessile_pipelines::three_di::{self, ThreeDiOptions};
use sessile_pipelines::{Interrupt, Observer, Summary};

use super::super::job::{self, Done};
use super::open_states;
use crate::arguments::entropy::{Encode3DiArguments, StateMethod};
use crate::exit::Failure;
use crate::terminal::{count, duration, place, several, times};

pub(super) fn run(arguments: Encode3DiArguments) -> Result<ExitCode, Failure> {
    let report = arguments.report.clone();
    job::run(&report, |observer, interrupt| {
        encode(arguments, observer, interrupt)
    })
}

fn encode(
    arguments: Encode3DiArguments,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Done, Failure> {
    let model = &arguments.model;
    let rows = arguments
        .rows
        .options(arguments.resume, arguments.report.failures);
    let options = ThreeDiOptions {
        inputs: arguments.input,
        rows,
        fasta: arguments.fasta,
        mask_below: arguments.mask_below,
        with_description: arguments.with_description,
        probabilities: arguments.probabilities,
        pool: arguments.pool.options(),
    };
    three_di::check(&options, arguments.writing.method == StateMethod::Head)?;
    let files = open_states(&model.model, &model.head, &arguments.writing)?;
    let summary = three_di::run(files, &options, observer, interrupt);
    let summary = summary.map_err(|error| Failure::ended(error, interrupt))?;
    let text = describe(&summary, &model.model, &options);
    Ok(Done { summary, text })
}

fn describe(summary: &Summary, model: &str, options: &ThreeDiOptions) -> String {
    let seconds = summary.run.as_secs_f64().max(1e-9);
    let fasta = options
        .fasta
        .iter()
        .filter(|_| options.rows.shard.is_whole());
    let places: Vec<String> = (options.rows.places().iter())
        .chain(fasta)
        .map(|path| place(path))
        .collect();
    format!(
        "encoded {} proteins ({} residues) with {model} in {}{}{} ({} residues/s, model loaded {} \
         in {})\nresult: {}",
        count(summary.records - summary.failed),
        count(summary.residues),
        duration(seconds),
        several(summary.failed, "failed"),
        several(summary.resumed, "from the earlier run"),
        count((summary.residues as f64 / seconds) as u64),
        times(summary.model_loads),
        duration(summary.load.as_secs_f64()),
        places.join(", ")
    )
}
