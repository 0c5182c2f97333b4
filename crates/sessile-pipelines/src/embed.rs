//! Embeddings of protein sequences: FASTA in, vectors out.

mod in_memory;
mod long;
mod records;
mod rows;
mod task;

use std::path::PathBuf;

use sessile_device::{OutputKind, OutputSet};
use sessile_models::{LayerChoice, Model, ReadLayers};
use sessile_runtime::{Pool, PoolOptions, Resident, plan_pool};
use sessile_seq::inputs::{self, Input};

use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job::{Engine, RowOptions, Task};
use crate::journal::Fingerprint;
use crate::output::{OutputFiles, OutputName, output_set};
use crate::progress::{Observer, Summary, note_devices};
use records::Wanted;
use task::EmbedTask;

pub use in_memory::{Asked, Asking};
pub use long::Long;

/// The longest sequence that [`Long::Full`] plans for, in tokens, where memory allows it: longer
/// than any protein known (titin has 34,350 residues, UniProt Q8WZ42).
const FULL_TOKENS: usize = 1 << 16;

/// What to embed and where to put it.
#[derive(Clone, Debug)]
pub struct EmbedOptions {
    /// FASTA files, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// Where the rows go.
    pub rows: RowOptions,
    /// What is wanted of each sequence.
    pub names: Vec<OutputName>,
    /// Whether rows have the description of the record: its header behind the identifier.
    pub with_description: bool,
    /// What becomes of sequences longer than the model was made for.
    pub long: Long,
    /// The layer that vectors are made of.
    pub layer: LayerChoice,
    /// Devices, lanes and batches.
    pub pool: PoolOptions,
}

/// Embeds every record of the inputs.
///
/// # Errors
///
/// What ends the job as a whole; records that fail are counted in the [`Summary`] and told to the
/// observer. What was finished until then is kept in the journal, and the same call goes on there.
pub fn run(
    files: Model,
    options: &EmbedOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Summary, PipelineError> {
    let (inputs, mut outputs) = prepare(options, files.files())?;
    outputs.claim(options.rows.journal, interrupt)?;

    let tokenizer = files.tokenizer().clone();
    let models = [files];
    let pool = Pool::new(
        models.iter().map(Resident::Reads),
        &pool_options(&models, options)?,
    )?;
    note_devices(observer, &options.pool.devices, &pool);
    let [files] = models;
    let model = pool.models().first().ok_or_else(|| {
        PipelineError::new(
            PipelineErrorKind::Device,
            "there is no device to compute on",
        )
    })?;
    for name in &options.names {
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
    let layers = ReadLayers::of(options.layer, model)
        .map_err(|message| PipelineError::new(PipelineErrorKind::Usage, message))?;
    let schema = rows::schema(
        &options.names,
        model,
        options.long,
        options.with_description,
        layers.as_ref().and_then(ReadLayers::several),
    );
    let wanted = Wanted {
        tokenizer,
        outputs: asked(options, layers.as_ref()),
        long: options.long,
        max_tokens: model.max_tokens,
        special_tokens: model.special_tokens,
        leading_tokens: model.leading_tokens,
        setting: "--long",
    };
    let mark = || fingerprint(&files, &pool, options);
    let unit = EmbedTask::UNIT;
    let opened = (options.rows).open(outputs, &schema, mark, unit, observer)?;
    let task = EmbedTask {
        names: &options.names,
        long: options.long,
        with_description: options.with_description,
        layers,
        schema,
        told_of_bases: false,
    };
    let items = records::start(inputs, options.rows.shard, wanted, interrupt)?;
    let engine = Engine {
        pool: Some(&pool),
        files: opened,
        observer,
        interrupt,
    };
    let (summary, ()) = engine.run(task, items)?;
    Ok(summary)
}

/// Refuses what is wrong with the options, the inputs or the outputs, before a model is fetched.
///
/// # Errors
///
/// As [`run`].
pub fn check(options: &EmbedOptions) -> Result<(), PipelineError> {
    prepare(options, Vec::new()).map(drop)
}

fn prepare(
    options: &EmbedOptions,
    model: Vec<PathBuf>,
) -> Result<(Vec<Input>, OutputFiles), PipelineError> {
    if options.long == Long::Windows && options.names.contains(&OutputName::Contacts) {
        return Err(PipelineError::new(
            PipelineErrorKind::Usage,
            "contacts between residues of different windows are not known",
        )
        .with_hint("leave out `contacts`, or use --long full"));
    }
    if options.layer != LayerChoice::Last && options.long == Long::Windows {
        return Err(PipelineError::new(
            PipelineErrorKind::Usage,
            "--layer does not go with --long windows",
        )
        .with_hint("use --long full"));
    }
    let inputs = || Ok(inputs::expand(&options.inputs, inputs::Format::Fasta)?);
    options.rows.prepare(None, Vec::new(), inputs, model)
}

/// What is asked of the model.
fn asked(options: &EmbedOptions, layers: Option<&ReadLayers>) -> OutputSet {
    let wanted = output_set(&options.names);
    layers.map_or(wanted, |layers| layers.outputs(wanted))
}

/// The pool's options, with the longest sequence that is to be computed as a whole.
fn pool_options(models: &[Model], options: &EmbedOptions) -> Result<PoolOptions, PipelineError> {
    let mut outputs = output_set(&options.names);
    if options.layer != LayerChoice::Last {
        outputs = outputs.with(OutputKind::HiddenStates);
    }
    if options.long == Long::Windows {
        let of_window = records::outputs_of_window(outputs);
        outputs = outputs.iter().chain(of_window.iter()).collect();
    }
    let mut pool = PoolOptions {
        outputs,
        ..options.pool.clone()
    };
    if options.long != Long::Full || pool.max_tokens.is_some() {
        return Ok(pool);
    }
    let usual = models
        .iter()
        .map(|files| files.description().max_tokens)
        .max()
        .unwrap_or(0);
    let mut tokens = FULL_TOKENS;
    while tokens > usual {
        pool.max_tokens = Some(tokens);
        let plans = plan_pool(models.iter().map(Resident::Reads), &pool)?;
        if plans.iter().all(|plan| plan.check().is_ok()) {
            return Ok(pool);
        }
        tokens /= 2;
    }
    pool.max_tokens = None;
    Ok(pool)
}

/// Everything that a row depends on apart from its record.
fn fingerprint(
    files: &Model,
    pool: &Pool,
    options: &EmbedOptions,
) -> Result<Fingerprint, PipelineError> {
    let dtypes: Vec<String> = pool
        .plans()
        .iter()
        .map(|plan| plan.dtype.to_string())
        .collect();
    let configuration = files.configuration();
    let configuration = blake3::hash(configuration.as_bytes()).to_hex();
    Ok(Fingerprint::new("embed")
        .with_option("--long", options.long.name())
        .with_option("--layer", options.layer.to_string())
        .with_option("tokenizer and configuration", files.files_hash())
        .with_numeric("model", files.remembered_hash()?)
        .with_numeric("configuration", &configuration[..16])
        .with_numeric("--dtype", dtypes.join("+"))
        .with_numeric("kernels", pool.kernel_families().join("+")))
}
