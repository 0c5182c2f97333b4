//! One sample: from its frames to its result files.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use sessile_device::{Output, RequestError};
use sessile_runtime::ClassifierLane;
use sessile_seq::inputs::{self, Format, Input};

use super::super::results::{ResultCounts, check_folder};
use super::frames::{Frame, Frames, Item, Reading};
use super::kept::Kept;
use super::vectors::vectors;
use super::watch::{Stages, Watch};
use super::writer::Writer;
use super::{PredictOptions, Predictor, Sample, saved};
use crate::census;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::journal::{Entry, Journal, Lock, Outcome};
use crate::output::Sources;
use crate::progress::{Busy, Observer, Summary};

/// Frames that are scored together: enough that the classifier's weights are read seldom, few
/// enough that little is lost when the power goes.
const BLOCK_FRAMES: usize = 64;

/// How often the watcher is told.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// What a prediction came to.
#[derive(Clone, Debug, Default)]
pub struct Predicted {
    /// How the verdicts fell.
    pub counts: ResultCounts,
    /// How far each stage went.
    pub stages: Stages,
    /// Failures and time.
    pub summary: Summary,
}

pub(super) fn run(
    predictor: &Predictor,
    sample: &Sample,
    observer: &mut dyn Observer,
    watch: &mut dyn Watch,
    interrupt: &Interrupt,
) -> Result<Predicted, PipelineError> {
    let options = &predictor.options;
    let (inputs, sources) = read_by(options, sample)?;
    let sources = sources.with_model(predictor.model_files.clone());
    let journal = open_journal(predictor, &sample.output, &sources, interrupt)?;
    let known = journal.as_ref().map_or(0, Journal::remaining);
    if known > 0 {
        observer.note(&format!("going on after {known} frames of an earlier run"));
    }
    let frames = Frames::start(inputs, predictor.making(known), interrupt)?;
    let reading = frames.reading();
    let mut job = Job {
        predictor,
        lane: predictor.classifier.lane()?,
        writer: Writer::create(predictor, &sample.output)?,
        journal,
        observer,
        waiting: VecDeque::new(),
        stages: Stages::default(),
        file_problem: None,
    };
    let begun = Instant::now();
    let busy = Busy::since_now(&predictor.pool);
    let mut told = begun;
    let mut first_half = None;
    let mut outcome = Ok(());
    for (item, answer) in predictor.pool.in_order(frames).until(interrupt.flag()) {
        outcome = job.take(item, answer, &mut first_half);
        if told.elapsed() >= WATCH_EVERY {
            told = Instant::now();
            job.look(&reading, begun, &busy);
            watch.stages(&job.stages);
        }
        if outcome.is_err() || interrupt.signal().is_some() {
            break;
        }
    }
    // What was computed is kept, whatever ended the run.
    let outcome = outcome.and(job.score());
    if let Some(journal) = &mut job.journal {
        let committed = journal.commit();
        outcome.and(committed)?;
    } else {
        outcome?;
    }
    job.look(&reading, begun, &busy);
    watch.stages(&job.stages);
    if interrupt.signal().is_some() {
        return Err(interrupted(&job));
    }
    census::tell(&reading.census, None, job.observer);
    job.finish(begun)
}

fn interrupted(job: &Job<'_>) -> PipelineError {
    let message = format!("stopped after {} frames", job.stages.scored.sequences);
    let error = PipelineError::new(PipelineErrorKind::Interrupted, message);
    match job.journal {
        Some(_) => error.with_hint("the same command goes on from there"),
        None => error,
    }
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

/// Refuses what would be refused later: see [`super::check`].
pub(super) fn check(options: &PredictOptions, sample: &Sample) -> Result<(), PipelineError> {
    let (_, sources) = read_by(options, sample)?;
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

/// What is to be scored and written, in the order of the input.
enum Waiting {
    /// A record begins.
    Record { id: String, number: u64 },
    /// A frame whose answers are there: both vectors, one behind the other, or why there are none.
    Frame(Frame, Result<Vec<f32>, String>),
}

struct Job<'a> {
    predictor: &'a Predictor,
    lane: ClassifierLane,
    writer: Writer,
    journal: Option<Journal>,
    observer: &'a mut dyn Observer,
    waiting: VecDeque<Waiting>,
    stages: Stages,
    file_problem: Option<String>,
}

type Answer = Option<Result<Output, RequestError>>;

/// The first half of a frame, waiting for the second.
type FirstHalf = Option<(Frame, Result<Output, RequestError>)>;

impl Job<'_> {
    fn take(
        &mut self,
        item: Item,
        answer: Answer,
        first_half: &mut FirstHalf,
    ) -> Result<(), PipelineError> {
        match (item, answer) {
            (
                Item::Unreadable {
                    id,
                    reason,
                    is_file,
                },
                _,
            ) => {
                self.score()?;
                self.stages.failed += 1;
                self.writer.fail(&id, &reason)?;
                self.observer.failure("", &reason);
                if is_file {
                    self.file_problem.get_or_insert(reason);
                }
                Ok(())
            }
            (Item::Record { id, number }, _) => {
                self.waiting.push_back(Waiting::Record { id, number });
                match self.waiting.len() >= BLOCK_FRAMES {
                    true => self.score(),
                    false => Ok(()),
                }
            }
            (Item::Known(frame), _) => {
                self.score()?;
                self.known(frame)
            }
            (Item::Nucleotide { frame, tokens }, Some(answer)) => {
                self.stages.nucleotide.sequences += 1;
                self.stages.nucleotide.tokens += tokens as u64;
                *first_half = Some((frame, answer));
                Ok(())
            }
            (Item::Protein { tokens }, Some(protein)) => {
                self.stages.protein.sequences += 1;
                self.stages.protein.tokens += tokens as u64;
                let Some((frame, nucleotide)) = first_half.take() else {
                    return Ok(());
                };
                let vectors = vectors(self.predictor, nucleotide, protein)?;
                self.waiting.push_back(Waiting::Frame(frame, vectors));
                if self.waiting.len() >= BLOCK_FRAMES {
                    self.score()?;
                }
                Ok(())
            }
            // A request without an answer: the pool has ended, which the next one tells.
            (Item::Nucleotide { .. } | Item::Protein { .. }, None) => Ok(()),
        }
    }

    /// Takes a frame from the journal.
    fn known(&mut self, frame: Frame) -> Result<(), PipelineError> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        let Some(outcome) = journal.take(&frame.id, frame.input)? else {
            return Ok(());
        };
        self.stages.known += 1;
        let result = match outcome {
            Outcome::Done(bytes) => Ok(Kept::from_bytes(&bytes, self.writer.saved_width())?),
            Outcome::Failed(reason) => Err(reason),
        };
        self.write(&frame, result)
    }

    /// Scores the frames that wait, journals them and writes them.
    fn score(&mut self) -> Result<(), PipelineError> {
        let mut block = Vec::new();
        for waiting in &self.waiting {
            if let Waiting::Frame(_, Ok(vectors)) = waiting {
                block.extend_from_slice(vectors);
            }
        }
        let mut scores = Vec::new();
        self.lane.probabilities(&block, &mut scores)?;
        let mut scores = scores.into_iter();
        while let Some(waiting) = self.waiting.pop_front() {
            let (frame, vectors) = match waiting {
                Waiting::Frame(frame, vectors) => (frame, vectors),
                Waiting::Record { id, number } => {
                    self.writer.record(&id, number)?;
                    continue;
                }
            };
            let result = match vectors {
                Ok(vectors) => Ok(Kept {
                    scores: scores.next().unwrap_or([f32::NAN; 2]),
                    features: match self.writer.saved_width() {
                        0 => Vec::new(),
                        _ => vectors,
                    },
                }),
                Err(reason) => Err(reason),
            };
            if let Some(journal) = &mut self.journal {
                let outcome = match &result {
                    Ok(kept) => Outcome::Done(kept.to_bytes()),
                    Err(reason) => Outcome::Failed(reason.clone()),
                };
                journal.append(&Entry {
                    id: frame.id.clone(),
                    input: frame.input,
                    outcome,
                })?;
            }
            self.write(&frame, result)?;
        }
        Ok(())
    }

    fn write(&mut self, frame: &Frame, result: Result<Kept, String>) -> Result<(), PipelineError> {
        self.stages.scored.sequences += 1;
        match result {
            Ok(kept) => self.writer.write(frame, &kept),
            Err(reason) => {
                self.stages.failed += 1;
                self.observer.failure(&frame.id, &reason);
                self.writer.fail(&frame.id, &reason)
            }
        }
    }

    /// Brings the stages up to date.
    fn look(&mut self, reading: &Reading, begun: Instant, busy: &Busy<'_>) {
        use std::sync::atomic::Ordering::Relaxed;
        let stages = &mut self.stages;
        stages.chunks.sequences = reading.chunks.load(Relaxed);
        stages.chunks.tokens = reading.bases.load(Relaxed);
        stages.bytes = reading.bytes.load(Relaxed);
        stages.bytes_total = reading.bytes_total.load(Relaxed);
        stages.elapsed = begun.elapsed();
        stages.busy = busy.share(stages.elapsed);
    }

    fn finish(mut self, begun: Instant) -> Result<Predicted, PipelineError> {
        if let Some(problem) = self.file_problem.take()
            && self.stages.scored.sequences == 0
            && self.stages.chunks.sequences == 0
        {
            return Err(PipelineError::new(PipelineErrorKind::Input, problem));
        }
        if let Some(journal) = &mut self.journal {
            journal.check_taken()?;
            journal.finishing()?;
        }
        let counts = self.writer.finish()?;
        if let Some(journal) = self.journal {
            journal.remove()?;
        }
        let pool = &self.predictor.pool;
        let summary = Summary {
            records: self.stages.scored.sequences,
            failed: self.stages.failed,
            tokens: self.stages.nucleotide.tokens + self.stages.protein.tokens,
            load: pool.load_time(),
            run: begun.elapsed(),
            model_loads: pool.metrics().model_loads.get(),
            busy: self.stages.busy,
            ..Summary::default()
        };
        Ok(Predicted {
            counts,
            stages: self.stages,
            summary,
        })
    }
}
