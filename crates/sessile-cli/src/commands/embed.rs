//! `sessile embed`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sessile_pipelines::embed::{self, EmbedOptions};
use sessile_pipelines::{Interrupt, Observer, PipelineErrorKind, Summary};

use super::open_model;
use crate::arguments::EmbedArguments;
use crate::exit::{DONE, Failure, SOME_FAILED};
use crate::signals;
use crate::terminal::{JsonLog, Terminal, count, duration};

pub(crate) fn run(arguments: EmbedArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    if arguments.report.json_progress {
        let mut log = JsonLog::new();
        let job = embed(arguments, &mut log, &interrupt);
        return match job {
            Ok((summary, ..)) => {
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
    let job = embed(arguments, &mut terminal, &interrupt);
    terminal.clear();
    let (summary, model, outputs) = job?;
    terminal.summary(&describe(&summary, &model, &outputs));
    Ok(code(&summary))
}

fn code(summary: &Summary) -> ExitCode {
    ExitCode::from(if summary.failed > 0 {
        SOME_FAILED
    } else {
        DONE
    })
}

/// Does the job; also gives the model's name and the outputs.
fn embed(
    arguments: EmbedArguments,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<(Summary, String, Vec<PathBuf>), Failure> {
    let model = open_model(&arguments.model)?;
    let name = model.name().to_owned();
    if model.is_demo() {
        observer.note(
            "note: `demo` is an untrained model with random weights, for trying things out; its \
             vectors mean nothing",
        );
    }
    let options = EmbedOptions {
        inputs: arguments.input,
        outputs: arguments.output,
        format: arguments.format,
        names: arguments.outputs,
        long: arguments.long,
        force: arguments.force,
        journal: !arguments.resume.no_journal,
        resume: arguments.resume.options(),
        failures: arguments.report.failures,
        pool: arguments.pool.options(),
    };
    match embed::run(model, &options, observer, interrupt) {
        Ok(summary) => Ok((summary, name, options.outputs)),
        Err(error) if error.kind() == PipelineErrorKind::Interrupted => {
            let signal = interrupt.signal().unwrap_or(signal_hook::consts::SIGINT);
            Err(Failure::interrupted(signal, error.to_string()).with_hint(error.hint()))
        }
        Err(error) => Err(error.into()),
    }
}

fn describe(summary: &Summary, model: &str, outputs: &[PathBuf]) -> String {
    let seconds = summary.run.as_secs_f64().max(1e-9);
    let several = |number: u64, what: &str| match number {
        0 => String::new(),
        number => format!(", {} {what}", count(number)),
    };
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
        if summary.model_loads == 1 {
            "once".to_owned()
        } else {
            format!("{} times", summary.model_loads)
        },
        time(summary.load),
        time(stages.reading),
        time(stages.computing),
        time(stages.journal),
        time(stages.writing),
        outputs.join(", "),
    )
}

fn place(output: &Path) -> String {
    if output == Path::new("-") {
        "standard output".to_owned()
    } else {
        output.display().to_string()
    }
}
