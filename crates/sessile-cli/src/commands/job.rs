//! A job over files, told as the flags say: on the terminal, or as JSON.

use std::process::ExitCode;

use sessile_pipelines::{Interrupt, Observer, Summary};

use crate::arguments::ReportArguments;
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{JsonLog, Terminal};

/// What became of a job.
pub(crate) struct Done {
    /// For programs.
    pub(crate) summary: Summary,
    /// For people.
    pub(crate) text: String,
}

/// Does a job, which hears of signals, and says what became of it.
pub(crate) fn run(
    report: &ReportArguments,
    job: impl FnOnce(&mut dyn Observer, &Interrupt) -> Result<Done, Failure>,
) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    if report.json_progress {
        let mut log = JsonLog::new();
        return match job(&mut log, &interrupt) {
            Ok(Done { summary, .. }) => {
                log.summary(&summary);
                Ok(finished(summary.failed))
            }
            Err(failure) => {
                log.failed(&failure);
                Err(failure.said())
            }
        };
    }
    let mut terminal = Terminal::new(report.messages.quiet);
    let result = job(&mut terminal, &interrupt);
    terminal.clear();
    let Done { summary, text } = result?;
    terminal.summary(&text);
    Ok(finished(summary.failed))
}
