//! `sessile entropy`: a file per stage.

mod encode3di;
mod estimate_tokens;

use std::process::ExitCode;

use sessile_models::modern_bert::HeadMap;
use sessile_models::{ModelFiles, OpenOptions};

use super::resolve;
use crate::arguments::entropy::{EntropyArguments, EntropyCommand, StateModelArguments};
use crate::exit::{BAD_INPUT, Failure};

pub(crate) fn run(arguments: EntropyArguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        EntropyCommand::Encode3Di(arguments) => encode3di::run(arguments),
        EntropyCommand::EstimateTokens(arguments) => estimate_tokens::run(&arguments),
    }
}

/// The structure model that a user names, with its head.
pub(crate) fn open_state_model(arguments: &StateModelArguments) -> Result<ModelFiles, Failure> {
    let head_map = match &arguments.head_map {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(
                    BAD_INPUT,
                    format!("can not read the head map {}: {error}", path.display()),
                )
            })?;
            Some(HeadMap::from_json(&text)?)
        }
    };
    let options = OpenOptions {
        head: arguments.head.clone(),
        head_map,
        preprocessing: arguments.preprocess,
    };
    let path = resolve(&arguments.model)?;
    Ok(ModelFiles::open_with(&path, &options)?.named(&arguments.model))
}
