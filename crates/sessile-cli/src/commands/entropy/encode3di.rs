//! `sessile entropy encode3di`

use std::process::ExitCode;

use sessile_pipelines::three_di::{self, ThreeDiOptions};
use sessile_pipelines::{Interrupt, Observer, PipelineErrorKind, Summary};

use super::open_states;
use crate::arguments::entropy::Encode3DiArguments;
use crate::exit::{DONE, Failure, SOME_FAILED};
use crate::signals;
use crate::terminal::{JsonLog, Terminal, count, duration};

pub(super) fn run(arguments: Encode3DiArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let name = arguments.model.model.clone();
    if arguments.report.json_progress {
        let mut log = JsonLog::new();
        return match encode(arguments, &mut log, &interrupt) {
            Ok((summary, _)) => {
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
    let done = encode(arguments, &mut terminal, &interrupt);
    terminal.clear();
    let (summary, options) = done?;
    terminal.summary(&describe(&summary, &name, &options));
    Ok(code(&summary))
}

fn code(summary: &Summary) -> ExitCode {
    ExitCode::from(match summary.failed {
        0 => DONE,
        _ => SOME_FAILED,
    })
}

fn encode(
    arguments: Encode3DiArguments,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<(Summary, ThreeDiOptions), Failure> {
    let model = &arguments.model;
    let files = open_states(&model.model, &model.head, &arguments.writing)?;
    let options = ThreeDiOptions {
        inputs: arguments.input,
        output: arguments.output,
        fasta: arguments.fasta,
        mask_below: arguments.mask_below,
        probabilities: arguments.probabilities,
        force: arguments.force,
        journal: !arguments.resume.no_journal,
        resume: arguments.resume.options(),
        failures: arguments.report.failures,
        pool: arguments.pool.options(),
    };
    match three_di::run(files, &options, observer, interrupt) {
        Ok(summary) => Ok((summary, options)),
        Err(error) if error.kind() == PipelineErrorKind::Interrupted => {
            let signal = interrupt.signal().unwrap_or(signal_hook::consts::SIGINT);
            Err(Failure::interrupted(signal, error.to_string()).with_hint(error.hint()))
        }
        Err(error) => Err(error.into()),
    }
}

fn describe(summary: &Summary, model: &str, options: &ThreeDiOptions) -> String {
    let seconds = summary.run.as_secs_f64().max(1e-9);
    let failed = match summary.failed {
        0 => String::new(),
        failed => format!(", {} failed", count(failed)),
    };
    let resumed = match summary.resumed {
        0 => String::new(),
        resumed => format!(", {} from the earlier run", count(resumed)),
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
        "encoded {} proteins ({} residues) with {model} in {}{failed}{resumed} ({} residues/s, model loaded \
         {loads} in {})\nresult: {}",
        count(summary.records - summary.failed),
        count(summary.residues),
        duration(seconds),
        count((summary.residues as f64 / seconds) as u64),
        duration(summary.load.as_secs_f64()),
        places.join(", ")
    )
}
