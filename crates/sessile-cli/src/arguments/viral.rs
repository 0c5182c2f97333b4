//! The flags of `sessile viral`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "The stages, one by one:\n  \
    sessile viral identify genomes.fa --chunk 500 --nucleotide n.fa --protein p.faa\n  \
    sessile viral classify --features out/*_merged.pt --classifier 500_model.pth --output results"
)]
pub(crate) struct ViralArguments {
    #[command(subcommand)]
    pub(crate) command: ViralCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ViralCommand {
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
    /// Look an input over: what would fail, and what would be odd
    Validate(ValidateArguments),
    /// Write a settings file with every setting of these commands
    GenerateConfig(GenerateConfigArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sessile viral chunk contigs.fa.gz --chunk 300 > chunked.fa")]
pub(crate) struct ChunkArguments {
    /// FASTA files, folders, patterns, or - for standard input
    #[arg(required = true, value_name = "IN")]
    pub(crate) input: Vec<PathBuf>,

    /// Bases of a chunk
    #[arg(long, default_value = "500", value_name = "BASES")]
    pub(crate) chunk: NonZeroUsize,

    /// File to write, or - for standard output
    #[arg(long, default_value = "-", value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Write over an output that exists
    #[arg(long)]
    pub(crate) force: bool,

    /// Say nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile viral identify chunked.fa --nucleotide n.fa --protein p.faa\n  \
    sessile viral identify contigs.fa --chunk 500 --nucleotide n.fa --protein p.faa --chunks c.fa")]
pub(crate) struct IdentifyArguments {
    /// FASTA files, folders, patterns, or - for standard input
    #[arg(required = true, value_name = "IN")]
    pub(crate) input: Vec<PathBuf>,

    /// File for the nucleotides of the frames
    #[arg(long, value_name = "FILE")]
    pub(crate) nucleotide: PathBuf,

    /// File for their proteins
    #[arg(long, value_name = "FILE")]
    pub(crate) protein: PathBuf,

    /// Cut the records into chunks of so many bases first [default: they are chunks]
    #[arg(long, value_name = "BASES")]
    pub(crate) chunk: Option<NonZeroUsize>,

    /// File for the chunks, with --chunk
    #[arg(long, requires = "chunk", value_name = "FILE")]
    pub(crate) chunks: Option<PathBuf>,

    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Write over files that exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Say nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
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
    #[arg(long, value_name = "DIR")]
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

    /// Also write the joined features, as output_N_merged.pt
    #[arg(long)]
    pub(crate) save_merged: bool,

    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Write over results that exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Say nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sessile viral validate 'genomes/*.fa.gz'")]
pub(crate) struct ValidateArguments {
    /// FASTA files, folders, patterns, or - for standard input
    #[arg(required = true, value_name = "IN")]
    pub(crate) input: Vec<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sessile viral prepare --genbank viral.1.genomic.gbff.gz --fasta viral.1.1.genomic.fna.gz \
--chunk 300 --nucleotide viral_n.fa --protein viral_p.faa")]
pub(crate) struct PrepareArguments {
    /// GenBank files with the annotated proteins
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) genbank: Vec<PathBuf>,

    /// FASTA files with the same records: one for each GenBank file, or all for a single one
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) fasta: Vec<PathBuf>,

    /// Bases of a chunk
    #[arg(long, default_value = "500", value_name = "BASES")]
    pub(crate) chunk: NonZeroUsize,

    /// File for the nucleotides of the frames
    #[arg(long, value_name = "FILE")]
    pub(crate) nucleotide: PathBuf,

    /// File for their proteins
    #[arg(long, value_name = "FILE")]
    pub(crate) protein: PathBuf,

    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Write over files that exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Say nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

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
    #[arg(long, value_name = "FILE")]
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

    /// Units of the hidden layer
    #[arg(
        long,
        default_value_t = 512,
        value_name = "N",
        help_heading = "Training"
    )]
    pub(crate) hidden: usize,

    /// Samples of a step
    #[arg(
        long,
        default_value_t = 32,
        value_name = "N",
        help_heading = "Training"
    )]
    pub(crate) batch: usize,

    /// Most epochs
    #[arg(
        long,
        default_value_t = 200,
        value_name = "N",
        help_heading = "Training"
    )]
    pub(crate) epochs: usize,

    /// Learning rate at the start
    #[arg(
        long,
        default_value_t = 0.0002,
        value_name = "RATE",
        help_heading = "Training"
    )]
    pub(crate) rate: f32,

    /// Momentum
    #[arg(
        long,
        default_value_t = 0.9,
        value_name = "SHARE",
        help_heading = "Training"
    )]
    pub(crate) momentum: f32,

    /// Epochs after which the rate falls
    #[arg(
        long,
        default_value_t = 10,
        value_name = "N",
        help_heading = "Training"
    )]
    pub(crate) rate_step: usize,

    /// What the rate is multiplied with then
    #[arg(
        long,
        default_value_t = 0.85,
        value_name = "FACTOR",
        help_heading = "Training"
    )]
    pub(crate) rate_factor: f32,

    /// Share of the hidden units that a step leaves out
    #[arg(
        long,
        default_value_t = 0.5,
        value_name = "SHARE",
        help_heading = "Training"
    )]
    pub(crate) dropout: f32,

    /// Epochs without a lower loss after which training stops
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Training")]
    pub(crate) patience: usize,

    /// Share of the samples that is held out to judge by
    #[arg(
        long,
        default_value_t = 0.1,
        value_name = "SHARE",
        help_heading = "Training"
    )]
    pub(crate) held_out: f64,

    /// Everything random follows from this number
    #[arg(
        long,
        default_value_t = 42,
        value_name = "N",
        help_heading = "Training"
    )]
    pub(crate) seed: u64,

    /// Print the metrics of the best epoch as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Write over a file that exists
    #[arg(long)]
    pub(crate) force: bool,

    /// Say nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ConfigFormat {
    /// TOML
    Toml,
    /// YAML
    Yaml,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sessile viral generate-config --output viral.toml && sessile --config viral.toml viral …")]
pub(crate) struct GenerateConfigArguments {
    /// File to write, or - for standard output
    #[arg(long, default_value = "-", value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Format [default: that of the file's ending, else TOML]
    #[arg(long, value_enum)]
    pub(crate) format: Option<ConfigFormat>,

    /// Write over a file that exists
    #[arg(long)]
    pub(crate) force: bool,
}
