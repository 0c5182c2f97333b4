//! `sessile viral`: a file per stage.

mod chunk;
mod classify;
mod generate_config;
mod identify;
mod merge;
mod plot;
mod predict;
mod prepare;
mod train;
mod validate;
mod verify;

use std::process::ExitCode;

use sessile_pipelines::{Interrupt, PipelineError, PipelineErrorKind, Summary};

use crate::arguments::viral::{ViralArguments, ViralCommand};
use crate::exit::{DONE, Failure, SOME_FAILED};
use crate::terminal::count;

pub(crate) fn run(arguments: ViralArguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        ViralCommand::Predict(arguments) => predict::run(*arguments),
        ViralCommand::Merge(arguments) => merge::run(&arguments),
        ViralCommand::Verify(arguments) => verify::run(&arguments),
        ViralCommand::Chunk(arguments) => chunk::run(arguments),
        ViralCommand::Identify(arguments) => identify::run(arguments),
        ViralCommand::Classify(arguments) => classify::run(arguments),
        ViralCommand::Prepare(arguments) => prepare::run(arguments),
        ViralCommand::Train(arguments) => train::run(arguments),
        ViralCommand::GenerateConfig(arguments) => generate_config::run(&arguments),
        ViralCommand::Plot(arguments) => plot::run(arguments),
        ViralCommand::Validate(arguments) => validate::run(&arguments),
    }
}

/// The exit code of a job that is done.
fn code(summary: &Summary) -> ExitCode {
    ExitCode::from(if summary.failed > 0 {
        SOME_FAILED
    } else {
        DONE
    })
}

/// A job that ended early; the signal is part of the exit code.
fn ended(error: PipelineError, interrupt: &Interrupt) -> Failure {
    match (error.kind(), interrupt.signal()) {
        (PipelineErrorKind::Interrupted, Some(signal)) => {
            Failure::interrupted(signal, error.to_string()).with_hint(error.hint())
        }
        _ => error.into(),
    }
}

/// `, 3 failed`, or nothing.
fn failed(summary: &Summary) -> String {
    match summary.failed {
        0 => String::new(),
        failed => format!(", {} failed", count(failed)),
    }
}
