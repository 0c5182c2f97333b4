//! Structure states of proteins: FASTA or the JSON of a genome's proteins in, 3Di out.
//!
//! [`run`] is a job over files. A pipeline that has its proteins in memory asks the pool with
//! [`request`] and reads the answers with [`Encoded`].

mod job;
mod json;
mod kept;
mod model;
mod proteins;
mod row;

use std::path::PathBuf;

use sessile_device::{ModelIndex, OutputKind, OutputSet};
use sessile_models::ModelInfo;
use sessile_models::tokenizer::Tokenizer;
use sessile_runtime::{PoolOptions, PoolRequest};

use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::journal::JournalOptions;
use crate::progress::{Observer, Summary};
pub(crate) use model::{Identity, StateModel};

pub use model::StateFiles;
pub use row::Encoded;

/// What to encode and where to put it.
#[derive(Clone, Debug)]
pub struct ThreeDiOptions {
    /// FASTA files, JSON files of proteins, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// JSON Lines to write, or `-`.
    pub output: PathBuf,
    /// FASTA of 3Di to write beside it, for Foldseek.
    pub fasta: Option<PathBuf>,
    /// States that are less probable are written as X.
    pub mask_below: Option<f32>,
    /// Whether rows have the description of the protein: its header behind the identifier.
    pub with_description: bool,
    /// Whether rows have the probability of every residue.
    pub probabilities: bool,
    /// Write over outputs that exist.
    pub force: bool,
    /// Keep a journal beside the output, and go on where an earlier run stopped.
    pub journal: bool,
    /// How an earlier run's journal is gone on with.
    pub resume: JournalOptions,
    /// A file for the list of proteins without a result.
    pub failures: Option<PathBuf>,
    /// Devices, lanes and batches.
    pub pool: PoolOptions,
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

/// Refuses what is wrong with the options, the inputs or the outputs, before a model is fetched;
/// `has_probabilities` says whether the states are scored and not written one after the other.
///
/// # Errors
///
/// As [`run`].
pub fn check(options: &ThreeDiOptions, has_probabilities: bool) -> Result<(), PipelineError> {
    job::check(options, has_probabilities)
}

/// Encodes every protein of the inputs.
///
/// # Errors
///
/// What ends the job as a whole; proteins that fail are counted in the [`Summary`] and told to the
/// observer. What was finished until then is kept in the journal, and the same call goes on there.
pub fn run(
    files: StateFiles,
    options: &ThreeDiOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Summary, PipelineError> {
    job::run(files, options, observer, interrupt)
}
