//! `sessile viral prepare`

use std::process::ExitCode;

use sessile_pipelines::viral::prepare::{self, PrepareOptions};

use crate::arguments::viral::PrepareArguments;
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{Terminal, count, duration, several};

pub(crate) fn run(arguments: PrepareArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let options = PrepareOptions {
        genbank: arguments.genbank,
        fasta: arguments.fasta,
        chunk: arguments.chunk,
        nucleotide: arguments.nucleotide,
        protein: arguments.protein,
        threads: arguments.threads,
        force: arguments.overwrite.force,
    };
    let result = prepare::run(&options, &mut terminal, &interrupt);
    terminal.clear();
    let done = result.map_err(|error| Failure::ended(error, &interrupt))?;
    if !arguments.messages.quiet {
        say!(
            "found {} annotated frames in {} chunks of {} records in {}{}",
            count(done.candidates),
            count(done.chunks),
            count(done.summary.records - done.summary.failed),
            duration(done.summary.run.as_secs_f64()),
            several(done.summary.failed, "failed")
        );
    }
    Ok(finished(done.summary.failed))
}
