//! `sessile entropy encode3di`

use std::process::ExitCode;

use sessile_models::GeneratorFiles;
use sessile_models::t5::Translation;
use sessile_pipelines::three_di::{self, StateFiles, ThreeDiOptions};
use sessile_pipelines::{PipelineErrorKind, Summary};

use super::open_state_model;
use crate::arguments::entropy::{Encode3DiArguments, StateMethod};
use crate::commands::resolve;
use crate::exit::{DONE, Failure, SOME_FAILED};
use crate::signals;
use crate::terminal::{Terminal, count, duration};

pub(super) fn run(arguments: Encode3DiArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.quiet);
    let model = open(&arguments)?;
    let options = ThreeDiOptions {
        inputs: arguments.input,
        output: arguments.output,
        fasta: arguments.fasta,
        mask_below: arguments.mask_below,
        probabilities: arguments.probabilities,
        force: arguments.force,
        pool: arguments.pool.options(),
    };
    let result = three_di::run(model, &options, &mut terminal, &interrupt);
    terminal.clear();
    let summary = match result {
        Ok(summary) => summary,
        Err(error) if error.kind() == PipelineErrorKind::Interrupted => {
            let signal = interrupt.signal().unwrap_or(signal_hook::consts::SIGINT);
            return Err(Failure::interrupted(signal, error.to_string()).with_hint(error.hint()));
        }
        Err(error) => return Err(error.into()),
    };
    terminal.summary(&describe(&summary, &arguments.model.model, &options));
    Ok(ExitCode::from(if summary.failed > 0 {
        SOME_FAILED
    } else {
        DONE
    }))
}

/// The model with its head, or with its decoder.
fn open(arguments: &Encode3DiArguments) -> Result<StateFiles, Failure> {
    let (model, writing) = (&arguments.model, &arguments.writing);
    if writing.method == StateMethod::Head {
        return Ok(StateFiles::Scored(open_state_model(model)?));
    }
    if model.head.head.is_some() || model.head.head_map.is_some() {
        return Err(Failure::usage("--method generate takes no head")
            .with_hint(Some("leave --head and --head-map out")));
    }
    let path = resolve(&model.model)?;
    let files = GeneratorFiles::open_with(&path, model.head.preprocess)?.named(&model.model);
    let defaults = Translation::defaults(model.head.preprocess, files.settings());
    let settings = writing.overrides().over(&defaults)?;
    Ok(StateFiles::Written { files, settings })
}

fn describe(summary: &Summary, model: &str, options: &ThreeDiOptions) -> String {
    let seconds = summary.run.as_secs_f64().max(1e-9);
    let failed = match summary.failed {
        0 => String::new(),
        failed => format!(", {} failed", count(failed)),
    };
    let loads = match summary.model_loads {
        1 => "once".to_owned(),
        several => format!("{several} times"),
    };
    let places: Vec<String> = [&options.output]
        .into_iter()
        .chain(&options.fasta)
        .map(|path| path.display().to_string())
        .collect();
    format!(
        "encoded {} proteins ({} residues) with {model} in {}{failed} ({} residues/s, model loaded \
         {loads} in {})\nresult: {}",
        count(summary.records - summary.failed),
        count(summary.residues),
        duration(seconds),
        count((summary.residues as f64 / seconds) as u64),
        duration(summary.load.as_secs_f64()),
        places.join(", ")
    )
}
