//! `sessile entropy`: a file per stage.

mod encode3di;
mod estimate_tokens;

use std::process::ExitCode;

use sessile_models::{ModelFiles, OpenOptions};

use super::{head_options, open_model_with};
use crate::arguments::entropy::{EntropyArguments, EntropyCommand, StateModelArguments};
use crate::exit::Failure;

pub(crate) fn run(arguments: EntropyArguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        EntropyCommand::Encode3Di(arguments) => encode3di::run(arguments),
        EntropyCommand::EstimateTokens(arguments) => estimate_tokens::run(&arguments),
    }
}

/// The structure model that a user names, with its head.
pub(crate) fn open_state_model(arguments: &StateModelArguments) -> Result<ModelFiles, Failure> {
    let heads = head_options(arguments.head.as_deref(), arguments.head_map.as_deref())?;
    let options = OpenOptions {
        preprocessing: arguments.preprocess,
        ..heads
    };
    open_model_with(&arguments.model, &options)
}
