//! `sessile embed`

use std::path::Path;
use std::process::ExitCode;

use sessile_pipelines::embed::{self, EmbedFormat, EmbedOptions};
use sessile_pipelines::{Observer, PipelineErrorKind, Summary};

use super::open_model;
use crate::arguments::{EmbedArguments, Format};
use crate::exit::{DONE, Failure, SOME_FAILED};
use crate::signals;
use crate::terminal::{Terminal, count, duration};

pub(crate) fn run(arguments: EmbedArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.quiet);
    let model = open_model(&arguments.model)?;
    let model_name = model.name().to_owned();
    if model.is_demo() {
        terminal.note(
            "note: `demo` is an untrained model with random weights, for trying things out; its \
             vectors mean nothing",
        );
    }
    let options = EmbedOptions {
        inputs: arguments.input,
        output: arguments.output,
        format: match arguments.format {
            Format::Jsonl => EmbedFormat::Jsonl,
        },
        outputs: arguments.outputs,
        force: arguments.force,
        pool: arguments.pool.options(),
    };
    let result = embed::run(model, &options, &mut terminal, &interrupt);
    terminal.clear();
    let summary = match result {
        Ok(summary) => summary,
        Err(error) if error.kind() == PipelineErrorKind::Interrupted => {
            let signal = interrupt.signal().unwrap_or(signal_hook::consts::SIGINT);
            return Err(Failure::interrupted(signal, error.to_string()).with_hint(error.hint()));
        }
        Err(error) => return Err(error.into()),
    };
    if !arguments.quiet {
        eprintln!("{}", describe(&summary, &model_name, &options.output));
    }
    Ok(ExitCode::from(if summary.failed > 0 {
        SOME_FAILED
    } else {
        DONE
    }))
}

fn describe(summary: &Summary, model: &str, output: &Path) -> String {
    let seconds = summary.run.as_secs_f64().max(1e-9);
    let failed = match summary.failed {
        0 => String::new(),
        failed => format!(", {} failed", count(failed)),
    };
    let place = if output == Path::new("-") {
        "standard output".to_owned()
    } else {
        output.display().to_string()
    };
    format!(
        "embedded {} sequences ({} residues) with {model} in {}{failed} ({} tokens/s, model loaded \
         {} in {})\nresult: {place}",
        count(summary.records - summary.failed),
        count(summary.residues),
        duration(seconds),
        count((summary.tokens as f64 / seconds) as u64),
        if summary.model_loads == 1 {
            "once".to_owned()
        } else {
            format!("{} times", summary.model_loads)
        },
        duration(summary.load.as_secs_f64()),
    )
}
