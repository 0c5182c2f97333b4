//! `sessile viral chunk`

use std::process::ExitCode;

use sessile_pipelines::viral::identify::{self, IdentifyOptions};

use crate::arguments::viral::ChunkArguments;
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{Terminal, count, duration, several};

pub(crate) fn run(arguments: ChunkArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let options = IdentifyOptions {
        inputs: arguments.sequences.all()?,
        chunk: Some(arguments.chunk),
        chunks: Some(arguments.output),
        threads: arguments.threads,
        force: arguments.overwrite.force,
        ..IdentifyOptions::default()
    };
    let result = identify::run(&options, &mut terminal, &interrupt);
    terminal.clear();
    let done = result.map_err(|error| Failure::ended(error, &interrupt))?;
    if !arguments.messages.quiet {
        say!(
            "cut {} records into {} chunks of {} bases in {}{}",
            count(done.summary.records - done.summary.failed),
            count(done.chunks),
            arguments.chunk,
            duration(done.summary.run.as_secs_f64()),
            several(done.summary.failed, "failed")
        );
    }
    Ok(finished(done.summary.failed))
}
