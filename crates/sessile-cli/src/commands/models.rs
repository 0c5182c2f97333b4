//! `sessile models`

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use sessile_models::hub::SHORT_NAMES;
use sessile_models::synthesize::synthesize;

use super::{AnyModel, head_options, open_any_model_with, resolve};

use crate::arguments::{ModelsArguments, ModelsCommand};
use crate::exit::{BAD_INPUT, DONE, Failure};
use crate::terminal::{bytes, count};

/// What is written for a model, of one kind or another.
const MODEL_FILES: [&str; 6] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "vocab.txt",
    "generation_config.json",
    "cnn/model.safetensors",
];

pub(crate) fn run(arguments: &ModelsArguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        ModelsCommand::List => list(),
        ModelsCommand::Pull { name } => pull(name),
        ModelsCommand::Inspect {
            name,
            head,
            head_map,
            hash,
            tensors,
        } => {
            let options = head_options(head.as_deref(), head_map.as_deref())?;
            inspect(&open_any_model_with(name, &options)?, *hash, *tensors)
        }
        ModelsCommand::Synthesize {
            name,
            output,
            seed,
            overwrite,
        } => make(name, output, *seed, overwrite.force),
    }
}

fn list() -> Result<ExitCode, Failure> {
    let mut out = stdout().lock();
    writeln!(out, "demo (built in, untrained, for trying things out)")?;
    for name in SHORT_NAMES {
        writeln!(out, "{name} (facebook/{name}_UR50D)")?;
    }
    Ok(ExitCode::from(DONE))
}

fn pull(name: &str) -> Result<ExitCode, Failure> {
    let path = resolve(name)?;
    writeln!(stdout().lock(), "{}", path.display())?;
    Ok(ExitCode::from(DONE))
}

fn inspect(model: &AnyModel, hash: bool, tensors: bool) -> Result<ExitCode, Failure> {
    let (name, weights) = match model {
        AnyModel::Reader(files) => (files.name(), files.weights()),
        AnyModel::Writer(files) => (files.name(), files.weights()),
    };
    let mut out = stdout().lock();
    writeln!(out, "model:        {name}")?;
    writeln!(out, "weights:      {}", weights.describe())?;
    let report = match model {
        AnyModel::Reader(files) => {
            writeln!(out, "architecture: {:?}", files.architecture())?;
            let (info, report) = files.check()?;
            let outputs: Vec<String> = info
                .outputs
                .iter()
                .map(|kind| format!("{kind:?}"))
                .collect();
            writeln!(out, "parameters:   {}", count(info.parameters))?;
            writeln!(out, "outputs:      {}", outputs.join(", "))?;
            if let Some(head) = files.head() {
                writeln!(out, "head:         {}", head.describe())?;
            }
            report
        }
        AnyModel::Writer(files) => {
            writeln!(out, "architecture: {:?}", files.architecture())?;
            let (info, report) = files.check()?;
            writeln!(out, "parameters:   {}", count(info.parameters))?;
            writeln!(out, "outputs:      text")?;
            report
        }
    };
    for assumed in &report.assumed {
        writeln!(out, "assumed:      {assumed}")?;
    }
    if !report.ignored.is_empty() {
        writeln!(out, "not used:     {}", report.ignored.join(", "))?;
    }
    let shapes: Vec<(&str, &[usize])> = weights
        .names()
        .into_iter()
        .map(|name| (name, weights.shape(name).unwrap_or_default()))
        .collect();
    let values: usize = shapes
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    writeln!(
        out,
        "tensors:      {} with {} values",
        shapes.len(),
        count(values as u64)
    )?;
    if hash {
        let hash = match model {
            AnyModel::Reader(files) => files.content_hash()?,
            AnyModel::Writer(files) => files.content_hash()?,
        };
        writeln!(out, "hash:         {hash}")?;
    }
    if tensors {
        for (name, shape) in shapes {
            writeln!(out, "{name} {shape:?}")?;
        }
    }
    Ok(ExitCode::from(DONE))
}

fn make(name: &str, output: &Path, seed: u64, force: bool) -> Result<ExitCode, Failure> {
    let there = MODEL_FILES.iter().find(|name| output.join(name).exists());
    if let Some(name) = there.filter(|_| !force) {
        let message = format!("{} holds a model already ({name} exists)", output.display());
        return Err(Failure::new(BAD_INPUT, message)
            .with_hint(Some("choose another --output, or --force to write over it")));
    }
    let written = synthesize(name, seed, output)?;
    say!(
        "made {name} with random, untrained weights ({})",
        bytes(written)
    );
    say!("result: {}", output.display());
    Ok(ExitCode::from(DONE))
}
