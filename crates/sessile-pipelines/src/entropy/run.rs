//! A sample: from its records to its files.

mod files;
mod text;
mod waiting;

use std::num::NonZeroUsize;
use std::time::Instant;

use sessile_device::{Output, RequestError, RequestErrorKind};
use sessile_seq::inputs::Census;
use sessile_seq::parallel::map_in_order;

use super::cds::{Finding, SampleCds};
use super::document::Layout;
use super::format::RecordForm;
use super::kept;
use super::sample::Sample;
use super::sources::{Batches, Source};
use super::steps::{Problem, Step, Steps};
use super::writer::RecordWriter;
use super::{Analysis, EntropySummary};
use crate::census;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::failures::FailureList;
use crate::interrupt::Interrupt;
use crate::journal::{Entry, Journal, Outcome};
use crate::progress::{Busy, Observer, Progress};
use crate::shard::Shard;
use crate::three_di::StateModel;
pub(super) use files::prepare;
use files::{claim, writers};
use text::Text;
use waiting::{Waiting, states};

/// Computes a sample.
pub(super) fn run(
    analysis: &Analysis,
    sample: &Sample,
    shard: Shard,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<EntropySummary, PipelineError> {
    let sources = Source::of(sample)?;
    let options = &analysis.options;
    let (files, journal) = claim(analysis, sample, shard, interrupt)?;
    let known = journal.as_ref().map_or(0, Journal::remaining);
    if known > 0 {
        observer.note(&format!(
            "going on after {known} proteins of an earlier run"
        ));
    }
    let failures = match &sample.failures {
        Some(path) => Some(FailureList::new(
            path,
            files.open_one(path, journal.as_ref())?,
        )),
        None => None,
    };
    let mut job = Job {
        layout: &analysis.layout,
        writers: writers(analysis, sample, shard, &files, journal.as_ref())?,
        failures,
        journal,
        observer,
        summary: EntropySummary::default(),
        progress: Progress::default(),
        file_problem: None,
        begun: Instant::now(),
        busy: analysis.pool().map(Busy::since_now),
    };
    let annotated = Census::default();
    let cds = SampleCds::collect(
        sample,
        options.schema,
        options.code,
        &annotated,
        |place, reason| job.fail("", place, reason),
    )?;
    census::tell(&annotated, None, job.observer);
    let finding = Finding {
        code: options.code,
        shortest: options.shortest,
        cds,
    };
    let batches = Batches::start(sources, shard, interrupt)?;
    let met = batches.census();
    let outcome = match &analysis.model {
        None => job.without_model(batches, &finding, threads(analysis)),
        Some(model) => job.with_model(model, batches, &finding, known, interrupt),
    };
    // What was computed is kept, whatever ended the run.
    let committed = job.journal.as_mut().map_or(Ok(()), Journal::commit);
    outcome.and(committed)?;
    if interrupt.signal().is_some() {
        return Err(job.interrupted());
    }
    census::tell(&met, None, job.observer);
    // A part meets its own sequences only.
    if shard.of == 1 {
        job.unmatched(&finding)?;
    }
    job.finish()
}

fn threads(analysis: &Analysis) -> NonZeroUsize {
    let asked = analysis.options.pool.threads.and_then(NonZeroUsize::new);
    asked
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

struct Job<'a> {
    layout: &'a Layout,
    writers: Vec<RecordWriter>,
    failures: Option<FailureList>,
    journal: Option<Journal>,
    observer: &'a mut dyn Observer,
    summary: EntropySummary,
    progress: Progress,
    file_problem: Option<String>,
    begun: Instant,
    busy: Option<Busy<'a>>,
}

impl Job<'_> {
    fn forms(&self) -> Vec<RecordForm> {
        let forms = self.writers.iter().map(|writer| writer.format().form);
        forms.collect()
    }

    /// Records on several threads, from their letters to their text.
    fn without_model(
        &mut self,
        batches: Batches,
        finding: &Finding,
        threads: NonZeroUsize,
    ) -> Result<(), PipelineError> {
        let (forms, layout) = (self.forms(), self.layout);
        let bytes = batches.bytes();
        let work = || {
            |batch: Vec<_>| -> Vec<Text> {
                let prepared = batch.into_iter().map(|read| finding.prepare(read));
                prepared
                    .map(|prepared| Text::of(prepared, &forms, layout))
                    .collect()
            }
        };
        map_in_order(batches, threads, work, |texts| {
            for text in texts {
                self.write(text)?;
                self.tell(bytes.get());
            }
            Ok(())
        })
    }

    /// Records one after the other, their proteins through the pool.
    fn with_model(
        &mut self,
        model: &StateModel,
        batches: Batches,
        finding: &Finding,
        known: u64,
        interrupt: &Interrupt,
    ) -> Result<(), PipelineError> {
        let forms = self.forms();
        let bytes = batches.bytes();
        let steps = Steps::new(batches, finding, model, known, interrupt);
        let mut current: Option<Waiting> = None;
        for (step, answer) in model.pool().in_order(steps).until(interrupt.flag()) {
            match step {
                Step::Begin(prepared) => current = Some(Waiting::new(prepared)),
                Step::Protein {
                    index,
                    tokens,
                    problem,
                } => {
                    if let Some(waiting) = &mut current {
                        self.protein(model, waiting, index, problem, answer)?;
                    }
                    self.progress.tokens += tokens as u64;
                }
                Step::End => {
                    if let Some(waiting) = current.take() {
                        let text = Text::of(waiting.finished(), &forms, self.layout);
                        self.write(text)?;
                    }
                }
            }
            self.tell(bytes.get());
            if interrupt.signal().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// The states of a protein, from the journal where that has them.
    fn protein(
        &mut self,
        model: &StateModel,
        waiting: &mut Waiting,
        index: usize,
        problem: Option<Problem>,
        answer: Option<Result<Output, RequestError>>,
    ) -> Result<(), PipelineError> {
        let Ok(genome) = &waiting.prepared.genome else {
            return Ok(());
        };
        let Some(orf) = genome.orf(index) else {
            return Ok(());
        };
        let name = kept::name(&orf);
        let input = kept::input(&orf);
        let earlier = match &mut self.journal {
            Some(journal) => journal.take(&name, input)?,
            None => None,
        };
        let outcome = match earlier {
            Some(outcome) => {
                self.summary.resumed += 1;
                outcome
            }
            None => {
                let outcome = match (problem, answer) {
                    (Some(problem), _) => Outcome::Failed(problem),
                    (None, Some(Ok(output))) => {
                        let encoded = model.encoded(&output, orf.residues().len());
                        Outcome::Done(kept::to_bytes(&states(encoded)))
                    }
                    (None, Some(Err(error))) if error.kind() == RequestErrorKind::NoDevice => {
                        return Err(self.without_device(&error));
                    }
                    (None, Some(Err(error))) => Outcome::Failed(error.to_string()),
                    // Without an answer the pool has ended, which an interrupt explains.
                    (None, None) => return Ok(()),
                };
                if let Some(journal) = &mut self.journal {
                    journal.append(&Entry {
                        id: name,
                        input,
                        outcome: outcome.clone(),
                    })?;
                }
                outcome
            }
        };
        match outcome {
            Outcome::Done(bytes) => {
                let states = kept::from_bytes(&bytes)?;
                waiting.states.push((index, states));
                Ok(())
            }
            Outcome::Failed(reason) => {
                let reason = format!("{}: {reason}", orf.id());
                let (id, place) = (waiting.prepared.id.clone(), waiting.prepared.place.clone());
                self.fail(&id, &place, &reason)
            }
        }
    }

    fn without_device(&self, error: &RequestError) -> PipelineError {
        let error = PipelineError::new(PipelineErrorKind::Device, error.to_string());
        match self.journal {
            Some(_) => error.with_hint("the same command goes on where this one stopped"),
            None => error,
        }
    }

    fn fail(&mut self, id: &str, place: &str, reason: &str) -> Result<(), PipelineError> {
        self.summary.failed += 1;
        self.observer.failure(place, reason);
        match &mut self.failures {
            Some(failures) => failures.push(id, place, reason),
            None => Ok(()),
        }
    }

    fn write(&mut self, text: Text) -> Result<(), PipelineError> {
        self.summary.records += 1;
        for issue in &text.issues {
            self.fail(&text.id, &text.place, issue)?;
        }
        match text.outcome {
            Ok(written) => {
                self.summary.written += 1;
                self.summary.orfs += written.orfs;
                self.summary.residues += written.residues;
                self.summary.in_genbank += written.in_genbank;
                for (writer, form) in self.writers.iter_mut().zip(&written.forms) {
                    writer.write(text.number, form)?;
                }
                Ok(())
            }
            Err(lost) => {
                self.fail(&text.id, &text.place, &lost.reason)?;
                if lost.is_file {
                    self.file_problem
                        .get_or_insert_with(|| match text.place.as_str() {
                            "" => lost.reason,
                            place => format!("{place}: {}", lost.reason),
                        });
                }
                Ok(())
            }
        }
    }

    fn tell(&mut self, (read, total): (u64, u64)) {
        self.progress.records = self.summary.records;
        self.progress.failed = self.summary.failed;
        self.progress.resumed = self.summary.resumed;
        self.progress.bytes_read = read;
        self.progress.bytes_total = total;
        self.progress.elapsed = self.begun.elapsed();
        let elapsed = self.progress.elapsed;
        self.progress.busy = self.busy.as_ref().map_or(0.0, |busy| busy.share(elapsed));
        self.observer.progress(&self.progress);
    }

    /// GenBank records that stand beside FASTA give coding sequences, no sequences: what has no
    /// sequence must not go unseen.
    fn unmatched(&mut self, finding: &Finding) -> Result<(), PipelineError> {
        let (unmatched, some_matched) = finding.unmatched();
        if !some_matched {
            for (file, id) in unmatched {
                let reason = "no FASTA record has its name, and beside FASTA a GenBank file gives \
                              coding sequences only; give it without FASTA to have it computed";
                self.fail(&id, &format!("{file}: {id}"), reason)?;
            }
        } else if let Some((file, first)) = unmatched.first() {
            let others = match unmatched.len() - 1 {
                0 => String::new(),
                others => format!(" and {others} others"),
            };
            self.observer.note(&format!(
                "{file}: {first}{others} have no FASTA record of their name and are not in the \
                 results"
            ));
        }
        Ok(())
    }

    fn interrupted(&self) -> PipelineError {
        let message = format!("stopped after {} records", self.summary.records);
        let error = PipelineError::new(PipelineErrorKind::Interrupted, message);
        // Only what a model says is kept: the rest is found again in seconds.
        match (&self.journal, &self.busy) {
            (Some(_), Some(_)) => error.with_hint("run the same command again to go on"),
            _ => error.with_hint("the same command begins anew: without a model nothing is kept"),
        }
    }

    fn finish(mut self) -> Result<EntropySummary, PipelineError> {
        if let Some(journal) = &self.journal {
            journal.check_taken()?;
        }
        if let Some(problem) = self.file_problem.take()
            && self.summary.written == 0
        {
            if let Some(journal) = self.journal {
                // Nothing in it is worth going on with once the file is right.
                journal.remove()?;
            }
            return Err(PipelineError::new(PipelineErrorKind::Input, problem));
        }
        if let Some(journal) = &mut self.journal {
            journal.finishing()?;
        }
        for writer in self.writers {
            writer.finish()?;
        }
        if let Some(failures) = self.failures {
            failures.finish()?;
        }
        if let Some(journal) = self.journal {
            journal.remove()?;
        }
        self.summary.run = self.begun.elapsed();
        self.summary.tokens = self.progress.tokens;
        self.summary.busy = self.progress.busy;
        Ok(self.summary)
    }
}
