//! The flags of `sessile entropy ml`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sessile_learn::orfs::{ClassWeight, Split};
use sessile_learn::trees::train::TrainOptions;

use super::super::parse_threads;
use super::Compat;
use crate::arguments::{OverwriteArguments, QuietArguments};

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct MlArguments {
    #[command(subcommand)]
    pub(crate) command: MlCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MlCommand {
    /// Train a classifier on labelled ORFs
    Train(Box<TrainArguments>),
    /// Say of each ORF how likely it is an annotated one
    Predict(PredictArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "ORFs are labelled by running `sessile entropy run` with --genbank. The model is \
boosted trees in XGBoost's own file format.\n\nExamples:\n  \
    sessile entropy ml train --input results/ --output model.ubj\n  \
    sessile entropy ml train --input results/*.json.gz --split files --class-weight balanced \
--early-stopping 10 --report training.json --output model.ubj"
)]
pub(crate) struct TrainArguments {
    /// JSON or JSON Lines of `sessile entropy run` or genome_entropy, folders, patterns, or -
    #[arg(short, long, num_args = 1.., required_unless_present = "split_dir", alias = "json-dir", value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// The same as --input FOLDER --split files
    #[arg(long, conflicts_with_all = ["input", "split"], value_name = "FOLDER")]
    pub(crate) split_dir: Option<PathBuf>,

    /// Model to write: .ubj or .json
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// JSON report to write: files, metrics, importance; split by files also each prediction
    #[arg(long, alias = "json-output", value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = parse_threads::<NonZeroUsize>)]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Print the metrics as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,

    #[command(flatten)]
    pub(crate) kept_back: SplitArguments,

    #[command(flatten)]
    pub(crate) training: TrainingArguments,
}

/// What is kept back to judge by.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Split")]
pub(crate) struct SplitArguments {
    /// What is kept back to judge by: any ORFs, or all ORFs of some records or files
    #[arg(long, value_enum, default_value_t = SplitBy::Orfs, value_name = "WHAT")]
    pub(crate) split: SplitBy,

    /// Share that is kept back [default: 0.1 of the ORFs or records, 0.2 of the files]
    #[arg(short, long, value_name = "SHARE")]
    pub(crate) test_split: Option<f64>,

    /// Share of the other ORFs that watches training
    #[arg(short, long, default_value_t = 0.2, value_name = "SHARE")]
    pub(crate) validation_split: f64,

    /// What decides who is kept back
    #[arg(long, default_value_t = 42, alias = "random-seed", value_name = "N")]
    pub(crate) seed: u64,
}

/// How the trees are grown.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Training")]
pub(crate) struct TrainingArguments {
    /// How often annotated ORFs count: equal, balanced, or a number of times
    #[arg(long, default_value = "equal", value_parser = class_weight, value_name = "WEIGHT")]
    pub(crate) class_weight: ClassWeight,

    /// Most rounds, a tree each
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) rounds: usize,

    /// Stop when the validation loss has not fallen for so many rounds, and keep the best
    #[arg(long, value_name = "ROUNDS")]
    pub(crate) early_stopping: Option<usize>,

    /// Most splits between root and leaf
    #[arg(long, default_value_t = 6, value_name = "N")]
    pub(crate) depth: usize,

    /// What of a tree counts
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    pub(crate) rate: f32,

    /// Second derivatives are raised by this: higher is smoother
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub(crate) lambda: f32,

    /// What a split must gain
    #[arg(long, default_value_t = 0.0, value_name = "X")]
    pub(crate) min_gain: f32,

    /// Second derivatives that a node must have
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub(crate) min_child_weight: f32,

    /// Bins of a feature
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(crate) bins: usize,
}

impl TrainingArguments {
    pub(crate) fn options(&self) -> TrainOptions {
        TrainOptions {
            rounds: self.rounds,
            depth: self.depth,
            rate: self.rate,
            lambda: self.lambda,
            min_gain: self.min_gain,
            min_child_weight: self.min_child_weight,
            bins: self.bins,
            patience: self.early_stopping,
            ..TrainOptions::default()
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitBy {
    /// ORFs of all files are on both sides
    Orfs,
    /// The classifier is judged by records it has not seen
    Records,
    /// The classifier is judged by files it has not seen
    Files,
}

impl From<SplitBy> for Split {
    fn from(split: SplitBy) -> Self {
        match split {
            SplitBy::Orfs => Split::Orfs,
            SplitBy::Records => Split::Records,
            SplitBy::Files => Split::Files,
        }
    }
}

fn class_weight(text: &str) -> Result<ClassWeight, String> {
    match text.trim() {
        "equal" => Ok(ClassWeight::Equal),
        "balanced" => Ok(ClassWeight::Balanced),
        number => (number.parse().ok())
            .filter(|times: &f32| times.is_finite() && *times > 0.0)
            .map(ClassWeight::Times)
            .ok_or_else(|| "give equal, balanced, or a number above 0".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "The columns are input_id, orf_id, predicted_label, prob_not_in_genbank, \
prob_in_genbank and in_genbank (NA where the file does not say), with commas in a .csv, else tabs.\n\n\
Example:\n  \
    sessile entropy ml predict --input new.json.gz --model model.ubj --output predictions.csv"
)]
pub(crate) struct PredictArguments {
    /// JSON or JSON Lines of `sessile entropy run` or genome_entropy, folders, patterns, or -
    #[arg(short, long, num_args = 1.., required = true, alias = "json-dir", value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// Model of `sessile entropy ml train` or XGBoost: .ubj or .json
    #[arg(short, long, value_name = "FILE")]
    pub(crate) model: PathBuf,

    /// Table to write, or - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Use the trees up to the best round only, as XGBClassifier does; without it all, as Booster
    #[arg(long)]
    pub(crate) best_iteration: bool,

    /// Write the columns of another program: genome_entropy 0.1 has no input_id
    #[arg(long, value_enum, value_name = "PROGRAM")]
    pub(crate) compat: Option<Compat>,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}
