//! `sessile entropy ml`

mod predict;
mod train;

use std::process::ExitCode;

use crate::arguments::entropy::ml::{MlArguments, MlCommand};
use crate::exit::Failure;

pub(super) fn run(arguments: MlArguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        MlCommand::Train(arguments) => train::run(*arguments),
        MlCommand::Predict(arguments) => predict::run(arguments),
    }
}
