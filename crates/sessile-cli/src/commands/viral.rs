//! `sessile viral`: a file per stage.

mod chunk;
mod classify;
mod generate_config;
mod identify;
mod plot;
mod predict;
mod prepare;
mod train;
mod validate;
mod verify;

use std::process::ExitCode;

use crate::arguments::viral::{ViralArguments, ViralCommand};
use crate::exit::Failure;

pub(crate) fn run(arguments: ViralArguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        ViralCommand::Predict(arguments) => predict::run(&arguments),
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
