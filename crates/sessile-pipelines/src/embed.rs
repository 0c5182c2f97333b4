//! Embeddings of protein sequences: FASTA in, vectors out.

mod records;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sessile_device::{ModelIndex, RequestErrorKind};
use sessile_models::ModelFiles;
use sessile_runtime::{Metrics, Pool, PoolOptions, PoolRequest};

use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::output::{Destination, JsonLines, OutputName, Row, RowWriter, output_set};
use crate::progress::{Observer, Progress, Summary};
use records::{Prepared, Records};

/// Formats of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmbedFormat {
    /// JSON Lines.
    #[default]
    Jsonl,
}

/// What to embed and where to put it.
#[derive(Clone, Debug)]
pub struct EmbedOptions {
    /// FASTA files, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// The file to write, or `-`.
    pub output: PathBuf,
    /// Its format.
    pub format: EmbedFormat,
    /// What is wanted of each sequence.
    pub outputs: Vec<OutputName>,
    /// Write over an output that exists.
    pub force: bool,
    /// Devices, lanes and batches.
    pub pool: PoolOptions,
}

/// Embeds every record of the inputs.
///
/// # Errors
///
/// What ends the job as a whole; records that fail are counted in the [`Summary`] and told to the
/// observer.
pub fn run(
    files: ModelFiles,
    options: &EmbedOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Summary, PipelineError> {
    check_output(&options.output, options.force)?;
    let inputs = sessile_seq::inputs::expand(&options.inputs, sessile_seq::inputs::Format::Fasta)?;
    let wanted = output_set(&options.outputs);
    let pool_options = PoolOptions {
        outputs: wanted,
        ..options.pool.clone()
    };
    let tokenizer = files.tokenizer().clone();
    let pool = Pool::new(&[files], &pool_options)?;
    check_outputs(&pool, &options.outputs)?;

    let destination = Destination::open(&options.output)
        .map_err(|error| PipelineError::output(&options.output.display().to_string(), error))?;
    let mut writer: Box<dyn RowWriter> = match options.format {
        EmbedFormat::Jsonl => Box::new(JsonLines::new(destination)),
    };
    let failed_to_write =
        |error| PipelineError::output(&options.output.display().to_string(), error);

    let begun = Instant::now();
    let busy_before = pool.metrics().busy_nanos.get();
    let mut progress = Progress::default();
    let mut residues = 0;
    let mut file_problem = None;
    let records = Records::start(inputs, tokenizer, interrupt.clone())?;
    let bytes = records.bytes();
    let requests = records.map(|prepared: Prepared| {
        let request = prepared
            .tokens
            .map(|tokens| PoolRequest::new(ModelIndex(0), tokens, wanted));
        (prepared.record, request)
    });
    for (record, answer) in pool.in_order(requests) {
        let failure = match (record.problem, answer) {
            (Some(problem), _) => Some(problem),
            (None, Some(Ok(output))) => {
                let row = Row::new(record.id, record.length, output, &options.outputs);
                writer.write(&row).map_err(failed_to_write)?;
                residues += record.length;
                progress.tokens += record.length + 2;
                None
            }
            (None, Some(Err(error))) => {
                if error.kind() == RequestErrorKind::NoDevice {
                    return Err(PipelineError::new(
                        PipelineErrorKind::Device,
                        error.to_string(),
                    ));
                }
                Some(error.to_string())
            }
            (None, None) => None,
        };
        if let Some(reason) = failure {
            progress.failed += 1;
            observer.failure(&record.place, &reason);
            if record.is_file_problem {
                file_problem.get_or_insert(reason);
            }
        }
        progress.records += 1;
        progress.elapsed = begun.elapsed();
        (progress.bytes_read, progress.bytes_total) = bytes.get();
        observer.progress(&progress);
        if interrupt.signal().is_some() {
            break;
        }
    }
    if interrupt.signal().is_some() {
        return Err(PipelineError::new(
            PipelineErrorKind::Interrupted,
            format!("stopped after {} records", progress.records),
        ));
    }
    if let Some(problem) = file_problem
        && progress.failed == progress.records
    {
        return Err(PipelineError::new(PipelineErrorKind::Input, problem));
    }
    writer.finish().map_err(failed_to_write)?;
    let run = begun.elapsed();
    Ok(Summary {
        records: progress.records,
        failed: progress.failed,
        residues,
        tokens: progress.tokens,
        load: pool.load_time(),
        run,
        model_loads: pool.metrics().model_loads.get(),
        busy: busy_share(pool.metrics(), busy_before, run, pool.lanes().len()),
    })
}

fn busy_share(metrics: &Metrics, before: u64, run: Duration, lanes: usize) -> f64 {
    let busy = (metrics.busy_nanos.get() - before) as f64;
    (busy / (run.as_nanos() as f64 * lanes.max(1) as f64)).min(1.0)
}

/// Refuses to write over a file, unless told to.
fn check_output(output: &Path, force: bool) -> Result<(), PipelineError> {
    if output == Path::new("-") {
        return Ok(());
    }
    if output.is_dir() {
        return Err(PipelineError::new(
            PipelineErrorKind::Output,
            format!("{} is a folder", output.display()),
        )
        .with_hint("name a file, for example embeddings.jsonl in it"));
    }
    if output.exists() && !force {
        return Err(PipelineError::new(
            PipelineErrorKind::Output,
            format!("{} exists", output.display()),
        )
        .with_hint("choose another --output, or --force to write over it"));
    }
    Ok(())
}

/// Refuses outputs that the model does not have, before any record is read.
fn check_outputs(pool: &Pool, names: &[OutputName]) -> Result<(), PipelineError> {
    let Some(model) = pool.models().first() else {
        return Ok(());
    };
    for name in names {
        if name
            .kinds()
            .iter()
            .any(|&kind| !model.outputs.contains(kind))
        {
            return Err(PipelineError::new(
                PipelineErrorKind::Usage,
                format!("the model has no `{name}` output: its checkpoint lacks that head"),
            ));
        }
    }
    Ok(())
}
