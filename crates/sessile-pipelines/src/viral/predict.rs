//! From genomes to result files in one go: chunks, frames, both embeddings, the classifier.
//!
//! The stages are not passes over files. A thread reads ahead, cuts, translates and tokenises; both
//! language models are resident in one pool, whose lanes take whatever is next; the answers come
//! back in order and are scored, journalled and written at once. Memory does not grow with the
//! input. The models stay loaded over all samples of a run.
//!
//! ```text
//! reader ── frames ──► pool (both models) ── vectors ──► classifier ──► journal ──► results
//! ```

mod frames;
mod merged;
mod run;
mod samples;
mod sampling;
mod saved;
mod task;
mod vectors;
mod writer;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use sessile_device::{OutputKind, OutputSet};
use sessile_models::classifier::MlpClassifier;
use sessile_models::{Alphabet, Model, ModelError, ModelErrorKind};
use sessile_runtime::{Pool, PoolOptions, Resident};

use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::journal::{Fingerprint, JournalOptions};
use crate::output::Format;
use crate::progress::Observer;

pub use crate::shard::{ParseShardError, Shard};
pub(crate) use merged::merge_sink;
pub use run::Predicted;
pub use samples::{Sample, read_sample_sheet};
pub use sampling::{SampledFrame, SampledResult};

/// What the job is called in journals and parts.
pub(crate) const JOB: &str = "viral predict";

/// What to predict with and how. What is predicted are the samples.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// Bases of a chunk.
    pub chunk: NonZeroUsize,
    /// The classifier's file.
    pub classifier: PathBuf,
    /// The layer of the protein model whose vectors are taken; `None`: the last.
    pub esm_layer: Option<usize>,
    /// Which records are computed here. A shard leaves a part instead of the folder of results.
    pub shard: Shard,
    /// Also write the vectors in the original's files.
    pub save_features: bool,
    /// Format of the tables.
    pub tables: Format,
    /// Write over results that exist.
    pub force: bool,
    /// Keep a journal and go on where an earlier run stopped.
    pub journal: bool,
    /// How an earlier run's journal is gone on with.
    pub resume: JournalOptions,
    /// Devices, lanes and batches.
    pub pool: PoolOptions,
}

/// Models and classifier, loaded once, for any number of samples.
pub struct Predictor {
    options: PredictOptions,
    pool: Pool,
    classifier: sessile_runtime::Classifier,
    tokenizers: frames::Tokenizers,
    /// What is asked of the protein model.
    protein_output: OutputKind,
    /// Numbers of the two halves.
    sizes: [usize; 2],
    fingerprint: Fingerprint,
    model_files: Vec<PathBuf>,
}

/// Refuses what is wrong with the classifier, the inputs or the outputs, before a model is fetched.
///
/// # Errors
///
/// As [`Predictor::load`] and [`Predictor::run`].
pub fn check(options: &PredictOptions, samples: &[Sample]) -> Result<(), PipelineError> {
    let classifier = MlpClassifier::open(&options.classifier)?;
    classifier.binding.check_chunk(options.chunk.get())?;
    samples
        .iter()
        .try_for_each(|sample| run::check(options, sample))
}

/// The place of the nucleotides' model in the pool.
const NUCLEOTIDE: usize = 0;

/// The place of the proteins' model.
const PROTEIN: usize = 1;

impl Predictor {
    /// Checks that everything fits together, then loads it.
    ///
    /// # Errors
    ///
    /// `Model` when a model is not of its kind or the classifier was trained with others, and
    /// whatever keeps the models from being loaded.
    pub fn load(
        nucleotide: Model,
        protein: Model,
        options: PredictOptions,
    ) -> Result<Self, PipelineError> {
        let classifier = MlpClassifier::open(&options.classifier)?;
        classifier.binding.check_chunk(options.chunk.get())?;
        check_kind(&nucleotide, true, "--dnabert")?;
        check_kind(&protein, false, "--esm")?;
        let tokenizers = frames::Tokenizers {
            nucleotide: nucleotide.tokenizer().clone(),
            protein: protein.tokenizer().clone(),
        };
        let layers = protein.description().layers;
        let protein_output = match options.esm_layer {
            None => OutputKind::Mean,
            Some(layer) if layer == layers => OutputKind::Mean,
            Some(layer) if layer < layers => OutputKind::HiddenStates,
            Some(layer) => {
                let message = format!(
                    "{} has {layers} layers, --esm-layer asks for layer {layer}",
                    protein.name()
                );
                return Err(ModelError::new(ModelErrorKind::Mismatch, message).into());
            }
        };
        let sizes = [&nucleotide, &protein].map(|model| model.description().hidden);
        check_sizes(&classifier, sizes, [&nucleotide, &protein])?;
        let model_files = [nucleotide.files(), protein.files()].concat();
        let hashes = [nucleotide.remembered_hash()?, protein.remembered_hash()?];
        let beside = format!("{} {}", nucleotide.files_hash(), protein.files_hash());
        let outputs: OutputSet = [OutputKind::MeanAll, protein_output].into_iter().collect();
        let pool_options = PoolOptions {
            outputs,
            ..options.pool.clone()
        };
        let pool = Pool::new([&nucleotide, &protein].map(Resident::Reads), &pool_options)?;
        let fingerprint = fingerprint(&options, &classifier, &hashes, &pool)
            .with_option("tokenizers and configurations", beside);
        Ok(Predictor {
            classifier: sessile_runtime::Classifier::load(&classifier)?,
            options,
            pool,
            tokenizers,
            protein_output,
            sizes,
            fingerprint,
            model_files,
        })
    }

    /// The resident models.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Numbers of a frame that are saved.
    fn saved_width(&self) -> usize {
        match self.options.save_features {
            true => self.sizes.iter().sum(),
            false => 0,
        }
    }

    /// Numbers of a nucleotides' and of a protein's vector.
    pub fn sizes(&self) -> [usize; 2] {
        self.sizes
    }

    /// Computes the first `frames` frames of some inputs and keeps their vectors and scores in
    /// memory.
    ///
    /// # Errors
    ///
    /// When an input is not there, no device is left, or the run is told to stop.
    pub fn sample(
        &self,
        inputs: &[PathBuf],
        frames: usize,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Vec<SampledFrame>, PipelineError> {
        sampling::sample(self, inputs, frames, observer, interrupt)
    }

    fn making(&self, known: u64) -> frames::Making {
        frames::Making {
            chunk: self.options.chunk,
            shard: self.options.shard,
            tokenizers: self.tokenizers.clone(),
            protein_output: self.protein_output,
            known,
        }
    }

    /// What it was made with.
    pub fn options(&self) -> &PredictOptions {
        &self.options
    }

    /// Predicts one sample. The models stay for the next.
    ///
    /// # Errors
    ///
    /// What ends the sample as a whole. What was finished until then is in its journal, and the
    /// same call goes on there. Records and frames that fail are told to the observer and listed.
    pub fn run(
        &self,
        sample: &Sample,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Predicted, PipelineError> {
        run::run(self, sample, observer, interrupt)
    }
}

fn check_kind(files: &Model, nucleotides: bool, flag: &str) -> Result<(), ModelError> {
    if (files.alphabet() == Alphabet::Nucleotide) == nucleotides {
        return Ok(());
    }
    let (is, should) = match nucleotides {
        true => ("proteins", "nucleotides, such as DNABERT-S"),
        false => ("nucleotides", "proteins, such as ESM-2"),
    };
    Err(ModelError::new(
        ModelErrorKind::Mismatch,
        format!(
            "{} reads {is}; {flag} takes a model of {should}",
            files.name()
        ),
    ))
}

fn check_sizes(
    classifier: &MlpClassifier,
    [nucleotide, protein]: [usize; 2],
    files: [&Model; 2],
) -> Result<(), ModelError> {
    classifier
        .binding
        .check_sizes(Some(nucleotide), Some(protein))?;
    if nucleotide + protein == classifier.width() {
        return Ok(());
    }
    Err(ModelError::new(
        ModelErrorKind::Mismatch,
        format!(
            "the classifier takes {} numbers; {} has {nucleotide} and {} has {protein}, together {}",
            classifier.width(),
            files[0].name(),
            files[1].name(),
            nucleotide + protein
        ),
    )
    .with_hint("take the models that the classifier was trained with"))
}

fn fingerprint(
    options: &PredictOptions,
    classifier: &MlpClassifier,
    [nucleotide, protein]: &[String; 2],
    pool: &Pool,
) -> Fingerprint {
    let dtypes: Vec<String> = (pool.plans().iter())
        .map(|plan| plan.dtype.to_string())
        .collect();
    let layer = options
        .esm_layer
        .map_or_else(|| "last".to_owned(), |layer| layer.to_string());
    Fingerprint::new(JOB)
        .with_option("--chunk", options.chunk.to_string())
        .with_option("--esm-layer", layer)
        .with_option("--save-features", options.save_features.to_string())
        .with_option("classifier", classifier.content_hash())
        .with_numeric("dnabert", nucleotide)
        .with_numeric("esm", protein)
        .with_numeric("--dtype", dtypes.join("+"))
        .with_numeric("kernels", pool.kernel_families().join("+"))
}
