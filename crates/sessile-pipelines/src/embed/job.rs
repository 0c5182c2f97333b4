//! The loop of a job: answers in, rows out, in the order of the records.

use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use sessile_device::{Output, RequestError, RequestErrorKind};
use sessile_runtime::Pool;

use super::long::Long;
use super::records::{Reading, RecordInfo};
use super::requests::{Item, Part, Requests};
use super::rows;
use crate::census;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::failures::FailureList;
use crate::interrupt::Interrupt;
use crate::journal::{Entry, Journal, Outcome};
use crate::output::{Cell, OutputName, Outputs, Row, Schema};
use crate::progress::{Busy, Observer, Progress, Stages, Summary};

pub(super) struct Job<'a> {
    pub(super) names: &'a [OutputName],
    pub(super) long: Long,
    pub(super) with_description: bool,
    pub(super) schema: Schema,
    pub(super) pool: &'a Pool,
    pub(super) journal: Option<Journal>,
    pub(super) outputs: Outputs,
    pub(super) failures: Option<FailureList>,
    pub(super) reading: Reading,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) interrupt: &'a Interrupt,
}

/// What the parts of a record brought so far.
#[derive(Default)]
struct Gathered {
    answers: Vec<(Rc<Output>, Option<Range<usize>>)>,
    failure: Option<RequestError>,
    is_shared: bool,
}

/// Counts and clocks.
struct Tally<'a> {
    begun: Instant,
    busy: Busy<'a>,
    progress: Progress,
    residues: u64,
    shared: u64,
    stages: Stages,
    file_problem: Option<String>,
    /// Whether it was said that bases were given to a model of proteins.
    told_of_bases: bool,
}

impl Job<'_> {
    pub(super) fn run(mut self, requests: Requests) -> Result<Summary, PipelineError> {
        let mut tally = Tally {
            begun: Instant::now(),
            busy: Busy::since_now(self.pool),
            progress: Progress::default(),
            residues: 0,
            shared: 0,
            stages: Stages::default(),
            file_problem: None,
            told_of_bases: false,
        };
        let mut gathered = Gathered::default();
        let mut answers = self.pool.in_order(requests).until(self.interrupt.flag());
        loop {
            let waiting = Instant::now();
            let Some((Item { record, part }, answer)) = answers.next() else {
                break;
            };
            tally.stages.waiting += waiting.elapsed();
            if let Some(part) = part {
                gathered.add(part, answer, &mut tally);
            }
            if let Some(record) = record {
                self.finish_record(&record, std::mem::take(&mut gathered), &mut tally)?;
                self.tell(&mut tally);
            }
            if self.interrupt.signal().is_some() {
                break;
            }
        }
        drop(answers);
        if self.interrupt.signal().is_some() {
            return Err(self.interrupted(&tally));
        }
        self.finish(tally)
    }

    /// Gives a record its row or its failure, from the journal where that has it.
    fn finish_record(
        &mut self,
        record: &RecordInfo,
        gathered: Gathered,
        tally: &mut Tally<'_>,
    ) -> Result<(), PipelineError> {
        if record.looks_nucleic && !tally.told_of_bases {
            tally.told_of_bases = true;
            self.observer.note(&format!(
                "{}: these letters are bases (A, C, G, T, N), and the model reads proteins",
                record.place
            ));
        }
        let earlier = match &mut self.journal {
            Some(journal) => {
                let begun = Instant::now();
                let earlier = journal.take(&record.id, record.hash)?;
                tally.stages.journal += begun.elapsed();
                earlier
            }
            None => None,
        };
        let result = match earlier {
            Some(outcome) => {
                tally.progress.resumed += 1;
                self.row_of_journal(record, outcome)?
            }
            None => {
                tally.shared += u64::from(gathered.is_shared);
                let result = self.computed(record, gathered)?;
                self.append(record, &result, tally)?;
                result
            }
        };
        match result {
            Ok(row) => {
                let begun = Instant::now();
                self.outputs.write(&row)?;
                tally.stages.writing += begun.elapsed();
                tally.residues += record.length;
            }
            Err(reason) => {
                tally.progress.failed += 1;
                self.observer.failure(&record.place, &reason);
                if let Some(failures) = &mut self.failures {
                    failures.push(&record.id, &record.place, &reason)?;
                }
                if record.is_file_problem {
                    tally.file_problem.get_or_insert(reason);
                }
            }
        }
        tally.progress.records += 1;
        Ok(())
    }

    fn row_of_journal(
        &self,
        record: &RecordInfo,
        outcome: Outcome,
    ) -> Result<Result<Row, String>, PipelineError> {
        match outcome {
            Outcome::Failed(reason) => Ok(Err(reason)),
            Outcome::Done(bytes) => Row::from_bytes(record.id.clone(), &bytes, &self.schema)
                .map(|mut row| {
                    // The journal knows a record by its identifier and sequence.
                    if let Some(cell) = row.cells.first_mut().filter(|_| self.with_description) {
                        *cell = Cell::Text(record.description.clone());
                    }
                    Ok(row)
                })
                .ok_or_else(|| {
                    PipelineError::new(
                        PipelineErrorKind::Output,
                        format!(
                            "the journal's row of {} is not one of this job",
                            record.place
                        ),
                    )
                    .with_hint("begin anew with --restart")
                }),
        }
    }

    fn computed(
        &self,
        record: &RecordInfo,
        gathered: Gathered,
    ) -> Result<Result<Row, String>, PipelineError> {
        if let Some(problem) = &record.problem {
            return Ok(Err(problem.clone()));
        }
        if let Some(error) = gathered.failure {
            if error.kind() == RequestErrorKind::NoDevice {
                let error = PipelineError::new(PipelineErrorKind::Device, error.to_string());
                return Err(match self.journal {
                    Some(_) => error.with_hint("the same command goes on where this one stopped"),
                    None => error,
                });
            }
            return Ok(Err(error.to_string()));
        }
        Ok(rows::row(
            record,
            self.names,
            self.long,
            self.with_description,
            &gathered.answers,
        ))
    }

    fn append(
        &mut self,
        record: &RecordInfo,
        result: &Result<Row, String>,
        tally: &mut Tally<'_>,
    ) -> Result<(), PipelineError> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        let begun = Instant::now();
        journal.append(&Entry {
            id: record.id.clone(),
            input: record.hash,
            outcome: match result {
                Ok(row) => Outcome::Done(row.to_bytes()),
                Err(reason) => Outcome::Failed(reason.clone()),
            },
        })?;
        tally.stages.journal += begun.elapsed();
        Ok(())
    }

    fn tell(&mut self, tally: &mut Tally<'_>) {
        let progress = &mut tally.progress;
        progress.elapsed = tally.begun.elapsed();
        (progress.bytes_read, progress.bytes_total) = self.reading.bytes();
        progress.busy = tally.busy.share(progress.elapsed);
        self.observer.progress(progress);
    }

    fn interrupted(mut self, tally: &Tally<'_>) -> PipelineError {
        let records = tally.progress.records;
        let error = PipelineError::new(
            PipelineErrorKind::Interrupted,
            format!("stopped after {records} records"),
        );
        let Some(journal) = &mut self.journal else {
            return error;
        };
        match journal.commit() {
            Ok(()) => error.with_hint(format!(
                "run the same command again to go on; what is finished lies in {}",
                journal.path().display()
            )),
            Err(error) => error,
        }
    }

    fn finish(mut self, mut tally: Tally<'_>) -> Result<Summary, PipelineError> {
        if let Some(journal) = &self.journal {
            journal.check_taken()?;
        }
        let progress = &tally.progress;
        if let Some(problem) = tally.file_problem.take()
            && progress.failed == progress.records
        {
            if let Some(journal) = self.journal {
                // Nothing in it is worth going on with once the file is right.
                journal.remove()?;
            }
            return Err(PipelineError::new(PipelineErrorKind::Input, problem));
        }
        let begun = Instant::now();
        if let Some(journal) = &mut self.journal {
            journal.finishing()?;
        }
        tally.stages.journal += begun.elapsed();
        let begun = Instant::now();
        let keep = (!self.with_description).then_some(census::KEEP);
        census::tell(self.reading.census(), keep, self.observer);
        for note in self.outputs.finish()? {
            self.observer.note(&note);
        }
        if let Some(failures) = self.failures {
            failures.finish()?;
        }
        tally.stages.writing += begun.elapsed();
        if let Some(journal) = self.journal {
            journal.remove()?;
        }
        let run = tally.begun.elapsed();
        let metrics = self.pool.metrics();
        Ok(Summary {
            records: tally.progress.records,
            failed: tally.progress.failed,
            resumed: tally.progress.resumed,
            shared: tally.shared,
            residues: tally.residues,
            tokens: tally.progress.tokens,
            load: self.pool.load_time(),
            run,
            model_loads: metrics.model_loads.get(),
            busy: tally.busy.share(run),
            stages: Stages {
                reading: self.reading.time(),
                computing: tally.busy.time(),
                ..tally.stages
            },
            generation: None,
        })
    }
}

impl Gathered {
    fn add(
        &mut self,
        part: Part,
        answer: Option<Result<Output, RequestError>>,
        tally: &mut Tally<'_>,
    ) {
        match part.answer(answer) {
            Some(Ok(answer)) => {
                if part.is_shared {
                    self.is_shared = true;
                } else {
                    tally.progress.tokens += part.tokens as u64;
                }
                self.answers.push((answer, part.window));
            }
            Some(Err(error)) => self.failure = Some(error),
            None => {}
        }
    }
}
