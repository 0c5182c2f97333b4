//! The loop of the job: answers in, rows out, in the order of the proteins.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use sessile_device::{Output, RequestError, RequestErrorKind};
use sessile_seq::inputs::{self, Input};

use super::model::{Identity, StateModel};
use super::proteins::{Protein, Proteins};
use super::{Encoded, StateFiles, ThreeDiOptions};
use crate::census;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::failures::FailureList;
use crate::interrupt::Interrupt;
use crate::journal::{Entry, Fingerprint, InputHash, Journal, Outcome};
use crate::output::{Destination, JSON_LINES, OutputFiles, Sources, check_ending};
use crate::progress::{Busy, Observer, Progress, Summary};

pub(super) fn run(
    files: StateFiles,
    options: &ThreeDiOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Summary, PipelineError> {
    check_method(files.has_probabilities(), options)?;
    let (inputs, mut outputs) = prepare(options, files.files())?;
    outputs.claim(options.journal, interrupt)?;
    let identity = match options.journal {
        true => Some(Identity::of(&files)?),
        false => None,
    };
    let model = StateModel::load(files, &options.pool, observer)?;
    let journal = match identity {
        None => None,
        Some(identity) => {
            let fingerprint = Fingerprint::new("entropy encode3di");
            let fingerprint = identity.mark(fingerprint, model.pool());
            outputs.journal(&fingerprint, options.resume)?
        }
    };
    let known = journal.as_ref().map_or(0, Journal::remaining);
    if known > 0 {
        observer.note(&format!(
            "going on after {known} proteins of an earlier run"
        ));
    }
    let open = |path: &Path| Rows::open(&outputs, path, journal.as_ref());
    let out = open(&options.output)?;
    let fasta = options.fasta.as_deref().map(open).transpose()?;
    let failures = match &options.failures {
        Some(path) => Some(FailureList::new(
            path,
            outputs.open_one(path, journal.as_ref())?,
        )),
        None => None,
    };
    let job = Job {
        options,
        model: &model,
        out,
        fasta,
        failures,
        journal,
        observer,
        progress: Progress::default(),
        residues: 0,
        file_problem: None,
    };
    job.run(Proteins::start(inputs, interrupt)?, known, interrupt)
}

/// Refuses what is wrong with the options, the inputs or the outputs, before a model is fetched.
pub(super) fn check(
    options: &ThreeDiOptions,
    has_probabilities: bool,
) -> Result<(), PipelineError> {
    check_method(has_probabilities, options)?;
    prepare(options, Vec::new()).map(drop)
}

fn prepare(
    options: &ThreeDiOptions,
    model: Vec<PathBuf>,
) -> Result<(Vec<Input>, OutputFiles), PipelineError> {
    let mut paths = vec![options.output.clone()];
    paths.extend(options.fasta.clone());
    let mut outputs = OutputFiles::plain(&paths, options.force)?;
    if let Some(path) = &options.failures {
        outputs.accompany(path)?;
    }
    check_ending(&options.output, JSON_LINES)?;
    let inputs = inputs::expand(&options.inputs, inputs::Format::Fasta)?;
    let sources = Sources::default().with_inputs(&inputs).with_model(model);
    outputs.check_sources(&sources, options.journal)?;
    Ok((inputs, outputs))
}

fn check_method(has_probabilities: bool, options: &ThreeDiOptions) -> Result<(), PipelineError> {
    if !has_probabilities && (options.probabilities || options.mask_below.is_some()) {
        return Err(PipelineError::new(
            PipelineErrorKind::Usage,
            "states that are written one after the other have no probabilities",
        )
        .with_hint("leave --probabilities and --mask-below out, or use --method head"));
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

/// An output with its name for messages.
struct Rows {
    name: String,
    out: Destination,
}

impl Rows {
    fn open(
        outputs: &OutputFiles,
        path: &Path,
        journal: Option<&Journal>,
    ) -> Result<Self, PipelineError> {
        Ok(Rows {
            name: path.display().to_string(),
            out: outputs.open_one(path, journal)?,
        })
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut Destination) -> io::Result<()>,
    ) -> Result<(), PipelineError> {
        write(&mut self.out).map_err(|error| PipelineError::output(&self.name, error))
    }

    fn finish(self) -> Result<(), PipelineError> {
        let finished = self.out.finish();
        finished.map_err(|error| PipelineError::output(&self.name, error))
    }
}

struct Job<'a> {
    options: &'a ThreeDiOptions,
    model: &'a StateModel,
    out: Rows,
    fasta: Option<Rows>,
    failures: Option<FailureList>,
    journal: Option<Journal>,
    observer: &'a mut dyn Observer,
    progress: Progress,
    residues: u64,
    file_problem: Option<String>,
}

impl Job<'_> {
    fn run(
        mut self,
        proteins: Proteins,
        known: u64,
        interrupt: &Interrupt,
    ) -> Result<Summary, PipelineError> {
        let model = self.model;
        let pool = model.pool();
        let begun = Instant::now();
        let busy = Busy::since_now(pool);
        let bytes = proteins.bytes();
        let met = proteins.census();
        let mut left = known;
        let requests = proteins.map(|protein| {
            // What the journal has need not be computed.
            let is_known = left > 0;
            left = left.saturating_sub(1);
            let request = match &protein.problem {
                Some(problem) => Err(problem.clone()),
                None if is_known => Ok(None),
                None => model.request(&protein.residues).map(Some),
            };
            let (problem, request) = match request {
                Ok(request) => (None, request),
                Err(problem) => (Some(problem), None),
            };
            let tokens = request.as_ref().map_or(0, |request| request.tokens.len());
            ((protein, problem, tokens), request)
        });
        for ((protein, problem, tokens), answer) in pool.in_order(requests).until(interrupt.flag())
        {
            self.take(&protein, problem, answer)?;
            self.progress.tokens += tokens as u64;
            self.progress.elapsed = begun.elapsed();
            (self.progress.bytes_read, self.progress.bytes_total) = bytes.get();
            self.observer.progress(&self.progress);
            if interrupt.signal().is_some() {
                break;
            }
        }
        if interrupt.signal().is_some() {
            return Err(self.interrupted());
        }
        let keep = (!self.options.with_description).then_some(census::KEEP);
        census::tell(&met, keep, self.observer);
        let mut summary = self.finish()?;
        summary.run = begun.elapsed();
        summary.load = pool.load_time();
        summary.model_loads = pool.metrics().model_loads.get();
        summary.busy = busy.share(summary.run);
        Ok(summary)
    }

    /// Gives a protein its row or its failure, from the journal where that has it.
    fn take(
        &mut self,
        protein: &Protein,
        problem: Option<String>,
        answer: Option<Result<Output, RequestError>>,
    ) -> Result<(), PipelineError> {
        let input = match &protein.problem {
            Some(problem) => InputHash::of(problem.as_bytes()),
            None => InputHash::of(&protein.residues),
        };
        let earlier = match &mut self.journal {
            Some(journal) => journal.take(&protein.id, input)?,
            None => None,
        };
        let result = match earlier {
            Some(outcome) => {
                self.progress.resumed += 1;
                match outcome {
                    Outcome::Done(bytes) => Ok(Encoded::from_bytes(&bytes)?),
                    Outcome::Failed(reason) => Err(reason),
                }
            }
            None => {
                let Some(result) = self.computed(protein, problem, answer)? else {
                    return Ok(());
                };
                if let Some(journal) = &mut self.journal {
                    journal.append(&Entry {
                        id: protein.id.clone(),
                        input,
                        outcome: match &result {
                            Ok(encoded) => Outcome::Done(encoded.to_bytes()),
                            Err(reason) => Outcome::Failed(reason.clone()),
                        },
                    })?;
                }
                result
            }
        };
        self.progress.records += 1;
        match result {
            Ok(encoded) => self.write(protein, &encoded),
            Err(reason) => self.fail(protein, reason),
        }
    }

    /// The states or what is wrong with the protein; `None` when the pool has ended.
    fn computed(
        &mut self,
        protein: &Protein,
        problem: Option<String>,
        answer: Option<Result<Output, RequestError>>,
    ) -> Result<Option<Result<Encoded, String>>, PipelineError> {
        let answer = match (problem, answer) {
            (Some(problem), _) => return Ok(Some(Err(problem))),
            (None, Some(answer)) => answer,
            (None, None) => return Ok(None),
        };
        match answer {
            Ok(output) => {
                let residues = protein.residues.len();
                Ok(Some(Ok(self.model.encoded(&output, residues))))
            }
            Err(error) if error.kind() == RequestErrorKind::NoDevice => {
                let error = PipelineError::new(PipelineErrorKind::Device, error.to_string());
                Err(match self.journal {
                    Some(_) => error.with_hint("the same command goes on where this one stopped"),
                    None => error,
                })
            }
            Err(error) => Ok(Some(Err(error.to_string()))),
        }
    }

    fn write(&mut self, protein: &Protein, encoded: &Encoded) -> Result<(), PipelineError> {
        let options = self.options;
        let mut row = encoded.row(&protein.id, options.mask_below, options.probabilities);
        row.description = options.with_description.then_some(&*protein.description);
        self.out.write(|out| {
            serde_json::to_writer(&mut *out, &row)?;
            out.write_all(b"\n")
        })?;
        if let Some(fasta) = &mut self.fasta {
            fasta.write(|out| writeln!(out, ">{}\n{}", protein.id, row.three_di))?;
        }
        self.residues += protein.residues.len() as u64;
        Ok(())
    }

    fn fail(&mut self, protein: &Protein, reason: String) -> Result<(), PipelineError> {
        self.progress.failed += 1;
        self.observer.failure(&protein.place, &reason);
        if let Some(failures) = &mut self.failures {
            failures.push(&protein.id, &protein.place, &reason)?;
        }
        if protein.is_file_problem {
            self.file_problem.get_or_insert(reason);
        }
        Ok(())
    }

    fn interrupted(mut self) -> PipelineError {
        let message = format!("stopped after {} proteins", self.progress.records);
        let error = PipelineError::new(PipelineErrorKind::Interrupted, message);
        match self.journal.as_mut().map(Journal::commit) {
            None => error,
            Some(Ok(())) => error.with_hint("run the same command again to go on"),
            Some(Err(error)) => error,
        }
    }

    fn finish(mut self) -> Result<Summary, PipelineError> {
        if let Some(journal) = &self.journal {
            journal.check_taken()?;
        }
        if let Some(problem) = self.file_problem.take()
            && self.progress.failed == self.progress.records
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
        self.out.finish()?;
        self.fasta.map(Rows::finish).transpose()?;
        self.failures.map(FailureList::finish).transpose()?;
        if let Some(journal) = self.journal {
            journal.remove()?;
        }
        Ok(Summary {
            records: self.progress.records,
            failed: self.progress.failed,
            resumed: self.progress.resumed,
            residues: self.residues,
            tokens: self.progress.tokens,
            ..Summary::default()
        })
    }
}
