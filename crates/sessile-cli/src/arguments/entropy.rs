//! The flags of `sessile entropy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sessile_models::generation::SettingsOverrides;
use sessile_models::tokenizer::Preprocessing;

use super::PoolArguments;
use super::summarize::ChanceArguments;

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct EntropyArguments {
    #[command(subcommand)]
    pub(crate) command: EntropyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EntropyCommand {
    /// Predict structure states (3Di) of proteins
    #[command(name = "encode3di")]
    Encode3Di(Encode3DiArguments),
    /// Say how many tokens a batch may have, from the memory plan or by trying
    EstimateTokens(EstimateTokensArguments),
}

/// A model that reads 3Di: the same for every command that has one.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Structure model")]
pub(crate) struct StateModelArguments {
    /// ProstT5 or a ModernProst model: a directory, file or hub name
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,

    /// File of the 3Di head of ProstT5 (.pt, .pth or safetensors) [default: found beside the model]
    #[arg(long, value_name = "PATH")]
    pub(crate) head: Option<PathBuf>,

    /// JSON file that says which tensors of a ModernProst checkpoint are its heads
    #[arg(long, value_name = "FILE")]
    pub(crate) head_map: Option<PathBuf>,

    /// What is done to residues first: standard, genome-entropy or phold
    ///
    /// With --method generate, genome-entropy also stands for that program's lengths and beams.
    #[arg(long, default_value_t, value_name = "MODE")]
    pub(crate) preprocess: Preprocessing,
}

/// How states are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateMethod {
    /// The encoder and a head that scores the states of all residues at once
    #[default]
    Head,
    /// ProstT5's decoder, which writes a state after the other
    Generate,
}

/// How the decoder writes. Lengths follow from each protein.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Writing states (--method generate)")]
pub(crate) struct StateWritingArguments {
    /// head (encoder and 3Di head) or generate (ProstT5's decoder, many times slower)
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "METHOD",
        hide_possible_values = true
    )]
    pub(crate) method: StateMethod,

    /// Hypotheses that are followed at once; 1 is greedy search
    #[arg(long, value_name = "N")]
    pub(crate) num_beams: Option<usize>,

    /// More than 1 makes states that were there less likely
    #[arg(long, value_name = "X")]
    pub(crate) repetition_penalty: Option<f32>,

    #[command(flatten)]
    pub(crate) chance: ChanceArguments,
}

impl StateWritingArguments {
    pub(crate) fn overrides(&self) -> SettingsOverrides {
        let chance = self.chance.overrides();
        SettingsOverrides {
            num_beams: self.num_beams.or(chance.num_beams),
            repetition_penalty: self.repetition_penalty,
            ..chance
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Rows have the keys id, three_di, twelve_state (or null) and \
mean_probability.\n\nExamples:\n  \
    sessile entropy encode3di --model Rostlab/ProstT5 --head cnn_chkpnt/model.pt --input \
proteins.fasta --output states.jsonl\n  \
    sessile entropy encode3di --model ./modernprost-50M --input genome.json --output states.jsonl \
--fasta states_ss.fasta --mask-below 0.25\n  \
    sessile entropy encode3di --model Rostlab/ProstT5 --method generate --input proteins.fasta \
--output states.jsonl"
)]
pub(crate) struct Encode3DiArguments {
    #[command(flatten)]
    pub(crate) model: StateModelArguments,

    /// FASTA files, JSON of proteins, folders of FASTA, patterns, or - for standard input
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// JSON Lines to write, or - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// FASTA of the 3Di states to write too, for Foldseek
    #[arg(long, value_name = "FILE")]
    pub(crate) fasta: Option<PathBuf>,

    /// Write X for states that are less probable than this
    #[arg(long, value_name = "PROBABILITY")]
    pub(crate) mask_below: Option<f32>,

    /// Also write the probability of every residue's state
    #[arg(long)]
    pub(crate) probabilities: bool,

    /// Write over outputs that exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Say nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) writing: StateWritingArguments,

    #[command(flatten)]
    pub(crate) pool: PoolArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile entropy estimate-tokens --model ./prostt5\n  \
    sessile entropy estimate-tokens --model ./prostt5 --probe")]
pub(crate) struct EstimateTokensArguments {
    #[command(flatten)]
    pub(crate) model: StateModelArguments,

    /// Also compute batches of several sizes and say which is fastest
    #[arg(long)]
    pub(crate) probe: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) pool: PoolArguments,
}
