//! The classifier of feature vectors: `sessile viral train` and `classify`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use sessile_learn::perceptron::TrainOptions;

use super::super::parse_threads;
use super::TableArguments;
use crate::arguments::{OverwriteArguments, QuietArguments};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sessile viral train --virus viral/*_merged.pt --others host/*_merged.pt --chunk 500 \
--nucleotide-size 768 --output 500_model.safetensors")]
pub(crate) struct TrainArguments {
    /// Feature files of viruses: .pt or .safetensors
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(crate) virus: Vec<PathBuf>,

    /// Feature files of others
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(crate) others: Vec<PathBuf>,

    /// Feature files that say themselves whether they are of viruses (`labels`)
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(crate) features: Vec<PathBuf>,

    /// File to write: .safetensors, .pt (state dict) or .pth (whole module)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Bases of the chunks that the features are of; the classifier is bound to it
    #[arg(long, value_name = "BASES")]
    pub(crate) chunk: Option<NonZeroUsize>,

    /// Numbers of the nucleotides' embedding; the classifier is bound to it
    #[arg(long, value_name = "N")]
    pub(crate) nucleotide_size: Option<usize>,

    /// Numbers of the protein's embedding; the classifier is bound to it
    #[arg(long, value_name = "N")]
    pub(crate) protein_size: Option<usize>,

    /// Print the metrics of the best epoch as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,

    #[command(flatten)]
    pub(crate) training: TrainingArguments,
}

/// How the network is trained.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Training")]
pub(crate) struct TrainingArguments {
    /// Units of the hidden layer
    #[arg(long, default_value_t = 512, value_name = "N")]
    pub(crate) hidden: usize,

    /// Samples of a step
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) batch: usize,

    /// Most epochs
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub(crate) epochs: usize,

    /// Learning rate at the start
    #[arg(long, default_value_t = 0.0002, value_name = "RATE")]
    pub(crate) rate: f32,

    /// Momentum
    #[arg(long, default_value_t = 0.9, value_name = "SHARE")]
    pub(crate) momentum: f32,

    /// Epochs after which the rate falls
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) rate_step: usize,

    /// What the rate is multiplied with then
    #[arg(long, default_value_t = 0.85, value_name = "FACTOR")]
    pub(crate) rate_factor: f32,

    /// Share of the hidden units that a step leaves out
    #[arg(long, default_value_t = 0.5, value_name = "SHARE")]
    pub(crate) dropout: f32,

    /// Epochs without a lower loss after which training stops
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) patience: usize,

    /// Share of the samples that is held out to judge by
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    pub(crate) held_out: f64,

    /// Everything random follows from this number
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub(crate) seed: u64,
}

impl TrainingArguments {
    pub(crate) fn options(&self) -> TrainOptions {
        TrainOptions {
            hidden: self.hidden,
            batch: self.batch,
            epochs: self.epochs,
            rate: self.rate,
            momentum: self.momentum,
            rate_step: self.rate_step,
            rate_factor: self.rate_factor,
            dropout: self.dropout,
            patience: self.patience,
            held_out: self.held_out,
            seed: self.seed,
            ..TrainOptions::default()
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile viral classify --features output_1_merged.pt --classifier 500_model.pth --chunk 500 \
--output results\n  \
    sessile viral classify --nucleotide-features o_1_DNABERT_S.pt --protein-features o_1_ESM.pt \
--classifier model.safetensors --output results")]
pub(crate) struct ClassifyArguments {
    /// Files of whole feature vectors: .pt or .safetensors
    #[arg(
        long,
        num_args = 1..,
        required_unless_present = "nucleotide_features",
        conflicts_with_all = ["nucleotide_features", "protein_features"],
        value_name = "FILE"
    )]
    pub(crate) features: Vec<PathBuf>,

    /// Embeddings of the nucleotides (…_DNABERT_S.pt), joined with --protein-features by name
    #[arg(long, num_args = 1.., requires = "protein_features", value_name = "FILE")]
    pub(crate) nucleotide_features: Vec<PathBuf>,

    /// Embeddings of the proteins (…_ESM.pt), a file for each of --nucleotide-features
    #[arg(long, num_args = 1.., requires = "nucleotide_features", value_name = "FILE")]
    pub(crate) protein_features: Vec<PathBuf>,

    /// The classifier: .pth, .pt or .safetensors
    #[arg(long, value_name = "FILE")]
    pub(crate) classifier: PathBuf,

    /// Folder for the result files
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Bases of the chunks that the features are of
    #[arg(long, value_name = "BASES")]
    pub(crate) chunk: Option<NonZeroUsize>,

    /// Numbers of the nucleotides' embedding, to check the classifier against
    #[arg(long, value_name = "N")]
    pub(crate) nucleotide_size: Option<usize>,

    /// Numbers of the protein's embedding, to check the classifier against
    #[arg(long, value_name = "N")]
    pub(crate) protein_size: Option<usize>,

    #[command(flatten)]
    pub(crate) tables: TableArguments,

    /// Also write the joined features, as output_N_merged.pt
    #[arg(long)]
    pub(crate) save_merged: bool,

    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = parse_threads::<NonZeroUsize>)]
    pub(crate) threads: Option<NonZeroUsize>,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}
