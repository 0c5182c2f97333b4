//! Structure states of proteins: FASTA or the JSON of a genome's proteins in, 3Di out.
//!
//! [`run`] is a job over files. A pipeline that has its proteins in memory asks the pool with
//! [`request`] and reads the answers with [`Encoded`].

mod json;
mod kept;
mod model;
mod proteins;
mod row;
mod task;

use std::path::PathBuf;

use sessile_device::{ModelIndex, OutputKind, OutputSet};
use sessile_models::ModelInfo;
use sessile_models::tokenizer::Tokenizer;
use sessile_runtime::{PoolOptions, PoolRequest};
use sessile_seq::inputs::{self, Input};

use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job::{Engine, RowOptions, Task};
use crate::journal::Fingerprint;
use crate::output::{Compression, FileFormat, Format, OutputFiles, Schema};
use crate::progress::{Observer, Summary};
pub(crate) use model::{Identity, StateModel, StateRequests};

pub use model::StateFiles;
pub use row::{Encoded, schema};
use task::StateTask;

/// What to encode and where to put it.
#[derive(Clone, Debug)]
pub struct ThreeDiOptions {
    /// FASTA files, JSON files of proteins, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// Where the rows go.
    pub rows: RowOptions,
    /// FASTA of 3Di to write beside it, for Foldseek.
    pub fasta: Option<PathBuf>,
    /// States that are less probable are written as X.
    pub mask_below: Option<f32>,
    /// Whether rows have the description of the protein: its header behind the identifier.
    pub with_description: bool,
    /// Whether rows have the probability of every residue.
    pub probabilities: bool,
    /// Devices, lanes and batches.
    pub pool: PoolOptions,
}

impl ThreeDiOptions {
    fn schema(&self) -> Schema {
        schema(self.with_description, self.probabilities)
    }
}

/// What a model is asked for: all alphabets it has.
///
/// # Errors
///
/// `Model` when it has no head of 3Di.
pub fn outputs(model: &str, info: &ModelInfo) -> Result<OutputSet, PipelineError> {
    let states: OutputSet = [OutputKind::ThreeDi, OutputKind::TwelveState]
        .into_iter()
        .filter(|&kind| info.outputs.contains(kind))
        .collect();
    if states.contains(OutputKind::ThreeDi) {
        return Ok(states);
    }
    let hint = if info.architecture == "t5" {
        "name the file of the head with --head, or put it beside the model as cnn/model.pt"
    } else {
        "use ProstT5 with its head, or a ModernProst model"
    };
    Err(PipelineError::new(
        PipelineErrorKind::Model,
        format!("{model} has no head that scores 3Di"),
    )
    .with_hint(hint))
}

/// The request for one protein.
///
/// Letters that the model does not know are its unknown token, as in the programs that it was
/// published with; they have a state like any other.
///
/// # Errors
///
/// What is wrong with the protein: no residues, or something that is no residue.
pub fn request(
    tokenizer: &Tokenizer,
    model: ModelIndex,
    outputs: OutputSet,
    residues: &[u8],
) -> Result<PoolRequest, String> {
    check_residues(residues)?;
    let tokens = tokenizer.encode(residues).tokens;
    Ok(PoolRequest::new(model, tokens, outputs))
}

/// Whether this is a protein, or what is wrong with it.
pub(crate) fn check_residues(residues: &[u8]) -> Result<(), String> {
    if residues.is_empty() {
        return Err("the record has no residues".to_owned());
    }
    let strange = residues
        .iter()
        .position(|residue| !residue.is_ascii_alphabetic() && *residue != b'*');
    if let Some(at) = strange {
        return Err(format!(
            "`{}` at position {} is no residue",
            char::from(residues[at]).escape_default(),
            at + 1
        ));
    }
    Ok(())
}

/// Encodes every protein of the inputs.
///
/// # Errors
///
/// What ends the job as a whole; proteins that fail are counted in the [`Summary`] and told to the
/// observer.
pub fn run(
    files: StateFiles,
    options: &ThreeDiOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Summary, PipelineError> {
    check_method(files.has_probabilities(), options)?;
    let (inputs, mut outputs) = prepare(options, files.files())?;
    outputs.claim(options.rows.journal, interrupt)?;
    let rows = &options.rows;
    let identity = match rows.journal || !rows.shard.is_whole() {
        true => Some(Identity::of(&files)?),
        false => None,
    };
    let model = StateModel::load(files, &options.pool, observer)?;
    let mark = || {
        let mask = options.mask_below.unwrap_or_default();
        let fingerprint =
            Fingerprint::new("entropy encode3di").with_option("--mask-below", mask.to_string());
        Ok(match identity {
            Some(identity) => identity.mark(fingerprint, model.pool()),
            None => fingerprint,
        })
    };
    let opened = rows.open(outputs, &options.schema(), mark, StateTask::UNIT, observer)?;
    let task = StateTask {
        options,
        model: &model,
    };
    let items = proteins::start(inputs, rows.shard, model.requests(), interrupt)?;
    let engine = Engine {
        pool: Some(model.pool()),
        files: opened,
        observer,
        interrupt,
    };
    let (summary, ()) = engine.run(task, items)?;
    Ok(summary)
}

/// Refuses what is wrong with the options, the inputs or the outputs, before a model is fetched.
///
/// # Errors
///
/// As [`run`].
pub fn check(options: &ThreeDiOptions, has_probabilities: bool) -> Result<(), PipelineError> {
    check_method(has_probabilities, options)?;
    prepare(options, Vec::new()).map(drop)
}

fn prepare(
    options: &ThreeDiOptions,
    model: Vec<PathBuf>,
) -> Result<(Vec<Input>, OutputFiles), PipelineError> {
    let schema = options.schema();
    let inputs = || Ok(inputs::expand(&options.inputs, inputs::Format::Fasta)?);
    let fasta = options.fasta.iter().map(|path| {
        let format = FileFormat {
            format: Format::FASTA,
            compression: Compression::split(path).1,
        };
        (path.clone(), format)
    });
    let rows = &options.rows;
    rows.prepare(Some(&schema), fasta.collect(), inputs, model)
}

fn check_method(has_probabilities: bool, options: &ThreeDiOptions) -> Result<(), PipelineError> {
    if !has_probabilities && (options.probabilities || options.mask_below.is_some()) {
        return Err(PipelineError::new(
            PipelineErrorKind::Usage,
            "states that are written one after the other have no probabilities",
        )
        .with_hint("leave --probabilities and --mask-below out, or use --method head"));
    }
    if let Some(threshold) = options.mask_below
        && !(0.0..=1.0).contains(&threshold)
    {
        return Err(PipelineError::new(
            PipelineErrorKind::Usage,
            format!("a probability lies between 0 and 1, {threshold} does not"),
        ));
    }
    Ok(())
}
