//! The command line: every flag is defined once, here.

pub(crate) mod entropy;
pub(crate) mod serve;
pub(crate) mod summarize;
pub(crate) mod viral;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sessile_models::LayerChoice;
use sessile_pipelines::RowOptions;
use sessile_pipelines::bench::BenchSet;
use sessile_pipelines::embed::Long;
use sessile_pipelines::journal::JournalOptions;
use sessile_pipelines::output::{Compression, Format, OutputName};
use sessile_pipelines::shard::Shard;
use sessile_runtime::options::MAX_THREADS;
use sessile_runtime::{DTypeChoice, DeviceChoice, PoolOptions};
use sessile_server::LogLevel;

/// Sequence models that stay loaded and are fed without padding.
#[derive(Debug, Parser)]
#[command(
    name = "sessile",
    version,
    about,
    long_about = "Sessile keeps sequence models resident on every device and feeds them without \
                  padding.\n\nEvery flag can also be set as SESSILE_NAME (--token-budget is \
                  SESSILE_TOKEN_BUDGET) and in a TOML or YAML file (--config).",
    after_help = "Exit codes: 0 done; 2 usage; 3 done, but some records failed; 4 bad input or \
                  model; 5 device; 129/130/143 interrupted",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// Settings file (TOML or YAML); a table per command
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    pub(crate) config: Option<PathBuf>,

    /// What is said beside results and failures: debug, info, warning or error
    #[arg(
        long,
        global = true,
        default_value = "warning",
        value_name = "LEVEL",
        display_order = 901
    )]
    pub(crate) log_level: LogLevel,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Embed protein sequences: FASTA in, vectors out
    Embed(EmbedArguments),
    /// Information in genomes and in the structures of their proteins
    Entropy(entropy::EntropyArguments),
    /// Summarise articles: JSON Lines or text files in, a summary a line out
    Summarize(summarize::SummarizeArguments),
    /// Find viruses in genomes, stage by stage
    Viral(viral::ViralArguments),
    /// Put the parts of all shards of a run together
    Merge(MergeArguments),
    /// Serve models over HTTP from a resident pool
    Serve(serve::ServeArguments),
    /// Put a service under load and measure its answers
    BenchService(serve::BenchServiceArguments),
    /// Show the devices and how they would be used
    Devices(DevicesArguments),
    /// Show what a model would need, before loading it
    Plan(PlanArguments),
    /// Find, fetch, inspect and make models
    Models(ModelsArguments),
    /// Measure how fast a model runs here, beside the peak of the machine
    Bench(BenchArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
    /// Write the manual pages
    Man(ManArguments),
}

/// Devices, lanes and batches: the same for every command that computes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Devices and batches")]
pub(crate) struct PoolArguments {
    /// Devices: auto, or a list such as cpu,cuda:0,cuda:1
    #[arg(long, alias = "device", default_value = "auto", value_name = "LIST")]
    pub(crate) devices: DeviceChoice,

    /// Lanes per device that share the weights [default: one per thread]
    #[arg(
        long,
        visible_alias = "lanes",
        value_name = "N",
        value_parser = parse_threads::<usize>
    )]
    pub(crate) instances: Option<usize>,

    /// CPU threads in total [default: one per core]
    #[arg(long, value_name = "N", value_parser = parse_threads::<usize>)]
    pub(crate) threads: Option<usize>,

    /// Number format: auto, f32, bf16 or f16
    #[arg(long, default_value = "auto", value_name = "FORMAT")]
    pub(crate) dtype: DTypeChoice,

    /// Tokens of a batch [default: chosen for the device]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) token_budget: Option<usize>,

    /// Memory to leave alone, such as 2GiB
    #[arg(long, default_value = "0", value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) memory_reserve: u64,
}

impl PoolArguments {
    pub(crate) fn options(&self) -> PoolOptions {
        PoolOptions {
            devices: self.devices.clone(),
            threads: self.threads,
            instances: self.instances,
            dtype: self.dtype,
            token_budget: self.token_budget,
            memory_reserve: self.memory_reserve,
            ..PoolOptions::default()
        }
    }
}

/// A number of threads or lanes that a machine may have.
pub(crate) fn parse_threads<T: TryFrom<usize>>(text: &str) -> Result<T, String> {
    let number = text.parse::<usize>().ok();
    number
        .filter(|number| (1..=MAX_THREADS).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("there can be 1 to {MAX_THREADS}"))
}

/// `512MiB`, `2GB`, `1000`.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a size"))?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        other => return Err(format!("`{other}` is not a unit of size (MiB, GiB, GB, …)")),
    };
    Ok((number * factor as f64) as u64)
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile embed --model demo --input proteins.fasta --output embeddings.jsonl\n  \
    sessile embed --model ./esm2_t33_650M --input 'genomes/*.faa.gz' --output out.jsonl \
--outputs mean,cls\n  \
    sessile embed --model esm2_t6_8M --input p.fasta --output p.parquet --output p.h5\n  \
    zcat proteins.fa.gz | sessile embed --model demo --input - --output -\n\n\
    An interrupted run resumes when the same command is given again.")]
pub(crate) struct EmbedArguments {
    /// Model: a directory, file or hub name, or `demo` (built in, untrained, for trying things out)
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: String,

    /// FASTA files, folders, patterns, or - for standard input
    #[arg(short, long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// What to compute: mean, mean_all, cls, eos, max, std, per_residue, logits, contacts, likelihood,
    /// classes
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "mean",
        value_name = "LIST"
    )]
    pub(crate) outputs: Vec<OutputName>,

    /// Keep what stands behind the identifier of a header, as `description`
    #[arg(long)]
    pub(crate) with_description: bool,

    /// Sequences longer than the model takes: fail, full, windows or truncate
    #[arg(long, default_value = "fail", value_name = "CHOICE")]
    pub(crate) long: Long,

    /// Folder of a LoRA adapter, as peft saves it, to add to the model's weights
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,

    /// Layer that vectors are made of: a number (0 are the embeddings, -1 is the last), all, or
    /// last4-mean
    #[arg(
        long,
        default_value = "-1",
        value_name = "LAYER",
        allow_hyphen_values = true
    )]
    pub(crate) layer: LayerChoice,

    #[command(flatten)]
    pub(crate) rows: RowArguments,

    #[command(flatten)]
    pub(crate) resume: ResumeArguments,

    #[command(flatten)]
    pub(crate) report: ReportArguments,

    #[command(flatten)]
    pub(crate) pool: PoolArguments,
}

/// Whether files that exist are replaced: the same for every command that writes.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OverwriteArguments {
    /// Overwrite outputs that exist
    #[arg(long)]
    pub(crate) force: bool,
}

/// How little is said: the same for every command that talks.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct QuietArguments {
    /// Print errors only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Where the rows of a job go: the same for every job with rows.
#[derive(Clone, Debug, Args)]
pub(crate) struct RowArguments {
    /// File to write, or - for standard output; can be given several times
    #[arg(short, long, required = true, action = clap::ArgAction::Append, value_name = "FILE")]
    pub(crate) output: Vec<PathBuf>,

    /// Output format: jsonl, json, tsv, csv, parquet, hdf5, safetensors, npy, npz or fasta [default: by
    /// the extension of the output]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,

    /// Compress text formats: none, gzip or zstd [default: by the extension: .gz, .zst]
    #[arg(long, value_name = "METHOD")]
    pub(crate) compress: Option<Compression>,

    #[command(flatten)]
    pub(crate) shard: ShardArguments,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,
}

/// Which records are computed: the same for every job over files.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ShardArguments {
    /// Compute every N-th record only, from the I-th on, into OUTPUT.part-I-of-N; `sessile merge`
    /// joins the parts
    #[arg(long, default_value = "1/1", value_name = "I/N")]
    pub(crate) shard: Shard,
}

/// How parts become files.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile embed --model esm2_t6_8M --input p.fasta --output p.parquet --shard 1/2\n  \
    sessile embed --model esm2_t6_8M --input p.fasta --output p.parquet --shard 2/2\n  \
    sessile merge p.parquet.part-* --output p.parquet --output p.h5\n  \
    sessile merge results.part-* --output results")]
pub(crate) struct MergeArguments {
    /// The parts of all shards, in any order
    #[arg(required = true, value_name = "PART")]
    pub(crate) parts: Vec<PathBuf>,

    /// File to write, or - for standard output; can be given several times. Of `viral predict` the
    /// folder for the result files
    #[arg(short, long, required = true, action = clap::ArgAction::Append, value_name = "FILE")]
    pub(crate) output: Vec<PathBuf>,

    /// Output format, of `viral predict` that of its tables [default: by the extension of the output]
    #[arg(long, visible_alias = "tables", value_name = "FORMAT")]
    pub(crate) format: Option<Format>,

    /// Compress text formats: none, gzip or zstd [default: by the extension: .gz, .zst]
    #[arg(long, value_name = "METHOD")]
    pub(crate) compress: Option<Compression>,

    /// File for the records without a result: id, place and reason (JSON Lines)
    #[arg(long, value_name = "FILE")]
    pub(crate) failures: Option<PathBuf>,

    /// Merge even if the model, number format or kernels differ between parts
    #[arg(long)]
    pub(crate) allow_mixed: bool,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}

impl RowArguments {
    pub(crate) fn options(self, resume: ResumeArguments, failures: Option<PathBuf>) -> RowOptions {
        RowOptions {
            outputs: self.output,
            format: self.format,
            compression: self.compress,
            shard: self.shard.shard,
            force: self.overwrite.force,
            journal: !resume.no_journal,
            resume: resume.options(),
            failures,
        }
    }
}

/// How an interrupted job resumes: the same for every command that keeps a journal.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Resuming")]
pub(crate) struct ResumeArguments {
    /// Resume even if the model, number format or kernels differ from the earlier run's
    #[arg(long)]
    pub(crate) allow_mixed: bool,

    /// Start again and discard what an earlier run has finished
    #[arg(long)]
    pub(crate) restart: bool,

    /// Keep no journal: an interrupted run starts again from the beginning
    #[arg(long)]
    pub(crate) no_journal: bool,
}

impl ResumeArguments {
    pub(crate) fn options(self) -> JournalOptions {
        JournalOptions {
            allow_mixed: self.allow_mixed,
            restart: self.restart,
        }
    }
}

/// What a job says while it runs: the same for every job over files.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Messages")]
pub(crate) struct ReportArguments {
    /// File for the records without a result: id, place and reason (JSON Lines)
    #[arg(long, value_name = "FILE")]
    pub(crate) failures: Option<PathBuf>,

    /// Progress, failures and the summary on standard error as JSON, an object a line
    #[arg(long)]
    pub(crate) json_progress: bool,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesArguments {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile plan --model ./esm2_t33_650M --dtype bf16\n  \
    sessile plan --model facebook/bart-large-cnn --memory-reserve 2GiB --max-instances 8\n  \
    sessile plan --model facebook/bart-large-cnn --memory 24GiB --memory-reserve 2GiB")]
pub(crate) struct PlanArguments {
    /// Model: a directory, file or hub name, or `demo`
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: String,

    /// What would be computed
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "mean",
        value_name = "LIST"
    )]
    pub(crate) outputs: Vec<OutputName>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) writing: PlanWritingArguments,

    #[command(flatten)]
    pub(crate) pool: PoolArguments,
}

/// What a plan for a model that writes depends on.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Models that write (BART)")]
pub(crate) struct PlanWritingArguments {
    #[command(flatten)]
    pub(crate) limits: summarize::InstanceArguments,

    /// Hypotheses that are followed at once [default: as the model's generation_config.json says]
    #[arg(long, value_name = "N")]
    pub(crate) num_beams: Option<usize>,

    /// Most tokens of a text [default: as the model's generation_config.json says]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_length: Option<usize>,

    /// Plan for a device with so much memory, such as 24GiB [default: what is left here]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) memory: Option<u64>,

    /// Size of a model for the formula that is printed beside the plan [default: 1.5GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) estimated_model_size: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile bench --model ./esm2_t33_650M --set uniform --dtype bf16\n  \
    sessile bench --model ./esm2_t6_8M --set proteins.fasta --json --per-op\n  \
    sessile bench --model ./bart-large-cnn --generate --requests 32")]
pub(crate) struct BenchArguments {
    /// Model: a directory, file or hub name, or `demo`
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: String,

    /// Sequences: uniform, lognormal, orfs, chunks (of 500), or a FASTA file
    #[arg(long, default_value = "uniform", value_name = "SET")]
    pub(crate) set: BenchSet,

    /// Measure how fast a model such as BART writes, with the settings of its generation_config.json
    #[arg(long)]
    pub(crate) generate: bool,

    /// With --generate: sources that are answered at the same time
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) requests: usize,

    /// With --generate: tokens of every source
    #[arg(long, default_value_t = 400, value_name = "TOKENS")]
    pub(crate) source_tokens: usize,

    /// Seconds to measure for
    #[arg(long, default_value_t = 9.0, value_name = "SECONDS")]
    pub(crate) duration: f64,

    /// Show where the time goes, by operation
    #[arg(long)]
    pub(crate) per_op: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) pool: PoolArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ModelsArguments {
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the published models
    List,
    /// Fetch a model into the cache and say where it is
    Pull {
        /// A hub name such as facebook/esm2_t6_8M_UR50D, with @revision if wanted, or a short name
        name: String,
    },
    /// Show what a checkpoint holds, without loading it
    Inspect {
        /// A directory, file or hub name, or `demo`
        name: String,
        /// File of a head that is published apart from the model
        #[arg(long, value_name = "PATH")]
        head: Option<PathBuf>,
        /// JSON file that says which tensors are the heads
        #[arg(long, value_name = "FILE")]
        head_map: Option<PathBuf>,
        /// Also hash all weights
        #[arg(long)]
        hash: bool,
        /// Also list all tensors
        #[arg(long)]
        tensors: bool,
    },
    /// Make a checkpoint of real size with random weights, to measure and try things out
    #[command(
        after_help = "Example:\n  sessile models synthesize esm2_t6_8M --output models/esm2_8M"
    )]
    Synthesize {
        /// One of the published sizes, such as esm2_t33_650M
        name: String,
        /// Directory to write
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
        /// The weights follow from this number
        #[arg(long, default_value_t = 0)]
        seed: u64,
        #[command(flatten)]
        overwrite: OverwriteArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Directory to write; without it the page of `sessile` goes to standard output
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}
