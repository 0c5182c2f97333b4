//! From genomes to results: `sessile viral predict` and `verify`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::super::PoolArguments;
use super::{SequenceArguments, TableArguments};
use crate::arguments::{
    OverwriteArguments, QuietArguments, ReportArguments, ResumeArguments, ShardArguments,
};

/// Both models and the classifier.
#[derive(Clone, Debug, Args)]
pub(crate) struct ViralModels {
    /// The classifier: .pth, .pt or .safetensors
    #[arg(long, value_name = "FILE")]
    pub(crate) classifier: PathBuf,

    /// Bases of a chunk: what the classifier was trained for
    #[arg(long, value_name = "BASES")]
    pub(crate) chunk: NonZeroUsize,

    /// The model of nucleotides: a directory or hub name
    #[arg(long, default_value = "zhihan1996/DNABERT-S", value_name = "MODEL")]
    pub(crate) dnabert: String,

    /// The model of proteins: a directory, file, hub name or short name
    #[arg(long, default_value = "esm2_t36_3B", value_name = "MODEL")]
    pub(crate) esm: String,

    /// The layer of the protein model whose vectors are taken [default: the last]
    #[arg(long, value_name = "N")]
    pub(crate) esm_layer: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile viral predict genomes/*.fa.gz --classifier 500_model.pth --chunk 500 --output results\n  \
    sessile viral predict --sample-sheet samples.csv --classifier 300_model.pth --chunk 300 \
--output results\n  \
    sessile viral predict all.fa --classifier c.pth --chunk 500 --shard 3/16 --output results\n\n\
    After a crash, a full disk or Ctrl-C the same command resumes where it stopped.")]
pub(crate) struct PredictArguments {
    #[command(flatten)]
    pub(crate) sequences: SequenceArguments,

    /// Samples to predict apart from each other: a CSV file with lines of `sample,path`
    #[arg(
        long,
        conflicts_with_all = ["files", "input", "failures"],
        required_unless_present_any = ["files", "input"],
        value_name = "FILE"
    )]
    pub(crate) sample_sheet: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) models: ViralModels,

    /// Folder for the result files; with a sample sheet, for a folder of each sample
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) shard: ShardArguments,

    #[command(flatten)]
    pub(crate) tables: TableArguments,

    /// Also write the vectors, in the original's files
    #[arg(long)]
    pub(crate) save_features: bool,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    /// Show where the time goes, by operation
    #[arg(long, alias = "profile")]
    pub(crate) per_op: bool,

    #[command(flatten)]
    pub(crate) resume: ResumeArguments,

    #[command(flatten)]
    pub(crate) report: ReportArguments,

    #[command(flatten)]
    pub(crate) pool: PoolArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sessile viral verify genomes.fa --classifier 500_model.pth --chunk 500 --dtype bf16")]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) sequences: SequenceArguments,

    #[command(flatten)]
    pub(crate) models: ViralModels,

    /// Frames to compare: the first so many
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub(crate) sample: usize,

    /// Smallest cosine between the vectors of both formats
    #[arg(long, default_value_t = 0.999, value_name = "COSINE")]
    pub(crate) min_cosine: f64,

    /// Smallest share of frames with the same label
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    pub(crate) min_agreement: f64,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) pool: PoolArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}
