//! `sessile viral identify`

use std::process::ExitCode;

use sessile_pipelines::viral::identify::{self, IdentifyOptions};

use crate::arguments::viral::IdentifyArguments;
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{Terminal, count, duration, several};

pub(crate) fn run(arguments: IdentifyArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let options = IdentifyOptions {
        inputs: arguments.sequences.all()?,
        chunk: arguments.chunk,
        chunks: arguments.chunks,
        nucleotide: Some(arguments.nucleotide),
        protein: Some(arguments.protein),
        threads: arguments.threads,
        force: arguments.overwrite.force,
    };
    let result = identify::run(&options, &mut terminal, &interrupt);
    terminal.clear();
    let done = result.map_err(|error| Failure::ended(error, &interrupt))?;
    if !arguments.messages.quiet {
        say!(
            "found {} frames without a stop in {} chunks in {}{}",
            count(done.candidates),
            count(done.chunks),
            duration(done.summary.run.as_secs_f64()),
            several(done.summary.failed, "failed")
        );
    }
    Ok(finished(done.summary.failed))
}
