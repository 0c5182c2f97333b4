//! One sample: from its frames to its result files.

use std::path::Path;

use sessile_seq::inputs::{self, Format, Input};

use super::super::results::{ResultCounts, check_folder};
use super::task::FrameTask;
use super::writer::Writer;
use super::{PredictOptions, Predictor, Sample, saved};
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::job::{self, Engine, Task};
use crate::journal::{Journal, Lock};
use crate::output::{OutputFiles, Sources};
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
    let journal = open_journal(predictor, &sample.output, &sources, interrupt)?;
    if let Some(journal) = &journal {
        job::tell_resumed(journal, FrameTask::UNIT, observer);
    }
    let known = journal.as_ref().map_or(0, Journal::remaining);
    let task = FrameTask {
        predictor,
        lane: predictor.classifier.lane()?,
        writer: Writer::create(predictor, &sample.output)?,
    };
    let items = predictor.making(known).start(inputs, interrupt)?;
    let engine = Engine {
        pool: Some(&predictor.pool),
        failures: failures(options, sample, &sources)?
            .failures(sample.failures.as_deref(), journal.as_ref())?,
        journal,
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

/// The list of what has no result, checked against what is read.
fn failures(
    options: &PredictOptions,
    sample: &Sample,
    sources: &Sources,
) -> Result<OutputFiles, PipelineError> {
    let mut files = OutputFiles::plain(&[], options.force)?;
    if let Some(path) = &sample.failures {
        files.accompany(path)?;
    }
    files.check_sources(sources, false)?;
    Ok(files)
}

/// Refuses what would be refused later: see [`super::check`].
pub(super) fn check(options: &PredictOptions, sample: &Sample) -> Result<(), PipelineError> {
    let (_, sources) = read_by(options, sample)?;
    failures(options, sample, &sources)?;
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

/// Takes the folder's lock and finds what an earlier run left.
fn open_journal(
    predictor: &Predictor,
    folder: &Path,
    sources: &Sources,
    interrupt: &Interrupt,
) -> Result<Option<Journal>, PipelineError> {
    let options = &predictor.options;
    if !options.journal {
        check_results(options, folder, false, sources)?;
        return Ok(None);
    }
    let failed = |error| PipelineError::output(&folder.display().to_string(), error);
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let lock = Lock::acquire(folder, interrupt)?;
    // Results that a killed run was just giving their names are that run's own.
    let is_own = Journal::was_finishing(folder)?;
    check_results(options, folder, is_own, sources)?;
    Journal::open(lock, &predictor.fingerprint, options.resume).map(Some)
}
