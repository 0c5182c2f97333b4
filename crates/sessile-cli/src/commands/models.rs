//! `sessile models`

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use sessile_models::family::published;
use sessile_models::synthesize::synthesize;
use sessile_models::{Alphabet, Description, Model, Writing};

use super::{head_options, open_model_with, resolve};

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
            inspect(&open_model_with(name, &options)?, *hash, *tensors)
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
    for model in published() {
        let short = model.short.map(|short| format!(" or {short}"));
        let short = short.unwrap_or_default();
        writeln!(out, "{}{short} ({})", model.name, model.about)?;
    }
    Ok(ExitCode::from(DONE))
}

fn pull(name: &str) -> Result<ExitCode, Failure> {
    let path = resolve(name)?;
    writeln!(stdout().lock(), "{}", path.display())?;
    Ok(ExitCode::from(DONE))
}

/// What a model is, in words.
fn in_words(model: &Model) -> String {
    let Description {
        architecture,
        layers,
        hidden,
        heads,
        vocabulary,
        max_tokens,
        ..
    } = model.description();
    let reads = match model.alphabet() {
        Alphabet::Protein => "proteins",
        Alphabet::Nucleotide => "nucleotides",
        Alphabet::Text => "text",
    };
    format!(
        "{architecture}, reads {reads}: {layers} layers of {hidden} columns and {heads} heads, \
         {vocabulary} tokens in the vocabulary, sequences up to {max_tokens} tokens"
    )
}

fn inspect(model: &Model, hash: bool, tensors: bool) -> Result<ExitCode, Failure> {
    let weights = model.weights();
    let mut out = stdout().lock();
    writeln!(out, "model:        {}", model.name())?;
    writeln!(out, "weights:      {}", weights.describe())?;
    writeln!(out, "architecture: {}", in_words(model))?;
    let (parameters, mut outputs, labels, report) = if model.description().encodes {
        let (info, report) = model.check()?;
        let outputs = info.outputs.iter().map(|kind| format!("{kind:?}"));
        (
            info.parameters,
            outputs.collect::<Vec<_>>(),
            info.labels,
            report,
        )
    } else {
        let (info, report) = model.check_writer()?;
        (info.parameters, Vec::new(), Vec::new(), report)
    };
    match model.writes() {
        Some(Writing::Summaries) => outputs.push("text".to_owned()),
        Some(Writing::States) => outputs.push("written states".to_owned()),
        None => {}
    }
    writeln!(out, "parameters:   {}", count(parameters))?;
    writeln!(out, "outputs:      {}", outputs.join(", "))?;
    if !labels.is_empty() {
        writeln!(out, "classes:      {}", labels.join(", "))?;
    }
    if let Some(head) = model.head() {
        writeln!(out, "head:         {}", head.describe())?;
    }
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
        writeln!(out, "hash:         {}", model.content_hash()?)?;
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
