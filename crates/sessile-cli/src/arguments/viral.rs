//! The flags of `sessile viral`.

mod classifier;
mod frames;
mod predict;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sessile_pipelines::output::Format;

use crate::arguments::{OverwriteArguments, QuietArguments};
use crate::exit::Failure;
pub(crate) use classifier::{ClassifyArguments, TrainArguments};
pub(crate) use frames::{ChunkArguments, IdentifyArguments, PrepareArguments};
pub(crate) use predict::{PredictArguments, VerifyArguments};

#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "All at once:\n  \
    sessile viral predict genomes.fa --classifier 500_model.pth --chunk 500 --dnabert \
zhihan1996/DNABERT-S --esm esm2_t36_3B --output results\n\n\
    The stages, one by one:\n  \
    sessile viral identify genomes.fa --chunk 500 --nucleotide n.fa --protein p.faa\n  \
    sessile viral classify --features out/*_merged.pt --classifier 500_model.pth --output results"
)]
pub(crate) struct ViralArguments {
    #[command(subcommand)]
    pub(crate) command: ViralCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ViralCommand {
    /// From genomes to result files in one go, both models resident
    Predict(Box<PredictArguments>),
    /// Compare a number format with f32 on a sample
    Verify(Box<VerifyArguments>),
    /// Cut genomes into overlapping chunks of one length
    Chunk(ChunkArguments),
    /// Find the reading frames of chunks that hold no stop
    Identify(IdentifyArguments),
    /// Make a training set from annotated genomes (GenBank and FASTA)
    Prepare(PrepareArguments),
    /// Train a classifier on feature vectors
    Train(TrainArguments),
    /// Score feature vectors and write the result files
    Classify(ClassifyArguments),
    /// Draw scores along contigs (SVG, PNG)
    Plot(PlotArguments),
    /// Look an input over: what would fail, and what would be odd
    Validate(ValidateArguments),
    /// Write a settings file with every setting of these commands
    GenerateConfig(GenerateConfigArguments),
}

/// Sequences to read: by place, or by --input as in the other commands.
#[derive(Clone, Debug, Args)]
pub(crate) struct SequenceArguments {
    /// FASTA files, folders, patterns, or - for standard input
    #[arg(value_name = "IN")]
    files: Vec<PathBuf>,

    /// The same
    #[arg(short, long, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
}

impl SequenceArguments {
    /// All of them.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub(crate) fn all(&self) -> Result<Vec<PathBuf>, Failure> {
        let all = [self.files.clone(), self.input.clone()].concat();
        match all.is_empty() {
            false => Ok(all),
            true => Err(Failure::usage("no input was named")
                .with_hint(Some("name FASTA files, or - for standard input"))),
        }
    }
}

/// Format of the tables: the same for every command that writes them.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct TableArguments {
    /// Format of the tables by frame, chunk and contig: tsv, csv, parquet, jsonl or json
    #[arg(long, default_value = "tsv", value_name = "FORMAT")]
    pub(crate) tables: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile viral plot results --output scores.svg\n  \
    sessile viral plot results --contig NC_001416.1 --output lambda.svg\n  \
    sessile viral plot old_results --input contigs.fa --chunk 300 --output scores.png")]
pub(crate) struct PlotArguments {
    /// A folder of results, its prediction_results.txt, or its table of frames
    #[arg(value_name = "RESULTS")]
    pub(crate) results: PathBuf,

    /// FASTA of the contigs, for results that do not say where chunks lie
    #[arg(short, long, num_args = 1.., value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// File to write (.svg or .png), or - for SVG on standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Contigs to draw [default: the first ones]
    #[arg(long, num_args = 1.., value_name = "ID")]
    pub(crate) contig: Vec<String>,

    /// Most contigs to draw when none is named
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) most: usize,

    /// Bases of a chunk, with --input
    #[arg(long, default_value = "500", value_name = "BASES")]
    pub(crate) chunk: NonZeroUsize,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sessile viral validate 'genomes/*.fa.gz'")]
pub(crate) struct ValidateArguments {
    #[command(flatten)]
    pub(crate) sequences: SequenceArguments,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sessile viral generate-config --output viral.toml && sessile --config viral.toml viral …")]
pub(crate) struct GenerateConfigArguments {
    /// File to write, or - for standard output
    #[arg(short, long, default_value = "-", value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Format [default: that of the file's ending, else TOML]
    #[arg(long, value_enum)]
    pub(crate) format: Option<ConfigFormat>,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ConfigFormat {
    /// TOML
    Toml,
    /// YAML
    Yaml,
}
