//! One sample: from its frames to its result files, or to the part of a shard.

use std::path::Path;

use sessile_seq::inputs::{self, Format, Input};

use super::super::results::{ResultCounts, check_folder, check_tables};
use super::task::FrameTask;
use super::writer::Writer;
use super::{PredictOptions, Predictor, Sample, saved};
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::job::{self, Engine, JobFiles, Task};
use crate::journal::{Journal, Lock};
use crate::output::{OutputFiles, Outputs, Schema, Sources};
use crate::progress::{Observer, Summary};

/// What a prediction came to.
#[derive(Clone, Debug, Default)]
pub struct Predicted {
    /// How the verdicts fell.
    pub counts: ResultCounts,
    /// Failures and time.
    pub summary: Summary,
}

pub(super) fn run(
    predictor: &Predictor,
    sample: &Sample,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Predicted, PipelineError> {
    let options = &predictor.options;
    let (inputs, sources) = read_by(options, sample)?;
    let sources = sources.with_model(predictor.model_files.clone());
    let files = open(predictor, sample, &sources, observer, interrupt)?;
    let known = files.journal.as_ref().map_or(0, Journal::remaining);
    let writer = match options.shard.is_whole() {
        true => Some(Writer::create(predictor, &sample.output)?),
        false => None,
    };
    let task = FrameTask {
        predictor,
        lane: predictor.classifier.lane()?,
        writer,
        counts: ResultCounts::default(),
    };
    let items = predictor.making(known).start(inputs, interrupt)?;
    let engine = Engine {
        pool: Some(&predictor.pool),
        files,
        observer,
        interrupt,
    };
    let (summary, counts) = engine.run(task, items)?;
    Ok(Predicted { counts, summary })
}

/// The inputs of a sample, and all that is read with them.
fn read_by(
    options: &PredictOptions,
    sample: &Sample,
) -> Result<(Vec<Input>, Sources), PipelineError> {
    let inputs = inputs::expand(&sample.inputs, Format::Fasta)?;
    let sources = Sources::default()
        .with("the classifier", &options.classifier)
        .with_inputs(&inputs);
    Ok((inputs, sources))
}

/// The files beside the folder of results, checked against what is read: the part of a shard and the
/// list of what has no result.
fn prepare(
    options: &PredictOptions,
    sample: &Sample,
    sources: &Sources,
) -> Result<OutputFiles, PipelineError> {
    let shard = options.shard;
    let mut files = OutputFiles::part(&sample.output, shard, options.force)?;
    if let Some(path) = &sample.failures {
        files.accompany(&shard.path(path))?;
    }
    files.check_sources(sources, options.journal && !shard.is_whole())?;
    Ok(files)
}

/// Refuses what would be refused later: see [`super::check`].
pub(super) fn check(options: &PredictOptions, sample: &Sample) -> Result<(), PipelineError> {
    let (_, sources) = read_by(options, sample)?;
    prepare(options, sample, &sources)?;
    check_tables(&sample.output, options.tables)?;
    if !options.shard.is_whole() {
        return Ok(());
    }
    let is_own = options.journal && Journal::was_finishing(&sample.output)?;
    check_results(options, &sample.output, is_own, &sources)
}

fn check_results(
    options: &PredictOptions,
    folder: &Path,
    is_own: bool,
    sources: &Sources,
) -> Result<(), PipelineError> {
    if options.save_features {
        for path in saved::files(folder) {
            sources.refuse(&path)?;
        }
    }
    check_folder(folder, options.force || is_own, sources)
}

/// Takes the lock, finds what an earlier run left, and opens what is not in the folder of results.
fn open(
    predictor: &Predictor,
    sample: &Sample,
    sources: &Sources,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<JobFiles, PipelineError> {
    let options = &predictor.options;
    let failed = |error| PipelineError::output(&sample.output.display().to_string(), error);
    if let Some(parent) = sample.output.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut files = prepare(options, sample, sources)?;
    let mark = &predictor.fingerprint;
    let (journal, outputs) = match options.shard.is_whole() {
        true => (
            open_journal(predictor, sample, sources, interrupt)?,
            Outputs::default(),
        ),
        false => {
            files.claim(options.journal, interrupt)?;
            let journal = files.journal(mark, options.resume)?;
            let more = match options.save_features {
                true => predictor.sizes.to_vec(),
                false => Vec::new(),
            };
            let schema = Schema::new(Vec::new());
            let mark = Some(mark.clone());
            let outputs = files.open_or_part(&schema, journal.as_ref(), mark, more)?;
            (journal, outputs)
        }
    };
    if let Some(journal) = &journal {
        job::tell_resumed(journal, FrameTask::UNIT, observer);
    }
    let failures = sample
        .failures
        .as_ref()
        .map(|path| options.shard.path(path));
    Ok(JobFiles {
        failures: files.failures(failures.as_deref(), journal.as_ref())?,
        journal,
        outputs,
    })
}

/// The journal beside the folder of results.
fn open_journal(
    predictor: &Predictor,
    sample: &Sample,
    sources: &Sources,
    interrupt: &Interrupt,
) -> Result<Option<Journal>, PipelineError> {
    let (options, folder) = (&predictor.options, &sample.output);
    if !options.journal {
        check_results(options, folder, false, sources)?;
        return Ok(None);
    }
    let lock = Lock::acquire(folder, interrupt)?;
    // Results that a killed run was just giving their names are that run's own.
    let is_own = Journal::was_finishing(folder)?;
    check_results(options, folder, is_own, sources)?;
    Journal::open(lock, &predictor.fingerprint, options.resume).map(Some)
}
