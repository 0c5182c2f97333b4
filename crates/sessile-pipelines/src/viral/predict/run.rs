//! One sample: from its frames to its result files.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sessile_device::{HostTensor, Output, OutputKind, RequestError, RequestErrorKind};
use sessile_runtime::ClassifierLane;
use sessile_seq::inputs::{self, Format};

use super::super::features::{FeatureRows, write_merged, write_nucleotide, write_protein};
use super::super::results::{FAILURES, FrameScore, ResultCounts, Results, TEMPORARY, check_folder};
use super::frames::{Frame, Frames, Item, Reading};
use super::kept::Kept;
use super::shard::ShardTable;
use super::watch::{Stages, Watch};
use super::{Predictor, Sample};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::journal::{Entry, Journal, Lock, Outcome};
use crate::output::WholeFile;
use crate::progress::{Observer, Summary};

/// Frames that are scored together: enough that the classifier's weights are read seldom, few
/// enough that little is lost when the power goes.
const BLOCK_FRAMES: usize = 64;

/// How often the watcher is told.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// Frames in a file of saved vectors, as in the original.
const SAVED_FRAMES: usize = 10_000;

/// The folder of the saved vectors in that of the results.
const SAVED_FOLDER: &str = "features";

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
    let inputs = inputs::expand(&sample.inputs, Format::Fasta)?;
    let journal = open_journal(predictor, &sample.output, interrupt)?;
    let known = journal.as_ref().map_or(0, Journal::remaining);
    if known > 0 {
        observer.note(&format!("going on after {known} frames of an earlier run"));
    }
    let frames = Frames::start(inputs, predictor.making(known), interrupt.clone())?;
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
    let busy_before = predictor.pool.metrics().busy_nanos.get();
    let mut told = begun;
    let mut first_half = None;
    let mut outcome = Ok(());
    for (item, answer) in predictor.pool.in_order(frames) {
        outcome = job.take(item, answer, &mut first_half);
        if told.elapsed() >= WATCH_EVERY {
            told = Instant::now();
            job.look(&reading, begun, busy_before);
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
    job.look(&reading, begun, busy_before);
    watch.stages(&job.stages);
    if interrupt.signal().is_some() {
        return Err(interrupted(&job));
    }
    job.finish(begun)
}

/// Vectors and scores of a frame, both vectors one behind the other.
pub type SampledResult = (Vec<f32>, [f32; 2]);

/// One of the first frames of an input.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledFrame {
    /// Its name.
    pub id: String,
    /// What was found, unless it failed.
    pub result: Option<SampledResult>,
}

/// Computes the first frames of some inputs and keeps them.
pub(super) fn sample(
    predictor: &Predictor,
    paths: &[PathBuf],
    frames: usize,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Vec<SampledFrame>, PipelineError> {
    let inputs = inputs::expand(paths, Format::Fasta)?;
    let making = predictor.making(0);
    let items = Frames::start(inputs, making, interrupt.clone())?;
    let mut lane = predictor.classifier.lane()?;
    let (mut sampled, mut first_half) = (Vec::new(), None);
    for (item, answer) in predictor.pool.in_order(items) {
        match (item, answer) {
            (Item::Unreadable { reason, .. }, _) => observer.failure("", &reason),
            (Item::Nucleotide { frame, .. }, Some(answer)) => first_half = Some((frame, answer)),
            (Item::Protein { .. }, Some(protein)) => {
                let Some((frame, nucleotide)) = first_half.take() else {
                    continue;
                };
                let result = match vectors(predictor, nucleotide, protein)? {
                    Ok(vectors) => {
                        let mut scores = Vec::new();
                        lane.probabilities(&vectors, &mut scores)?;
                        Some((vectors, scores[0]))
                    }
                    Err(reason) => {
                        observer.failure(&frame.id, &reason);
                        None
                    }
                };
                sampled.push(SampledFrame {
                    id: frame.id,
                    result,
                });
            }
            _ => {}
        }
        if sampled.len() >= frames || interrupt.signal().is_some() {
            break;
        }
    }
    match interrupt.signal() {
        None => Ok(sampled),
        Some(_) => Err(PipelineError::new(
            PipelineErrorKind::Interrupted,
            format!("stopped after {} frames", sampled.len()),
        )),
    }
}

fn interrupted(job: &Job<'_>) -> PipelineError {
    let message = format!("stopped after {} frames", job.stages.scored.sequences);
    let error = PipelineError::new(PipelineErrorKind::Interrupted, message);
    match job.journal {
        Some(_) => error.with_hint("the same command goes on from there"),
        None => error,
    }
}

/// Takes the folder's lock and finds what an earlier run left.
fn open_journal(
    predictor: &Predictor,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<Option<Journal>, PipelineError> {
    let options = &predictor.options;
    if !options.journal {
        check_folder(folder, options.force)?;
        return Ok(None);
    }
    let failed = |error| PipelineError::output(&folder.display().to_string(), error);
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let lock = Lock::acquire(folder, interrupt)?;
    // Results that a killed run was just giving their names are that run's own.
    let is_own = Journal::was_finishing(&lock)?;
    check_folder(folder, options.force || is_own)?;
    Journal::open(lock, &predictor.fingerprint, options.resume).map(Some)
}

/// A frame whose answers are there, in the order of the input.
struct Answered {
    frame: Frame,
    /// Both vectors, one behind the other, or why there are none.
    vectors: Result<Vec<f32>, String>,
}

struct Job<'a> {
    predictor: &'a Predictor,
    lane: ClassifierLane,
    writer: Writer,
    journal: Option<Journal>,
    observer: &'a mut dyn Observer,
    waiting: VecDeque<Answered>,
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
            (Item::Unreadable { reason, is_file }, _) => {
                self.score()?;
                self.stages.failed += 1;
                self.writer.fail("", &reason)?;
                self.observer.failure("", &reason);
                if is_file {
                    self.file_problem.get_or_insert(reason);
                }
                Ok(())
            }
            (Item::Known(frame), _) => self.known(frame),
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
                self.waiting.push_back(Answered { frame, vectors });
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
        for answered in &self.waiting {
            if let Ok(vectors) = &answered.vectors {
                block.extend_from_slice(vectors);
            }
        }
        let mut scores = Vec::new();
        self.lane.probabilities(&block, &mut scores)?;
        let mut scores = scores.into_iter();
        while let Some(Answered { frame, vectors }) = self.waiting.pop_front() {
            let result = match vectors {
                Ok(vectors) => Ok(Kept {
                    scores: scores.next().unwrap_or([f32::NAN; 2]),
                    features: match self.writer.saver {
                        Some(_) => vectors,
                        None => Vec::new(),
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
    fn look(&mut self, reading: &Reading, begun: Instant, busy_before: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let stages = &mut self.stages;
        stages.chunks.sequences = reading.chunks.load(Relaxed);
        stages.chunks.tokens = reading.bases.load(Relaxed);
        stages.bytes = reading.bytes.load(Relaxed);
        stages.bytes_total = reading.bytes_total.load(Relaxed);
        stages.elapsed = begun.elapsed();
        let pool = &self.predictor.pool;
        let busy = pool.metrics().busy_nanos.get().saturating_sub(busy_before) as f64;
        let lanes = pool.lanes().len().max(1) as f64;
        stages.busy = (busy / (stages.elapsed.as_nanos().max(1) as f64 * lanes)).min(1.0);
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

/// Both vectors of a frame, one behind the other.
fn vectors(
    predictor: &Predictor,
    nucleotide: Result<Output, RequestError>,
    protein: Result<Output, RequestError>,
) -> Result<Result<Vec<f32>, String>, PipelineError> {
    let mut vectors = Vec::new();
    let kinds = [OutputKind::MeanAll, predictor.protein_output];
    let names = ["nucleotides", "protein"];
    for ((answer, kind), name) in [nucleotide, protein].into_iter().zip(kinds).zip(names) {
        let output = match answer {
            Ok(output) => output,
            Err(error) if error.kind() == RequestErrorKind::NoDevice => {
                return Err(
                    PipelineError::new(PipelineErrorKind::Device, error.to_string())
                        .with_hint("what was finished is kept; the same command goes on"),
                );
            }
            Err(error) => return Ok(Err(format!("{name}: {error}"))),
        };
        let before = vectors.len();
        match output.get(kind) {
            Some(states) if kind == OutputKind::HiddenStates => {
                let layer = predictor.options.esm_layer.unwrap_or_default();
                vectors.extend(mean_of_layer(states, layer));
            }
            Some(vector) => vectors.extend_from_slice(&vector.data),
            None => {}
        }
        let size = predictor.sizes[usize::from(name == "protein")];
        if vectors.len() - before != size {
            return Ok(Err(format!("{name}: the model gave no vector")));
        }
    }
    if vectors.iter().all(|value| value.is_finite()) {
        Ok(Ok(vectors))
    } else {
        Ok(Err(
            "an embedding holds numbers that are not finite".to_owned()
        ))
    }
}

/// The mean over the residues of one layer's vectors: `[layers + 1, tokens, hidden]`, the first and
/// the last token left out.
fn mean_of_layer(states: &HostTensor, layer: usize) -> Vec<f32> {
    let &[layers, tokens, hidden] = states.shape.as_slice() else {
        return Vec::new();
    };
    if layer >= layers || tokens <= 2 {
        return Vec::new();
    }
    let rows = &states.data[layer * tokens * hidden..(layer + 1) * tokens * hidden];
    let mut mean = vec![0.0; hidden];
    for row in rows.chunks_exact(hidden).skip(1).take(tokens - 2) {
        for (sum, &value) in mean.iter_mut().zip(row) {
            *sum += value;
        }
    }
    mean.iter_mut().for_each(|sum| *sum /= (tokens - 2) as f32);
    mean
}

/// All files of a sample.
struct Writer {
    folder: PathBuf,
    results: Results,
    failures: WholeFile,
    shard: Option<ShardTable>,
    saver: Option<Saver>,
}

impl Writer {
    fn create(predictor: &Predictor, folder: &Path) -> Result<Self, PipelineError> {
        let options = &predictor.options;
        let results = Results::create(folder, options.tables, true)?;
        let open = || -> io::Result<_> {
            let mut failures = WholeFile::create_locked(&folder.join(FAILURES), TEMPORARY)?;
            failures.write_all(b"sequence_id\treason\n")?;
            let shard = match options.shard.of {
                1 => None,
                _ => Some(ShardTable::create(folder, options.shard, &predictor.job)?),
            };
            let saver = match options.save_features {
                false => None,
                true => Some(Saver::create(folder, predictor.sizes)?),
            };
            Ok((failures, shard, saver))
        };
        let (failures, shard, saver) =
            open().map_err(|error| PipelineError::output(&folder.display().to_string(), error))?;
        Ok(Writer {
            folder: folder.to_owned(),
            results,
            failures,
            shard,
            saver,
        })
    }

    fn saved_width(&self) -> usize {
        self.saver
            .as_ref()
            .map_or(0, |saver| saver.sizes.iter().sum())
    }

    fn failed(&self, error: io::Error) -> PipelineError {
        PipelineError::output(&self.folder.display().to_string(), error)
    }

    fn write(&mut self, frame: &Frame, kept: &Kept) -> Result<(), PipelineError> {
        self.results.write(FrameScore {
            id: &frame.id,
            scores: kept.scores,
        })?;
        let mut also = || {
            if let Some(shard) = &mut self.shard {
                shard.write(frame, kept.scores)?;
            }
            if let Some(saver) = &mut self.saver {
                saver.push(&frame.id, &kept.features)?;
            }
            Ok(())
        };
        also().map_err(|error| self.failed(error))
    }

    fn fail(&mut self, id: &str, reason: &str) -> Result<(), PipelineError> {
        writeln!(self.failures, "{id}\t{}", reason.replace(['\t', '\n'], " "))
            .map_err(|error| PipelineError::output(&self.folder.display().to_string(), error))
    }

    fn finish(self) -> Result<ResultCounts, PipelineError> {
        let folder = self.folder.display().to_string();
        let rest = || -> io::Result<()> {
            if let Some(saver) = self.saver {
                saver.finish()?;
            }
            self.failures.finish()?;
            match self.shard {
                Some(shard) => shard.finish(),
                None => Ok(()),
            }
        };
        rest().map_err(|error| PipelineError::output(&folder, error))?;
        self.results.finish()
    }
}

/// Vectors in the original's three files, so many frames in each.
struct Saver {
    folder: PathBuf,
    sizes: [usize; 2],
    files: usize,
    ids: Vec<String>,
    vectors: Vec<f32>,
}

impl Saver {
    fn create(results: &Path, sizes: [usize; 2]) -> io::Result<Self> {
        let folder = results.join(SAVED_FOLDER);
        std::fs::create_dir_all(&folder)?;
        Ok(Saver {
            folder,
            sizes,
            files: 0,
            ids: Vec::new(),
            vectors: Vec::new(),
        })
    }

    fn push(&mut self, id: &str, vectors: &[f32]) -> io::Result<()> {
        self.ids.push(id.to_owned());
        self.vectors.extend_from_slice(vectors);
        if self.ids.len() == SAVED_FRAMES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.files += 1;
        let [first, second] = self.sizes;
        let (mut nucleotide, mut protein) = (Vec::new(), Vec::new());
        for row in self.vectors.chunks_exact(first + second) {
            nucleotide.extend_from_slice(&row[..first]);
            protein.extend_from_slice(&row[first..]);
        }
        let rows = |data, width| FeatureRows {
            ids: &self.ids,
            data,
            width,
        };
        let open = |kind: &str| {
            let name = format!("output_{}_{kind}", self.files);
            let file =
                WholeFile::create_locked(&self.folder.join(format!("{name}.pt")), TEMPORARY)?;
            Ok::<_, io::Error>((file, name))
        };
        let (file, name) = open("DNABERT_S")?;
        write_nucleotide(file, &name, rows(&nucleotide, first))?.finish()?;
        let (file, name) = open("ESM")?;
        write_protein(file, &name, rows(&protein, second))?.finish()?;
        let (file, name) = open("merged")?;
        write_merged(file, &name, rows(&self.vectors, first + second), None)?.finish()?;
        self.ids.clear();
        self.vectors.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        self.write()
    }
}
