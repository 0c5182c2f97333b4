//! The engine of every job over files: items in, answers from the pool, results out in the order of
//! the input.
//!
//! ```text
//! reader thread ── Item ──► pool ──► Task::outcome ──► journal ──► Task::sink ──► outputs
//! ```
//!
//! The engine owns what jobs have in common: resuming from the journal, sequences that are
//! identical, failures, progress, interrupts, the order of the last steps. What a job does itself
//! is its [`Task`].

mod failures;
mod items;
mod ledger;
mod read_ahead;
mod row_options;
mod steps;

use std::rc::Rc;
use std::time::Instant;

use sessile_device::{Output, RequestError, RequestErrorKind};
use sessile_runtime::{Pool, PoolRequest};

use crate::census;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::journal::Fingerprint;
use crate::journal::{Entry, InputHash, Journal, JournalOptions, Outcome};
use crate::output::OutputFiles;
use crate::progress::{Busy, Observer, Progress, Stages, Summary};

pub(crate) use failures::FailureList;
pub(crate) use items::{AHEAD, Handover, Items, Reading};
pub(crate) use ledger::Ledger;
pub use read_ahead::stored_bytes;
pub(crate) use read_ahead::{BytesRead, Listener, ReadAhead};
pub(crate) use row_options::JobFiles;
pub use row_options::RowOptions;
use steps::{Step, Steps};

/// What a job does with its items.
pub(crate) trait Task {
    /// What it needs of an item beside what the engine knows of it.
    type Item: Send + 'static;
    /// What the answers of an item come to.
    type Outcome;
    /// What the task says of itself at the end.
    type Report;

    /// What items are, in the plural: records, proteins, articles, frames.
    const UNIT: &'static str;

    /// How the rest of a header can be kept, where identifiers that come twice are told of.
    fn keep_descriptions(&self) -> Option<&'static str> {
        None
    }

    /// What is said of an item whose request number `part`, from 0, has failed.
    fn fault(&self, _: &Item<Self::Item>, _: usize, error: &RequestError) -> String {
        error.to_string()
    }

    /// What the answers to an item's requests come to, or why they come to nothing.
    ///
    /// # Errors
    ///
    /// What ends the job as a whole.
    fn outcome(
        &mut self,
        item: &mut Item<Self::Item>,
        answers: &[Rc<Output>],
    ) -> Result<Result<Self::Outcome, String>, PipelineError>;

    /// The outcome as the journal keeps it.
    fn encode(&self, outcome: &Self::Outcome) -> Vec<u8>;

    /// The same back again; none when the bytes are of no such outcome.
    fn decode(&self, item: &Item<Self::Item>, bytes: &[u8]) -> Option<Self::Outcome>;

    /// Writes an item: its outcome, or that it failed, which the engine has told already.
    ///
    /// # Errors
    ///
    /// When an output cannot be written.
    fn sink(
        &mut self,
        item: Item<Self::Item>,
        outcome: Result<Self::Outcome, String>,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), PipelineError>;

    /// Gives outputs of its own their names; those with rows get theirs afterwards.
    ///
    /// # Errors
    ///
    /// When an output cannot be written.
    fn finish(self, ledger: &mut Ledger<'_>) -> Result<Self::Report, PipelineError>;
}

/// One thing to compute, as a reader hands it over.
pub(crate) struct Item<T> {
    /// Its record's number over all inputs, from 0; none where it is no record's.
    pub(crate) number: Option<u64>,
    /// Its identifier, for the list of failures.
    pub(crate) id: String,
    /// File, number and identifier, for messages.
    pub(crate) place: String,
    /// What the journal knows it by; none when the journal has nothing to keep of it.
    pub(crate) key: Option<Key>,
    /// What is asked of the pool, in order.
    pub(crate) requests: Vec<PoolRequest>,
    /// Why it cannot be computed.
    pub(crate) problem: Option<Problem>,
    /// Whether it counts as one of the job's records.
    pub(crate) is_record: bool,
    pub(crate) content: T,
}

/// What the journal knows an item by.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// A hash of what is computed from.
    pub(crate) input: InputHash,
}

/// What a reader says of a record or a file, without its place and with what to do about it.
pub(crate) fn reason(error: &sessile_seq::Error) -> String {
    match error.hint() {
        Some(hint) => format!("{} ({hint})", error.message()),
        None => error.message().to_owned(),
    }
}

/// Tells a failure as a reader has it.
pub(crate) fn tell_failure(observer: &mut dyn Observer, error: &sessile_seq::Error) {
    let id = error.record_id().unwrap_or_default();
    observer.failure(id, &error.place(), &reason(error));
}

/// Why an item cannot be computed.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) reason: String,
    /// The rest of its file is lost as well.
    pub(crate) is_file: bool,
}

impl Problem {
    /// What is wrong with one record.
    pub(crate) fn of_record(reason: impl Into<String>) -> Self {
        Problem {
            reason: reason.into(),
            is_file: false,
        }
    }

    /// What a reader says; where it is so is [`sessile_seq::Error::place`].
    pub(crate) fn of_reader(error: &sessile_seq::Error) -> Self {
        Problem {
            reason: reason(error),
            is_file: !error.is_record_error(),
        }
    }
}

/// A job that has claimed its outputs and is about to begin.
pub(crate) struct Engine<'a> {
    /// The resident models; none when nothing is asked of one.
    pub(crate) pool: Option<&'a Pool>,
    pub(crate) files: JobFiles,
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) interrupt: &'a Interrupt,
}

/// Opens the journal of outputs that were claimed, and says what an earlier run left in it.
///
/// # Errors
///
/// Those of [`OutputFiles::journal`].
pub(crate) fn open_journal(
    outputs: &mut OutputFiles,
    fingerprint: &Fingerprint,
    options: JournalOptions,
    unit: &str,
    observer: &mut dyn Observer,
) -> Result<Option<Journal>, PipelineError> {
    let journal = outputs.journal(fingerprint, options)?;
    if let Some(journal) = &journal {
        tell_resumed(journal, unit, observer);
    }
    Ok(journal)
}

/// Says what an earlier run left in its journal.
pub(crate) fn tell_resumed(journal: &Journal, unit: &str, observer: &mut dyn Observer) {
    let cut = journal.bytes_cut();
    if cut > 0 {
        observer.note(&format!(
            "the end of {} was incomplete ({cut} bytes); what stood there is computed again",
            journal.path().display(),
        ));
    }
    let known = journal.remaining();
    if known > 0 {
        let known = counted(known, unit);
        observer.note(&format!("resuming after {known} of an earlier run"));
    }
}

/// `1 record`, `2 records`.
fn counted(count: u64, unit: &str) -> String {
    match count {
        1 => format!("1 {}", unit.trim_end_matches('s')),
        _ => format!("{count} {unit}"),
    }
}

impl Engine<'_> {
    /// Computes all items.
    ///
    /// # Errors
    ///
    /// What ends the job as a whole. What was finished until then is kept in the journal, if there
    /// is one, and the same command resumes there.
    pub(crate) fn run<T: Task>(
        self,
        mut task: T,
        items: Items<T::Item>,
    ) -> Result<(Summary, T::Report), PipelineError> {
        let Engine {
            pool,
            files,
            observer,
            interrupt,
        } = self;
        let JobFiles {
            mut journal,
            failures,
            outputs,
        } = files;
        let begun = Instant::now();
        let reading = items.reading();
        let mut ledger = Ledger {
            observer,
            failures,
            outputs,
            record: Some(0),
            progress: Progress::default(),
            residues: 0,
            shared: 0,
            done: 0,
            stages: Stages::default(),
            has_lost_a_file: false,
        };
        let busy = pool.map(Busy::since_now);
        let known = journal.as_ref().map_or(0, Journal::remaining);
        let steps = Steps::new(items, known);
        let mut answers: Answered<'_, T::Item> = match pool {
            Some(pool) => Box::new(pool.in_order(steps).until(interrupt.flag())),
            None => Box::new(steps.map(|(step, _)| (step, None))),
        };
        let mut gathered = Gathered::default();
        let mut outcome = Ok(());
        loop {
            let waiting = Instant::now();
            let Some((step, answer)) = answers.next() else {
                break;
            };
            ledger.stages.waiting += waiting.elapsed();
            let Some(item) = gathered.take(step, answer, &mut ledger) else {
                continue;
            };
            let answered = std::mem::take(&mut gathered);
            outcome = finish_item(&mut task, item, answered, &mut journal, &mut ledger);
            let progress = &mut ledger.progress;
            progress.elapsed = begun.elapsed();
            (progress.bytes_read, progress.bytes_total) = reading.bytes();
            progress.records_read = reading.sent();
            progress.busy = (busy.as_ref()).map_or(0.0, |busy| busy.share(progress.elapsed));
            ledger.observer.progress(&ledger.progress);
            if outcome.is_err() || interrupt.signal().is_some() {
                break;
            }
        }
        drop(answers);
        if outcome.is_err() || interrupt.signal().is_some() {
            // What was computed is kept, whatever ended the job.
            let committed = journal.as_mut().map_or(Ok(()), Journal::commit);
            return Err(match outcome.and(committed) {
                Err(error) if error.kind() != PipelineErrorKind::Interrupted => error,
                _ => interrupted(T::UNIT, &ledger, journal.as_ref()),
            });
        }
        census::tell(&reading.census, task.keep_descriptions(), ledger.observer);
        let report = finish(task, journal, &reading, &mut ledger)?;
        let run = begun.elapsed();
        let metrics = pool.map(|pool| (pool.load_time(), pool.metrics().model_loads.get()));
        let (load, model_loads) = metrics.unwrap_or_default();
        let summary = Summary {
            records: ledger.progress.records,
            failed: ledger.progress.failed,
            resumed: ledger.progress.resumed,
            shared: ledger.shared,
            residues: ledger.residues,
            tokens: ledger.progress.tokens,
            load,
            run,
            model_loads,
            busy: busy.as_ref().map_or(0.0, |busy| busy.share(run)),
            stages: Stages {
                reading: reading.time(),
                computing: (busy.as_ref()).map_or_else(Default::default, Busy::time),
                ..ledger.stages
            },
            generation: None,
        };
        Ok((summary, report))
    }
}

type Answer = Result<Output, RequestError>;

/// The steps of a job in their order, each with the answer to its request where it has one.
type Answered<'a, T> = Box<dyn Iterator<Item = (Step<T>, Option<Answer>)> + 'a>;

/// What the requests of an item brought so far.
#[derive(Default)]
struct Gathered {
    answers: Vec<Rc<Output>>,
    /// The first request that failed.
    failure: Option<(usize, RequestError)>,
    parts: usize,
    is_shared: bool,
}

impl Gathered {
    /// Takes an answer, and gives the item with its last one.
    fn take<T>(
        &mut self,
        step: Step<T>,
        answer: Option<Answer>,
        ledger: &mut Ledger<'_>,
    ) -> Option<Item<T>> {
        if let Some(part) = step.part {
            match part.answer(answer) {
                Some(Ok(answer)) => {
                    self.is_shared |= part.is_shared;
                    if !part.is_shared {
                        ledger.progress.tokens += part.tokens as u64;
                    }
                    self.answers.push(answer);
                }
                Some(Err(error)) => {
                    self.failure.get_or_insert((self.parts, error));
                }
                None => {}
            }
            self.parts += 1;
        }
        step.item
    }
}

/// Gives an item its outcome, from the journal where that has it, and hands it to its sink.
fn finish_item<T: Task>(
    task: &mut T,
    mut item: Item<T::Item>,
    gathered: Gathered,
    journal: &mut Option<Journal>,
    ledger: &mut Ledger<'_>,
) -> Result<(), PipelineError> {
    let begun = Instant::now();
    let earlier = match (&mut *journal, &item.key) {
        (Some(journal), Some(key)) => journal.take(&key.name, key.input)?,
        _ => None,
    };
    ledger.stages.journal += begun.elapsed();
    let outcome = match earlier {
        Some(outcome) => {
            ledger.progress.resumed += 1;
            match outcome {
                Outcome::Failed(reason) => Err(reason),
                Outcome::Done(bytes) => {
                    let outcome = task.decode(&item, &bytes);
                    Ok(outcome.ok_or_else(|| foreign_entry(&item.place))?)
                }
            }
        }
        None => {
            ledger.shared += u64::from(gathered.is_shared);
            let Some(outcome) = computed(task, &mut item, gathered, journal.is_some())? else {
                return Ok(());
            };
            if let (Some(journal), Some(key)) = (&mut *journal, &item.key) {
                let begun = Instant::now();
                journal.append(&Entry {
                    id: key.name.clone(),
                    input: key.input,
                    outcome: match &outcome {
                        Ok(outcome) => Outcome::Done(task.encode(outcome)),
                        Err(reason) => Outcome::Failed(reason.clone()),
                    },
                })?;
                ledger.stages.journal += begun.elapsed();
            }
            outcome
        }
    };
    ledger.progress.records += u64::from(item.is_record);
    ledger.record = item.number;
    match &outcome {
        Ok(_) => ledger.done += u64::from(item.is_record),
        Err(reason) => {
            let is_file = item.problem.as_ref().is_some_and(|problem| problem.is_file);
            ledger.fail(&item.id, &item.place, reason, is_file)?;
        }
    }
    let begun = Instant::now();
    let written = task.sink(item, outcome, ledger);
    ledger.stages.writing += begun.elapsed();
    written
}

/// What an item's answers come to; none when an interrupt has ended it.
fn computed<T: Task>(
    task: &mut T,
    item: &mut Item<T::Item>,
    gathered: Gathered,
    has_journal: bool,
) -> Result<Option<Result<T::Outcome, String>>, PipelineError> {
    if let Some(problem) = &item.problem {
        return Ok(Some(Err(problem.reason.clone())));
    }
    match gathered.failure {
        Some((_, error)) if error.kind() == RequestErrorKind::Cancelled => Ok(None),
        Some((_, error)) if error.kind() == RequestErrorKind::NoDevice => {
            let error = PipelineError::new(PipelineErrorKind::Device, error.to_string());
            Err(match has_journal {
                true => error.with_hint("the same command resumes where this one stopped"),
                false => error,
            })
        }
        Some((part, error)) => Ok(Some(Err(task.fault(item, part, &error)))),
        None => task.outcome(item, &gathered.answers).map(Some),
    }
}

/// A journal's entry that no task of this version has written.
fn foreign_entry(place: &str) -> PipelineError {
    PipelineError::new(
        PipelineErrorKind::Output,
        format!("the journal's entry for {place} was not written by this version"),
    )
    .with_hint("start again with --restart")
}

fn interrupted(unit: &str, ledger: &Ledger<'_>, journal: Option<&Journal>) -> PipelineError {
    let records = ledger.progress.records;
    let error = PipelineError::new(
        PipelineErrorKind::Interrupted,
        format!("interrupted after {}", counted(records, unit)),
    );
    match journal {
        Some(journal) if journal.is_empty() => error,
        Some(journal) => error.with_hint(format!(
            "run the same command again to resume; what is finished is kept in {}",
            journal.path().display()
        )),
        None => error.with_hint("nothing is kept without a journal"),
    }
}

/// The last steps: from the moment the outputs get their names, the journal says whose they are.
fn finish<T: Task>(
    task: T,
    mut journal: Option<Journal>,
    reading: &Reading,
    ledger: &mut Ledger<'_>,
) -> Result<T::Report, PipelineError> {
    if let Some(journal) = &journal {
        journal.check_taken()?;
    }
    if ledger.has_lost_a_file && ledger.done == 0 && !reading.has_others() {
        if let Some(journal) = journal {
            // Nothing in it is worth keeping once the file is right.
            journal.remove()?;
        }
        let message = "no record could be read";
        return Err(PipelineError::new(PipelineErrorKind::Input, message));
    }
    let begun = Instant::now();
    if let Some(journal) = &mut journal {
        journal.finishing()?;
    }
    ledger.stages.journal += begun.elapsed();
    let begun = Instant::now();
    let report = task.finish(ledger)?;
    for note in std::mem::take(&mut ledger.outputs).finish(reading.records())? {
        ledger.note(&note);
    }
    if let Some(failures) = ledger.failures.take() {
        failures.finish()?;
    }
    ledger.stages.writing += begun.elapsed();
    if let Some(journal) = journal {
        journal.remove()?;
    }
    Ok(report)
}
