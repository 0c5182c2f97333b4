//! Structure states of proteins: FASTA or the JSON of a genome's proteins in, 3Di out.
//!
//! [`run`] is a job over files. A pipeline that has its proteins in memory asks the pool with
//! [`request`] and reads the answers with [`Encoded`].

mod json;
mod model;
mod proteins;
mod row;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sessile_device::{ModelIndex, OutputKind, OutputSet, RequestErrorKind};
use sessile_models::ModelInfo;
use sessile_models::tokenizer::Tokenizer;
use sessile_runtime::{PoolOptions, PoolRequest};
use sessile_seq::inputs;

use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::output::Destination;
use crate::progress::{Observer, Progress, Summary};
use model::StateModel;
use proteins::Proteins;

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
    /// Whether rows have the probability of every residue.
    pub probabilities: bool,
    /// Write over outputs that exist.
    pub force: bool,
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
fn check_residues(residues: &[u8]) -> Result<(), String> {
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
    check_outputs(options)?;
    check_probabilities(&files, options)?;
    let inputs = inputs::expand(&options.inputs, inputs::Format::Fasta)?;
    let model = StateModel::load(files, &options.pool, observer)?;
    let pool = model.pool();

    let mut out = Output::open(&options.output)?;
    let mut fasta = options.fasta.as_deref().map(Output::open).transpose()?;
    let begun = Instant::now();
    let busy_before = pool.metrics().busy_nanos.get();
    let mut progress = Progress::default();
    let mut residues = 0;
    let mut file_problem = None;
    let proteins = Proteins::start(inputs, interrupt.clone())?;
    let bytes = proteins.bytes();
    let requests = proteins.map(|protein| {
        let request = match &protein.problem {
            Some(problem) => Err(problem.clone()),
            None => model.request(&protein.residues),
        };
        let (problem, request) = match request {
            Ok(request) => (None, Some(request)),
            Err(problem) => (Some(problem), None),
        };
        let tokens = request.as_ref().map_or(0, |request| request.tokens.len());
        ((protein, problem, tokens), request)
    });
    for ((protein, problem, tokens), answer) in pool.in_order(requests) {
        let failure = match (problem, answer) {
            (Some(problem), _) => Some(problem),
            (None, Some(Ok(answer))) => {
                let encoded = model.encoded(&answer, protein.residues.len());
                let row = encoded.row(&protein.id, options.mask_below, options.probabilities);
                out.write(|out| {
                    serde_json::to_writer(&mut *out, &row)?;
                    out.write_all(b"\n")
                })?;
                if let Some(fasta) = &mut fasta {
                    fasta.write(|out| writeln!(out, ">{}\n{}", protein.id, row.three_di))?;
                }
                residues += protein.residues.len() as u64;
                progress.tokens += tokens as u64;
                None
            }
            (None, Some(Err(error))) if error.kind() == RequestErrorKind::NoDevice => {
                return Err(PipelineError::new(
                    PipelineErrorKind::Device,
                    error.to_string(),
                ));
            }
            (None, Some(Err(error))) => Some(error.to_string()),
            (None, None) => None,
        };
        if let Some(reason) = failure {
            progress.failed += 1;
            observer.failure(&protein.place, &reason);
            if protein.is_file_problem {
                file_problem.get_or_insert(reason);
            }
        }
        progress.records += 1;
        progress.elapsed = begun.elapsed();
        (progress.bytes_read, progress.bytes_total) = bytes.get();
        observer.progress(&progress);
        if interrupt.signal().is_some() {
            break;
        }
    }
    if interrupt.signal().is_some() {
        return Err(PipelineError::new(
            PipelineErrorKind::Interrupted,
            format!("stopped after {} proteins", progress.records),
        ));
    }
    if let Some(problem) = file_problem
        && progress.failed == progress.records
    {
        return Err(PipelineError::new(PipelineErrorKind::Input, problem));
    }
    out.finish()?;
    fasta.map(Output::finish).transpose()?;
    let run = begun.elapsed();
    let busy = (pool.metrics().busy_nanos.get() - busy_before) as f64;
    let lanes = pool.lanes().len().max(1) as f64;
    Ok(Summary {
        records: progress.records,
        failed: progress.failed,
        residues,
        tokens: progress.tokens,
        load: pool.load_time(),
        run,
        model_loads: pool.metrics().model_loads.get(),
        busy: (busy / (run.as_nanos() as f64 * lanes)).min(1.0),
        ..Summary::default()
    })
}

/// An output with its name for messages.
struct Output {
    name: String,
    out: Destination,
}

impl Output {
    fn open(path: &Path) -> Result<Self, PipelineError> {
        let name = path.display().to_string();
        match Destination::open(path) {
            Ok(out) => Ok(Output { name, out }),
            Err(error) => Err(PipelineError::output(&name, error)),
        }
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut Destination) -> std::io::Result<()>,
    ) -> Result<(), PipelineError> {
        write(&mut self.out).map_err(|error| PipelineError::output(&self.name, error))
    }

    fn finish(self) -> Result<(), PipelineError> {
        self.out
            .finish()
            .map_err(|error| PipelineError::output(&self.name, error))
    }
}

/// Refuses to ask a decoder for probabilities.
fn check_probabilities(files: &StateFiles, options: &ThreeDiOptions) -> Result<(), PipelineError> {
    if !files.has_probabilities() && (options.probabilities || options.mask_below.is_some()) {
        return Err(PipelineError::new(
            PipelineErrorKind::Usage,
            "states that are written one after the other have no probabilities",
        )
        .with_hint("leave --probabilities and --mask-below out, or use --method head"));
    }
    Ok(())
}

/// Refuses to write over a file unless told to, and two outputs into one.
fn check_outputs(options: &ThreeDiOptions) -> Result<(), PipelineError> {
    if options.fasta.as_ref() == Some(&options.output) {
        return Err(PipelineError::new(
            PipelineErrorKind::Usage,
            "both outputs have the same name",
        )
        .with_hint("give --fasta another one"));
    }
    for path in options.fasta.iter().chain([&options.output]) {
        let taken = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        if path != Path::new("-") && taken && !options.force {
            return Err(PipelineError::new(
                PipelineErrorKind::Output,
                format!("{} exists", path.display()),
            )
            .with_hint("choose another name, or --force to write over it"));
        }
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
