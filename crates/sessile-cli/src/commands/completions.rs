//! `sessile completions`

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::arguments::{Cli, CompletionsArguments};
use crate::exit::{DONE, Failure};

pub(crate) fn run(arguments: &CompletionsArguments) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "sessile", &mut script);
    stdout().lock().write_all(&script)?;
    Ok(ExitCode::from(DONE))
}
