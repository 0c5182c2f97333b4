//! The `sessile` command: arguments in, messages out, everything else in the libraries.
//!
//! It is a library so that the Python package holds it without a second copy of the program.

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

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, CommandFactory, FromArgMatches};
use sessile_runtime::{DeviceChoice, discovery};

use arguments::{Cli, Command};
use exit::Failure;

/// How long the last lines on standard error may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Runs the command with its arguments, the name of the program first, and gives its exit code.
/// Whoever calls ends the process then: threads that listen for signals stay.
pub fn main(arguments: &[OsString]) -> u8 {
    let code = match run(arguments) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    };
    sessile_server::logging::flush(LAST_LINES);
    // A Rust program does so when it ends, other hosts do not. There is nobody left to tell.
    let _ = std::io::stdout().flush();
    // The type does not give its number away.
    (0..=u8::MAX)
        .find(|&number| ExitCode::from(number) == code)
        .unwrap_or(exit::BAD_INPUT)
}

/// What `--devices` says, for the commands that have it.
fn devices(matches: &ArgMatches) -> Option<&DeviceChoice> {
    match matches.subcommand() {
        Some((_, below)) => devices(below),
        None => matches.try_get_one("devices").ok().flatten(),
    }
}

fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let (command, sources) = settings::apply(Cli::command(), arguments)?;
    let matches = match command.try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let hint = sources.hint(&error, arguments);
            // What can not be said any more is not worth another error.
            let _ = error.print();
            if let Some(hint) = hint {
                say!("hint: {hint}");
            }
            return Ok(ExitCode::from(error.exit_code().clamp(0, 255) as u8));
        }
    };
    let cli = Cli::from_arg_matches(&matches).map_err(|error| Failure::usage(error.to_string()))?;
    match &cli.command {
        Command::Serve(arguments) => sessile_server::logging::start(arguments.log_level),
        _ => logging::start(cli.log_level),
    }
    settings::warn_of_unknown_variables(&sources);
    // Before a model is looked for: a device that is not there is not made up for by another. A
    // service looks itself, and says it in its log.
    let is_service = matches!(cli.command, Command::Serve(_));
    if let Some(devices) = devices(&matches).filter(|_| !is_service) {
        discovery::check(devices)?;
    }
    match cli.command {
        Command::Embed(arguments) => commands::embed::run(arguments),
        Command::Entropy(arguments) => commands::entropy::run(arguments),
        Command::Summarize(arguments) => commands::summarize::run(arguments),
        Command::Viral(arguments) => commands::viral::run(arguments),
        Command::Merge(arguments) => commands::merge::run(arguments),
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
