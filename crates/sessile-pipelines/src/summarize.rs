//! Summaries of articles: JSON Lines or text files in, a line for every article out.
//!
//! The rows keep the order and the other fields of the input. An article that can not be
//! summarised has its row too, with the reason in `error`, and costs nothing else.

mod articles;
pub mod environment;
mod parts;
mod requests;
mod row;

use std::io::Write;
use std::path::PathBuf;
use std::slice;
use std::time::Instant;

use sessile_device::{GenerationSettings, Output, RequestError, RequestErrorKind};
use sessile_models::{GeneratorArchitecture, GeneratorFiles};
use sessile_runtime::{GeneratorOptions, GeneratorPool, Pending};
use sessile_seq::inputs::Census;

use crate::error::{PipelineError, PipelineErrorKind};
use crate::failures::FailureList;
use crate::interrupt::Interrupt;
use crate::journal::{Entry, Fingerprint, InputHash, Journal, JournalOptions, Outcome};
use crate::output::{Destination, JSON_LINES, OutputFiles, Sources, check_ending};
use crate::progress::{Observer, Progress, Stages, Summary, note_devices};
use articles::Article;
use requests::{Answer, InFlight, Way, prepare, request};
use row::Written;

/// What becomes of articles that are longer than the model reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LongArticle {
    /// They are an error.
    #[default]
    Fail,
    /// Their beginning is read, and the row says so.
    Truncate,
    /// They are cut into parts that are summarised, and the parts' summaries are summarised; the
    /// row says of how many parts.
    MapReduce,
}

impl std::str::FromStr for LongArticle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fail" => Ok(LongArticle::Fail),
            "truncate" => Ok(LongArticle::Truncate),
            "map-reduce" => Ok(LongArticle::MapReduce),
            other => Err(format!(
                "`{other}` is none of fail, truncate and map-reduce"
            )),
        }
    }
}

impl std::fmt::Display for LongArticle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LongArticle::Fail => "fail",
            LongArticle::Truncate => "truncate",
            LongArticle::MapReduce => "map-reduce",
        })
    }
}

/// What to summarise and where to put it.
#[derive(Clone, Debug)]
pub struct SummarizeOptions {
    /// Files of JSON Lines (`.jsonl`, `.ndjson`, `.json`), text files (an article each), or `-`
    /// for JSON Lines on standard input.
    pub inputs: Vec<PathBuf>,
    /// The file of JSON Lines to write, or `-`.
    pub output: PathBuf,
    /// The field that holds the article.
    pub text_field: String,
    /// Whether rows have `token_ids`.
    pub with_ids: bool,
    /// What becomes of articles that are too long.
    pub long: LongArticle,
    /// A file for the list of articles without a summary.
    pub failures: Option<PathBuf>,
    /// Write over an output that exists.
    pub force: bool,
    /// Keep a journal beside the output, and go on where an earlier run stopped.
    pub journal: bool,
    /// How an earlier run's journal is gone on with.
    pub resume: JournalOptions,
    /// How to write.
    pub settings: GenerationSettings,
    /// Devices and memory; its settings are replaced by those above.
    pub pool: GeneratorOptions,
}

/// Summarises every article of the inputs.
///
/// # Errors
///
/// What ends the job as a whole; articles that fail are counted in the [`Summary`] and told to the
/// observer.
pub fn run(
    files: &GeneratorFiles,
    options: &SummarizeOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Summary, PipelineError> {
    if !matches!(files.architecture(), GeneratorArchitecture::Bart(_)) {
        return Err(PipelineError::new(
            PipelineErrorKind::Model,
            format!("{} does not write summaries", files.name()),
        )
        .with_hint("use a BART model; ProstT5 is for `sessile entropy encode3di`"));
    }
    let mut outputs = checked(options, files.files())?;
    outputs.claim(options.journal, interrupt)?;
    let name = options.output.display().to_string();
    let generator = GeneratorPool::new(
        files,
        &GeneratorOptions {
            settings: options.settings.clone(),
            ..options.pool.clone()
        },
    )?;
    note_devices(observer, &options.pool.devices, &generator.pool);
    let journal = match options.journal {
        false => None,
        true => {
            let fingerprint = fingerprint(files, options, &generator)?;
            outputs.journal(&fingerprint, options.resume)?
        }
    };
    let finished = journal.as_ref().map_or(0, Journal::remaining);
    if finished > 0 {
        observer.note(&format!(
            "going on after {finished} articles of an earlier run"
        ));
    }
    let out = outputs.open_one(&options.output, journal.as_ref())?;
    let failures = match &options.failures {
        Some(path) => Some(FailureList::new(
            path,
            outputs.open_one(path, journal.as_ref())?,
        )),
        None => None,
    };
    Job {
        files,
        options,
        generator: &generator,
        journal,
        out,
        failures,
        name: &name,
        observer,
        interrupt,
    }
    .run(finished)
}

/// Refuses what is wrong with the options, the inputs or the outputs, before a model is fetched.
///
/// # Errors
///
/// As [`run`].
pub fn check(options: &SummarizeOptions) -> Result<(), PipelineError> {
    checked(options, Vec::new()).map(drop)
}

fn checked(options: &SummarizeOptions, model: Vec<PathBuf>) -> Result<OutputFiles, PipelineError> {
    check_ending(&options.output, JSON_LINES)?;
    let mut outputs = OutputFiles::plain(slice::from_ref(&options.output), options.force)?;
    if let Some(path) = &options.failures {
        outputs.accompany(path)?;
    }
    let inputs = articles::check(&options.inputs)?;
    let sources = Sources::default().with_inputs(&inputs).with_model(model);
    outputs.check_sources(&sources, options.journal)?;
    Ok(outputs)
}

/// Everything that a row depends on apart from its article.
fn fingerprint(
    files: &GeneratorFiles,
    options: &SummarizeOptions,
    generator: &GeneratorPool,
) -> Result<Fingerprint, PipelineError> {
    Ok(Fingerprint::new("summarize")
        .with_option("--text-field", options.text_field.as_str())
        .with_option("--with-ids", options.with_ids.to_string())
        .with_option("--long", options.long.to_string())
        .with_option("settings", format!("{:?}", options.settings))
        .with_option("tokenizer and configuration", files.files_hash())
        .with_numeric("model", files.remembered_hash()?)
        .with_numeric("--dtype", generator.plan.dtype.to_string())
        .with_numeric("kernels", generator.kernel_family.as_str()))
}

struct Job<'a> {
    files: &'a GeneratorFiles,
    options: &'a SummarizeOptions,
    generator: &'a GeneratorPool,
    journal: Option<Journal>,
    out: Destination,
    failures: Option<FailureList>,
    name: &'a str,
    observer: &'a mut dyn Observer,
    interrupt: &'a Interrupt,
}

impl Job<'_> {
    fn run(mut self, finished: u64) -> Result<Summary, PipelineError> {
        let begun = Instant::now();
        let mut progress = Progress::default();
        let mut stages = Stages::default();
        let (files, options) = (self.files, self.options);
        let census = Census::default();
        let (inputs, field) = (&options.inputs, &options.text_field);
        let articles = articles::start(inputs, field, &census, self.interrupt)?;
        let requests = articles.zip(0_u64..).flat_map(|(article, number)| {
            // What the journal has is not computed again.
            prepare(files, options, article, number < finished)
        });
        let mut answers = self
            .generator
            .pool
            .in_order(requests)
            .until(self.interrupt.flag());
        let mut parts: Vec<Answer> = Vec::new();
        for (way, answer) in answers.by_ref() {
            let mut in_flight = match way {
                Way::Part => {
                    parts.push(answer);
                    continue;
                }
                Way::Article(in_flight) => in_flight,
            };
            let answer = if in_flight.parts > 0 {
                parts.push(answer);
                self.reduce(std::mem::take(&mut parts), &mut in_flight)
            } else {
                answer
            };
            if is_given_up(&answer) {
                break;
            }
            let row = self.row(&in_flight, answer, &mut progress, &mut stages)?;
            let writing = Instant::now();
            self.out
                .write_all(&row)
                .map_err(|error| PipelineError::output(self.name, error))?;
            stages.writing += writing.elapsed();
            progress.records += 1;
            progress.elapsed = begun.elapsed();
            self.observer.progress(&progress);
            if self.interrupt.signal().is_some() {
                break;
            }
        }
        drop(answers);
        if self.interrupt.signal().is_some() {
            return Err(self.interrupted(&progress));
        }
        crate::census::tell(&census, None, self.observer);
        if let Some(journal) = &mut self.journal {
            journal.check_taken()?;
            journal.finishing()?;
        }
        let writing = Instant::now();
        self.out
            .finish()
            .map_err(|error| PipelineError::output(self.name, error))?;
        if let Some(failures) = self.failures {
            failures.finish()?;
        }
        stages.writing += writing.elapsed();
        if let Some(journal) = self.journal {
            journal.remove()?;
        }
        if let Some(clock) = &self.generator.clock {
            for (class, time) in clock.times() {
                let share = time.time.as_secs_f64() / begun.elapsed().as_secs_f64();
                self.observer.note(&format!(
                    "{:5.1} %  {class}, {} calls, {:.3} s",
                    100.0 * share,
                    time.calls,
                    time.time.as_secs_f64()
                ));
            }
        }
        let metrics = self.generator.pool.metrics();
        stages.computing = std::time::Duration::from_nanos(metrics.busy_nanos.get());
        Ok(Summary {
            records: progress.records,
            failed: progress.failed,
            resumed: progress.resumed,
            tokens: progress.tokens,
            load: self.generator.pool.load_time(),
            run: begun.elapsed(),
            model_loads: 1,
            stages,
            generation: Some(self.generator.report()),
            ..Summary::default()
        })
    }

    /// The row of an article, from the journal where that has it.
    fn row(
        &mut self,
        in_flight: &InFlight,
        answer: Answer,
        progress: &mut Progress,
        stages: &mut Stages,
    ) -> Result<Vec<u8>, PipelineError> {
        let InFlight { article, .. } = in_flight;
        let input = InputHash::of(&article.line);
        if let Some(journal) = &mut self.journal
            && let Some(outcome) = journal.take(&article.place, input)?
        {
            progress.resumed += 1;
            return match outcome {
                Outcome::Done(row) => Ok(row),
                Outcome::Failed(reason) => self.failed(article, &reason, progress),
            };
        }
        let written = match (answer, &in_flight.problem) {
            (_, Some(problem)) => Err(problem.clone()),
            (Some(Err(error)), _) if error.kind() == RequestErrorKind::NoDevice => {
                // The article is not to blame: a later run may summarise it.
                return Err(PipelineError::new(
                    PipelineErrorKind::Device,
                    error.to_string(),
                ));
            }
            (Some(Err(error)), _) => Err(error.to_string()),
            (None, None) => Err("it was not answered".to_owned()),
            (Some(Ok(output)), None) => {
                let tokens = output.generated().map(|text| text.tokens.clone());
                Ok(tokens.unwrap_or_default())
            }
        };
        let (row, outcome) = match written {
            Ok(tokens) => {
                progress.tokens += in_flight.tokens + tokens.len() as u64;
                let summary = self.files.tokenizer().decode(&tokens);
                let row = row::write(
                    article,
                    &Written::Summary {
                        summary: &summary,
                        tokens: self.options.with_ids.then_some(&tokens),
                        is_truncated: in_flight.is_truncated,
                        parts: in_flight.parts,
                    },
                );
                (row.clone(), Outcome::Done(row))
            }
            Err(reason) => {
                let row = self.failed(article, &reason, progress)?;
                (row, Outcome::Failed(reason))
            }
        };
        if let Some(journal) = &mut self.journal {
            let begun = Instant::now();
            journal.append(&Entry {
                id: article.place.clone(),
                input,
                outcome,
            })?;
            stages.journal += begun.elapsed();
        }
        Ok(row)
    }

    /// The summary of the parts' summaries.
    fn reduce(&self, parts: Vec<Answer>, in_flight: &mut InFlight) -> Answer {
        let files = self.files;
        let mut answers = parts;
        let mut before = usize::MAX;
        loop {
            let of = answers.len();
            let mut summaries = Vec::new();
            for (answer, part) in answers.into_iter().zip(1..) {
                match answer.map(|answer| answer.map(|output| self.text(&output))) {
                    Some(Ok(summary)) => summaries.push(summary),
                    Some(Err(error)) if no_fault_of_its_own(&error) => {
                        return Some(Err(error));
                    }
                    Some(Err(error)) => {
                        in_flight.problem = Some(format!("part {part} of {of}: {error}"));
                        return None;
                    }
                    None => return None,
                }
            }
            let text = summaries.join(" ");
            let tokens = files.tokenizer().encode(&text);
            let most = files.max_source_tokens();
            if tokens.len() <= most {
                return Some(self.ask(tokens).wait());
            }
            if tokens.len() >= before {
                in_flight.problem = Some(format!(
                    "the summaries of its {of} parts do not become shorter than {} tokens",
                    tokens.len()
                ));
                return None;
            }
            before = tokens.len();
            let pending: Vec<_> = parts::cut(files.tokenizer(), &text, most)
                .into_iter()
                .map(|part| self.ask(files.tokenizer().encode(part)))
                .collect();
            answers = pending
                .into_iter()
                .map(|answer| Some(answer.wait()))
                .collect();
        }
    }

    fn ask(&self, tokens: Vec<u32>) -> Pending {
        let mut request = request(self.options, tokens);
        request.cancelled = Some(self.interrupt.flag());
        self.generator.pool.submit_waiting(request)
    }

    /// What was written.
    fn text(&self, output: &Output) -> String {
        let tokens = output.generated().map(|text| &text.tokens[..]);
        self.files.tokenizer().decode(tokens.unwrap_or_default())
    }

    fn failed(
        &mut self,
        article: &Article,
        reason: &str,
        progress: &mut Progress,
    ) -> Result<Vec<u8>, PipelineError> {
        progress.failed += 1;
        self.observer.failure(&article.place, reason);
        if let Some(failures) = &mut self.failures {
            failures.push(&article.fields.id(), &article.place, reason)?;
        }
        Ok(row::write(article, &Written::Error(reason)))
    }

    fn interrupted(mut self, progress: &Progress) -> PipelineError {
        let error = PipelineError::new(
            PipelineErrorKind::Interrupted,
            format!("stopped after {} articles", progress.records),
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
}

/// Whether an interrupt has ended the request.
fn is_given_up(answer: &Answer) -> bool {
    matches!(answer, Some(Err(error)) if error.kind() == RequestErrorKind::Cancelled)
}

/// Whether a later run may answer the same.
fn no_fault_of_its_own(error: &RequestError) -> bool {
    matches!(
        error.kind(),
        RequestErrorKind::NoDevice | RequestErrorKind::Cancelled
    )
}
