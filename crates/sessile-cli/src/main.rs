//! The `sessile` command: arguments in, messages out, everything else in the libraries.

#![allow(clippy::print_stdout, reason = "this is the program that prints")]

#[macro_use]
mod message;

mod arguments;
mod commands;
mod exit;
mod logging;
mod settings;
mod signals;
mod terminal;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};

use arguments::{Cli, Command};
use exit::Failure;

/// How long the last lines on standard error may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let code = match run() {
        Ok(code) => code,
        Err(failure) => failure.report(),
    };
    sessile_server::logging::flush(LAST_LINES);
    code
}

fn run() -> Result<ExitCode, Failure> {
    let command = settings::apply(Cli::command(), std::env::args_os())?;
    let notes = settings::notes(&command);
    let matches = command.get_matches();
    let cli = Cli::from_arg_matches(&matches).map_err(|error| Failure::usage(error.to_string()))?;
    match &cli.command {
        Command::Serve(arguments) => sessile_server::logging::start(arguments.log_level),
        _ => logging::start(cli.log_level),
    }
    for note in notes {
        tracing::warn!("{note}");
    }
    match cli.command {
        Command::Embed(arguments) => commands::embed::run(arguments),
        Command::Entropy(arguments) => commands::entropy::run(arguments),
        Command::Summarize(arguments) => commands::summarize::run(arguments),
        Command::Viral(arguments) => commands::viral::run(arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments).map_err(Failure::logged),
        Command::BenchService(arguments) => commands::bench_service::run(&arguments),
        Command::Devices(arguments) => commands::devices::run(&arguments),
        Command::Plan(arguments) => commands::plan::run(&arguments),
        Command::Models(arguments) => commands::models::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::Completions(arguments) => commands::completions::run(&arguments),
        Command::Man(arguments) => commands::man::run(&arguments),
    }
}
