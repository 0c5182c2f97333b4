//! The flags of `sessile viral`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sessile_pipelines::viral::predict::Shard;
use sessile_pipelines::viral::results::TableFormat;

use super::PoolArguments;

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
    /// Put the results of all parts of a run together
    Merge(MergeArguments),
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

    /// Format of the tables by frame, chunk and contig
    #[arg(long, value_enum, default_value = "tsv", value_name = "FORMAT")]
    pub(crate) tables: Tables,

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
#[command(after_help = "Examples:\n  \
    sessile viral plot results --output scores.svg\n  \
    sessile viral plot results --contig NC_001416.1 --chunk 300 --output lambda.svg")]
pub(crate) struct PlotArguments {
    /// A folder of results, or its prediction_results.txt
    #[arg(value_name = "RESULTS")]
    pub(crate) results: PathBuf,

    /// File to write (.svg or .png), or - for SVG on standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Contigs to draw [default: the first ones]
    #[arg(long, num_args = 1.., value_name = "ID")]
    pub(crate) contig: Vec<String>,

    /// Most contigs to draw when none is named
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) most: usize,

    /// Bases of a chunk
    #[arg(long, default_value = "500", value_name = "BASES")]
    pub(crate) chunk: NonZeroUsize,

    /// Write over a file that exists
    #[arg(long)]
    pub(crate) force: bool,
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
pub(crate) enum Tables {
    /// Text, fields separated by tabs
    Tsv,
    /// Apache Parquet
    Parquet,
}

impl From<Tables> for TableFormat {
    fn from(tables: Tables) -> Self {
        match tables {
            Tables::Tsv => TableFormat::Tsv,
            Tables::Parquet => TableFormat::Parquet,
        }
    }
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
    sessile viral predict all.fa --classifier c.pth --chunk 500 --shard 3/16 --output part3\n\n\
    After a crash, a full disk or Ctrl-C the same command goes on where it stopped.")]
pub(crate) struct PredictArguments {
    /// FASTA files, folders, patterns, or - for standard input
    #[arg(required_unless_present = "sample_sheet", value_name = "IN")]
    pub(crate) input: Vec<PathBuf>,

    /// Samples to predict apart from each other: a CSV file with lines of `sample,path`
    #[arg(long, conflicts_with = "input", value_name = "FILE")]
    pub(crate) sample_sheet: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) models: ViralModels,

    /// Folder for the result files; with a sample sheet, for a folder of each sample
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Compute every M-th record only, from the N-th on; `sessile viral merge` joins the parts
    #[arg(long, default_value = "1/1", value_name = "N/M")]
    pub(crate) shard: Shard,

    /// Format of the tables by frame, chunk and contig
    #[arg(long, value_enum, default_value = "tsv", value_name = "FORMAT")]
    pub(crate) tables: Tables,

    /// Also write the vectors, in the original's files
    #[arg(long)]
    pub(crate) save_features: bool,

    /// Throw away what an earlier run has finished
    #[arg(long)]
    pub(crate) restart: bool,

    /// Go on although the earlier run had another model, number format or processor
    #[arg(long)]
    pub(crate) allow_mixed: bool,

    /// Keep no journal: nothing to go on with after a crash
    #[arg(long)]
    pub(crate) no_journal: bool,

    /// Write over results that exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Print a line of JSON a second on standard error
    #[arg(long)]
    pub(crate) json_progress: bool,

    /// Show where the time went, by stage and operation
    #[arg(long)]
    pub(crate) profile: bool,

    /// Say nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) pool: PoolArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sessile viral merge part*/ --output results")]
pub(crate) struct MergeArguments {
    /// The folders of all parts, in any order
    #[arg(required = true, value_name = "DIR")]
    pub(crate) parts: Vec<PathBuf>,

    /// Folder for the result files
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Format of the tables by frame, chunk and contig
    #[arg(long, value_enum, default_value = "tsv", value_name = "FORMAT")]
    pub(crate) tables: Tables,

    /// Write over results that exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Say nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sessile viral verify genomes.fa --classifier 500_model.pth --chunk 500 --dtype bf16")]
pub(crate) struct VerifyArguments {
    /// FASTA files, folders, patterns, or - for standard input
    #[arg(required = true, value_name = "IN")]
    pub(crate) input: Vec<PathBuf>,

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
}
