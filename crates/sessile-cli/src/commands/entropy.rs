//! `sessile entropy`: a file per stage.

mod encode3di;
mod estimate_tokens;
mod merge;
mod run;
mod stages;

use std::process::ExitCode;

use sessile_models::{ModelFiles, OpenOptions};

use super::{head_options, open_model_with};
use crate::arguments::entropy::{
    EntropyArguments, EntropyCommand, HeadArguments, StateModelArguments,
};
use crate::exit::Failure;

pub(crate) fn run(arguments: EntropyArguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        EntropyCommand::Run(arguments) => run::run(*arguments),
        EntropyCommand::Merge(arguments) => merge::run(&arguments),
        EntropyCommand::Orf(arguments) => stages::orf(arguments),
        EntropyCommand::Translate(arguments) => stages::translate(arguments),
        EntropyCommand::FastaToProtein(arguments) => stages::fasta_to_protein(arguments),
        EntropyCommand::Entropy(arguments) => stages::measure(arguments),
        EntropyCommand::Encode3Di(arguments) => encode3di::run(arguments),
        EntropyCommand::EstimateTokens(arguments) => estimate_tokens::run(&arguments),
    }
}

/// The structure model that a user names, with its head.
pub(crate) fn open_state_model(arguments: &StateModelArguments) -> Result<ModelFiles, Failure> {
    open_model_with_head(&arguments.model, &arguments.head)
}

fn open_model_with_head(model: &str, head: &HeadArguments) -> Result<ModelFiles, Failure> {
    let heads = head_options(head.head.as_deref(), head.head_map.as_deref())?;
    let options = OpenOptions {
        preprocessing: head.preprocess,
        ..heads
    };
    open_model_with(model, &options)
}
