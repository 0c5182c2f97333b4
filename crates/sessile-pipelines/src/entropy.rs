//! Information in genomes: records in, their ORFs, proteins and structure states out, with the
//! entropy of each.
//!
//! ```text
//! FASTA · GenBank ── reader ── ORFs, coding sequences ──► pool (structure model) ──► entropies ── files
//! ```
//!
//! Nothing is kept but the records under way: a reader goes ahead by a few megabases, ORFs are found
//! and written record by record, and a structure model, loaded once for all samples, takes proteins
//! of all records as they come. Without a model records are worked on by several threads. The files
//! have the layout of genome_entropy ([`Layout`]); [`Sample`] says what belongs together.

mod cds;
mod document;
mod format;
mod genome;
mod run;
mod sample;
mod sheet;
mod sources;
pub mod stages;
pub mod stored;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sessile_device::DeviceId;
use sessile_runtime::{DeviceChoice, Pool, PoolOptions, discovery};

use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::journal::{Fingerprint, JournalOptions};
use crate::output::{FileFormat, Format};
use crate::progress::Observer;
use crate::shard::Shard;
use crate::three_di::{Identity, StateFiles, StateModel};

pub use document::{Entropies, Layout, ParseSchemaError, SchemaVersion, StateOrigin};
pub use genome::{Annotation, FoundOrf, Genome, OrfRule, States};
pub use sample::{Sample, read_sample_sheet};
pub use sessile_seq::genetic_code::GeneticCode;
pub(crate) use writer::merge_sink;

/// What the job is called in journals and parts.
pub(crate) const JOB: &str = "entropy run";

/// The format of files whose names say nothing.
pub const DEFAULT_FORMAT: Format = Format::JSON;

/// How samples are computed.
#[derive(Clone, Debug)]
pub struct EntropyOptions {
    /// The genetic code of the ORFs.
    pub code: GeneticCode,
    /// Which ORFs are kept, and how letters are read.
    pub rule: OrfRule,
    /// The layout of records, and with it the rule for coding sequences: by their last residues in
    /// schema 2.0, by place, phase and residues in 2.2.
    pub schema: SchemaVersion,
    /// Leave the entropies out.
    pub skip_entropy: bool,
    /// Write what was not computed as genome_entropy does ([`Layout::as_genome_entropy`]).
    pub as_genome_entropy: bool,
    /// Which part of the records is computed here.
    pub shard: Shard,
    /// Write over outputs that exist.
    pub force: bool,
    /// Keep a journal and go on where an earlier run stopped.
    pub journal: bool,
    /// How an earlier run's journal is gone on with.
    pub resume: JournalOptions,
    /// Devices, lanes and batches; its threads also count without a model.
    pub pool: PoolOptions,
}

/// What became of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EntropySummary {
    /// Samples.
    pub samples: u64,
    /// Samples none of whose inputs could be read.
    pub failed_samples: u64,
    /// Records read, failed ones included.
    pub records: u64,
    /// Records written.
    pub written: u64,
    /// Their ORFs.
    pub orfs: u64,
    /// Residues of these.
    pub residues: u64,
    /// ORFs that are annotated coding sequences.
    pub in_genbank: u64,
    /// Records, features and proteins that failed.
    pub failed: u64,
    /// Proteins whose states were taken from the journal of an earlier run.
    pub resumed: u64,
    /// Tokens computed.
    pub tokens: u64,
    /// Time from the first record to the last file.
    pub run: Duration,
    /// Time to load the model.
    pub load: Duration,
    /// Number of models loaded, counted per device.
    pub model_loads: u64,
    /// Share of the run in which lanes computed, between 0 and 1.
    pub busy: f64,
}

impl EntropySummary {
    /// Adds another sample's.
    fn add(&mut self, other: &EntropySummary) {
        let (ours, theirs) = (self.run.as_secs_f64(), other.run.as_secs_f64());
        let both = (ours + theirs).max(f64::MIN_POSITIVE);
        self.busy = (self.busy * ours + other.busy * theirs) / both;
        self.records += other.records;
        self.written += other.written;
        self.orfs += other.orfs;
        self.residues += other.residues;
        self.in_genbank += other.in_genbank;
        self.failed += other.failed;
        self.resumed += other.resumed;
        self.tokens += other.tokens;
        self.run += other.run;
    }
}

/// Options and a structure model, loaded once, for any number of samples.
pub struct Analysis {
    options: EntropyOptions,
    layout: Layout,
    model: Option<StateModel>,
    fingerprint: Fingerprint,
    model_files: Vec<PathBuf>,
}

/// Refuses what is wrong with the inputs or the outputs of samples, before a model is fetched.
/// Samples of a sheet have a `folder`; a sample whose inputs are not there costs itself alone.
///
/// # Errors
///
/// As [`Analysis::run`].
pub fn check(
    options: &EntropyOptions,
    samples: &[Sample],
    folder: Option<&Path>,
) -> Result<(), PipelineError> {
    match (folder, samples) {
        (None, [sample]) => {
            sources::Source::of(sample)?;
            run::prepare(options, sample, options.shard, Vec::new()).map(drop)
        }
        (folder, _) => sheet::check(options, samples, folder),
    }
}

impl Analysis {
    /// Loads the model, if there is to be one.
    ///
    /// # Errors
    ///
    /// `Model` when the model has no head of 3Di, and whatever keeps it from being loaded.
    pub fn new(
        options: EntropyOptions,
        model: Option<StateFiles>,
        observer: &mut dyn Observer,
    ) -> Result<Self, PipelineError> {
        let mut layout = Layout {
            schema: options.schema,
            skip_entropy: options.skip_entropy,
            as_genome_entropy: options.as_genome_entropy,
            origin: None,
        };
        let fingerprint = Fingerprint::new(JOB)
            .with_option("--table", options.code.id().to_string())
            .with_option("--min-aa", format!("{:?}", options.rule))
            .with_option("--schema", options.schema.number())
            .with_option("layout", options.as_genome_entropy.to_string())
            .with_option("--skip-entropy", options.skip_entropy.to_string());
        let Some(files) = model else {
            check_unused(&options.pool.devices)?;
            let fingerprint = fingerprint.with_option("--model", "none");
            return Ok(Analysis::of(options, layout, fingerprint, None));
        };
        let model_files = files.files();
        let identity = Identity::of(&files)?;
        let model = StateModel::load(files, &options.pool, observer)?;
        layout.origin = Some(StateOrigin {
            method: identity.method.to_owned(),
            model: identity.name.clone(),
            device: device_kinds(model.pool()),
        });
        let fingerprint = identity.mark(fingerprint, model.pool());
        Ok(Analysis {
            model_files,
            ..Analysis::of(options, layout, fingerprint, Some(model))
        })
    }

    fn of(
        options: EntropyOptions,
        layout: Layout,
        fingerprint: Fingerprint,
        model: Option<StateModel>,
    ) -> Self {
        Analysis {
            options,
            layout,
            model,
            fingerprint,
            model_files: Vec::new(),
        }
    }

    /// The resident model, if there is one.
    pub fn pool(&self) -> Option<&Pool> {
        self.model.as_ref().map(StateModel::pool)
    }

    /// How its records are written.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Computes a sample. The model stays for the next.
    ///
    /// # Errors
    ///
    /// What ends the sample as a whole. What was finished until then is in its journal, and the
    /// same call goes on there. Records that fail are told to the observer and listed.
    pub fn run(
        &self,
        sample: &Sample,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<EntropySummary, PipelineError> {
        let shard = self.options.shard;
        let mut summary = self.run_part(sample, shard, observer, interrupt)?;
        self.add_loading(&mut summary);
        Ok(summary)
    }

    /// Computes the samples of a sheet whose results lie in `folder`. The parts of a run
    /// ([`EntropyOptions::shard`]) are of samples here, not of records. A sample none of whose
    /// inputs can be read is told to the observer, and the others go on.
    ///
    /// # Errors
    ///
    /// As [`Analysis::run`]; `Input` when no sample could be read. Samples that were finished are
    /// not computed again by the same call.
    pub fn run_sheet(
        &self,
        samples: &[Sample],
        folder: &Path,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<EntropySummary, PipelineError> {
        let mut summary = sheet::run(self, samples, folder, observer, interrupt)?;
        self.add_loading(&mut summary);
        Ok(summary)
    }

    fn run_part(
        &self,
        sample: &Sample,
        shard: Shard,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<EntropySummary, PipelineError> {
        let mut summary = run::run(self, sample, shard, observer, interrupt)?;
        summary.samples = 1;
        Ok(summary)
    }

    fn add_loading(&self, summary: &mut EntropySummary) {
        if let Some(pool) = self.pool() {
            summary.load = pool.load_time();
            summary.model_loads = pool.metrics().model_loads.get();
        }
    }
}

/// Refuses GPUs that nothing would be computed on.
fn check_unused(devices: &DeviceChoice) -> Result<(), PipelineError> {
    discovery::check(devices)?;
    let DeviceChoice::Only(wanted) = devices else {
        return Ok(());
    };
    match wanted.iter().find(|id| **id != DeviceId::Cpu) {
        None => Ok(()),
        Some(id) => Err(PipelineError::new(
            PipelineErrorKind::Usage,
            format!("nothing is computed on {id} without a model"),
        )
        .with_hint("name a --model, or leave --devices out")),
    }
}

/// `cpu`, `cuda`, or both.
fn device_kinds(pool: &Pool) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for lane in pool.lanes() {
        let device = lane.device.to_string();
        let kind = device.split(':').next().unwrap_or_default().to_owned();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join("+")
}

/// The outputs of a single sample with the format of each: those given, else by the extensions.
///
/// # Errors
///
/// `Usage` when an extension says nothing that can be written, or there are more formats than files.
pub fn output_formats(
    outputs: &[PathBuf],
    formats: &[FileFormat],
) -> Result<Vec<(PathBuf, FileFormat)>, PipelineError> {
    if formats.len() > 1 && formats.len() != outputs.len() {
        return Err(PipelineError::new(
            PipelineErrorKind::Usage,
            format!(
                "{} formats were named for {} outputs",
                formats.len(),
                outputs.len()
            ),
        )
        .with_hint("name one for all, or one for each in their order"));
    }
    let chosen = |place: usize| formats.get(place).or(formats.first()).copied();
    (outputs.iter().enumerate())
        .map(|(place, path)| {
            let named = match chosen(place) {
                Some(format) => format,
                None => FileFormat::of(path, DEFAULT_FORMAT)?,
            };
            Ok((path.clone(), named))
        })
        .collect()
}

#[cfg(test)]
mod tests;
