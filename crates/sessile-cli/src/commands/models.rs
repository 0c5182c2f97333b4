//! `sessile models`

use std::path::Path;
use std::process::ExitCode;

use sessile_models::synthesize::synthesize;

use crate::arguments::{ModelsArguments, ModelsCommand};
use crate::exit::{BAD_INPUT, DONE, Failure};
use crate::terminal::bytes;

pub(crate) fn run(arguments: &ModelsArguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        ModelsCommand::Synthesize {
            name,
            output,
            seed,
            force,
        } => make(name, output, *seed, *force),
    }
}

fn make(name: &str, output: &Path, seed: u64, force: bool) -> Result<ExitCode, Failure> {
    if output.join("config.json").exists() && !force {
        let message = format!("{} holds a model already", output.display());
        return Err(Failure::new(BAD_INPUT, message)
            .with_hint(Some("choose another --output, or --force to write over it")));
    }
    let written = synthesize(name, seed, output)?;
    eprintln!(
        "made {name} with random, untrained weights ({})",
        bytes(written)
    );
    eprintln!("result: {}", output.display());
    Ok(ExitCode::from(DONE))
}
