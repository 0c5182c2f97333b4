//! Summaries of articles: JSON Lines or text files in, a line for every article out.
//!
//! The rows keep the order and the other fields of the input. An article that can not be
//! summarised has its row too, with the reason in `error`, and costs nothing else.

mod articles;
pub mod environment;
mod items;
mod parts;
mod row;
mod task;

use std::path::PathBuf;
use std::sync::Arc;

use sessile_device::{GenerationSettings, ModelIndex};
use sessile_models::{Model, Writing};
use sessile_runtime::{Pool, PoolOptions, Resident, WritingOptions};
use sessile_seq::inputs::Input;

use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job::{Engine, RowOptions, Task};
use crate::journal::Fingerprint;
use crate::output::OutputFiles;
use crate::progress::{Observer, Summary, note_devices};
use items::Asking;
use task::SummaryTask;

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
    /// Where the rows go.
    pub rows: RowOptions,
    /// The field that holds the article.
    pub text_field: String,
    /// Whether rows have `token_ids`.
    pub with_ids: bool,
    /// What becomes of articles that are too long.
    pub long: LongArticle,
    /// How to write.
    pub settings: GenerationSettings,
    /// Devices and memory; its settings are replaced by those above.
    pub pool: PoolOptions,
}

/// Summarises every article of the inputs.
///
/// # Errors
///
/// What ends the job as a whole; articles that fail are counted in the [`Summary`] and told to the
/// observer.
pub fn run(
    files: &Model,
    options: &SummarizeOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Summary, PipelineError> {
    if files.writes() != Some(Writing::Summaries) {
        return Err(PipelineError::new(
            PipelineErrorKind::Model,
            format!("{} does not write summaries", files.name()),
        )
        .with_hint("use a BART model; ProstT5 is for `sessile entropy encode3di`"));
    }
    let (inputs, mut outputs) = prepare(options, files.files())?;
    outputs.claim(options.rows.journal, interrupt)?;
    let pool = Pool::new(
        [Resident::Writes(files)],
        &PoolOptions {
            writing: WritingOptions {
                settings: Some(options.settings.clone()),
                ..options.pool.writing.clone()
            },
            ..options.pool.clone()
        },
    )?;
    note_devices(observer, &options.pool.devices, &pool);
    let schema = row::schema(options.with_ids);
    let mark = || fingerprint(files, options, &pool);
    let unit = SummaryTask::UNIT;
    let opened = (options.rows).open(outputs, &schema, mark, unit, observer)?;
    let asking = Asking {
        tokenizer: files.text_tokenizer()?.clone(),
        most: files.description().max_tokens,
        long: options.long,
        settings: Arc::new(options.settings.clone()),
        rows: files.description().vocabulary,
    };
    let task = SummaryTask {
        asking: asking.clone(),
        pool: &pool,
        interrupt,
        schema,
        with_ids: options.with_ids,
        written: 0,
    };
    let items = items::start(&inputs, options, asking, interrupt)?;
    let engine = Engine {
        pool: Some(&pool),
        files: opened,
        observer: &mut *observer,
        interrupt,
    };
    let (mut summary, written) = engine.run(task, items)?;
    summary.tokens += written;
    summary.generation = pool.writing_report(ModelIndex(0));
    for (class, time) in pool.operation_times() {
        let seconds = time.time.as_secs_f64();
        let share = 100.0 * seconds / summary.run.as_secs_f64();
        let calls = time.calls;
        observer.note(&format!(
            "{share:5.1} %  {class}, {calls} calls, {seconds:.3} s"
        ));
    }
    Ok(summary)
}

/// Refuses what is wrong with the options, the inputs or the outputs, before a model is fetched.
///
/// # Errors
///
/// As [`run`].
pub fn check(options: &SummarizeOptions) -> Result<(), PipelineError> {
    prepare(options, Vec::new()).map(drop)
}

fn prepare(
    options: &SummarizeOptions,
    model: Vec<PathBuf>,
) -> Result<(Vec<Input>, OutputFiles), PipelineError> {
    let schema = row::schema(options.with_ids);
    let inputs = || articles::check(&options.inputs);
    options
        .rows
        .prepare(Some(&schema), Vec::new(), inputs, model)
}

/// Everything that a row depends on apart from its article.
fn fingerprint(
    files: &Model,
    options: &SummarizeOptions,
    pool: &Pool,
) -> Result<Fingerprint, PipelineError> {
    Ok(Fingerprint::new("summarize")
        .with_option("--text-field", options.text_field.as_str())
        .with_option("--with-ids", options.with_ids.to_string())
        .with_option("--long", options.long.to_string())
        .with_option("settings", format!("{:?}", options.settings))
        .with_option("tokenizer and configuration", files.files_hash())
        .with_numeric("model", files.remembered_hash()?)
        .with_numeric("--dtype", pool.dtypes())
        .with_numeric("kernels", pool.kernel_families().join("+")))
}
