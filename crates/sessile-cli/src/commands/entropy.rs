//! `sessile entropy`: a file per stage.

mod encode3di;
mod estimate_tokens;
mod ml;
mod plot;
mod run;
mod stages;

use std::process::ExitCode;

use sessile_models::t5::Translation;
use sessile_models::{Model, OpenOptions};
use sessile_pipelines::three_di::StateFiles;

use super::{head_options, open_model_with, resolve};
use crate::arguments::entropy::{
    EntropyArguments, EntropyCommand, HeadArguments, StateMethod, StateModelArguments,
    StateWritingArguments,
};
use crate::exit::Failure;

pub(crate) fn run(arguments: EntropyArguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        EntropyCommand::Run(arguments) => run::run(*arguments),
        EntropyCommand::Orf(arguments) => stages::orf(arguments),
        EntropyCommand::Translate(arguments) => stages::translate(arguments),
        EntropyCommand::FastaToProtein(arguments) => stages::fasta_to_protein(arguments),
        EntropyCommand::Entropy(arguments) => stages::measure(arguments),
        EntropyCommand::Encode3Di(arguments) => encode3di::run(*arguments),
        EntropyCommand::Ml(arguments) => ml::run(arguments),
        EntropyCommand::Plot(arguments) => plot::run(arguments),
        EntropyCommand::EstimateTokens(arguments) => estimate_tokens::run(&arguments),
    }
}

/// The structure model that a user names, with its head.
pub(crate) fn open_state_model(arguments: &StateModelArguments) -> Result<Model, Failure> {
    open_model_with_head(&arguments.model, &arguments.head)
}

fn open_model_with_head(model: &str, head: &HeadArguments) -> Result<Model, Failure> {
    let heads = head_options(head.head.as_deref(), head.head_map.as_deref())?;
    let options = OpenOptions {
        preprocessing: head.preprocess,
        ..heads
    };
    open_model_with(model, &options)
}

/// The model with its head, or with its decoder.
fn open_states(
    model: &str,
    head: &HeadArguments,
    writing: &StateWritingArguments,
) -> Result<StateFiles, Failure> {
    if writing.method == StateMethod::Head {
        return Ok(StateFiles {
            model: open_model_with_head(model, head)?,
            writing: None,
        });
    }
    if head.head.is_some() || head.head_map.is_some() {
        return Err(Failure::usage("--method generate takes no head")
            .with_hint(Some("leave --head and --head-map out")));
    }
    let path = resolve(model)?;
    let options = OpenOptions {
        preprocessing: head.preprocess,
        ..OpenOptions::default()
    };
    let files = Model::open_with(&path, &options)?.named(model);
    let defaults = Translation::defaults(head.preprocess, files.settings()?);
    let settings = writing.overrides().over(&defaults);
    let settings = settings.map_err(|error| Failure::setting(&error))?;
    Ok(StateFiles {
        model: files,
        writing: Some(settings),
    })
}
