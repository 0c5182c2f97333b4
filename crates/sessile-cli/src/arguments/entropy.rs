//! The flags of `sessile entropy`.

pub(crate) mod ml;
pub(crate) mod plot;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sessile_models::generation::SettingsOverrides;
use sessile_models::tokenizer::Preprocessing;
use sessile_pipelines::entropy::{GeneticCode, SchemaVersion};
use sessile_pipelines::output::FileFormat;

use super::summarize::ChanceArguments;
use super::{PoolArguments, ReportArguments, ResumeArguments};
use crate::arguments::{OverwriteArguments, QuietArguments, RowArguments, ShardArguments};

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct EntropyArguments {
    #[command(subcommand)]
    pub(crate) command: EntropyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EntropyCommand {
    /// From genomes to ORFs, proteins, structure states and the entropy of each
    Run(Box<RunArguments>),
    /// Find the ORFs of genomes, as JSON or as get_orfs prints them
    Orf(OrfArguments),
    /// Translate ORFs to proteins
    Translate(TranslateArguments),
    /// Make protein records of protein FASTA
    FastaToProtein(StageArguments),
    /// Measure the entropies of ORFs, proteins and states that were made before
    Entropy(MeasureArguments),
    /// Train and use a classifier that tells annotated ORFs from others
    Ml(ml::MlArguments),
    /// Draw what a run found (SVG, PNG), or write a report with everything (HTML)
    Plot(plot::PlotArguments),
    /// Predict structure states (3Di) of proteins
    #[command(name = "encode3di")]
    Encode3Di(Box<Encode3DiArguments>),
    /// Say how many tokens a batch may have, from the memory plan or by trying
    EstimateTokens(EstimateTokensArguments),
}

/// A model that reads 3Di: the same for every command that has one.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Structure model")]
pub(crate) struct StateModelArguments {
    /// ProstT5 or a ModernProst model: a directory, file or hub name
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: String,

    #[command(flatten)]
    pub(crate) head: HeadArguments,
}

/// What there is to say of a structure model beside its name.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Structure model")]
pub(crate) struct HeadArguments {
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
--output states.jsonl\n\n\
    An interrupted run resumes when the same command is given again."
)]
pub(crate) struct Encode3DiArguments {
    #[command(flatten)]
    pub(crate) model: StateModelArguments,

    /// FASTA files, JSON of proteins, folders of FASTA, patterns, or - for standard input
    #[arg(short, long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) rows: RowArguments,

    /// FASTA of the 3Di states to write too, for Foldseek
    #[arg(long, value_name = "FILE")]
    pub(crate) fasta: Option<PathBuf>,

    /// Write X for states that are less probable than this
    #[arg(long, value_name = "PROBABILITY")]
    pub(crate) mask_below: Option<f32>,

    /// Keep what stands behind the identifier of a header, as `description`
    #[arg(long)]
    pub(crate) with_description: bool,

    /// Also write the probability of every residue's state
    #[arg(long)]
    pub(crate) probabilities: bool,

    #[command(flatten)]
    pub(crate) writing: StateWritingArguments,

    #[command(flatten)]
    pub(crate) resume: ResumeArguments,

    #[command(flatten)]
    pub(crate) report: ReportArguments,

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

/// What `--model` says when there is to be none.
pub(crate) const NO_MODEL: &str = "none";

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile entropy run --input genome.fasta --output genome.json\n  \
    sessile entropy run --genbank phages.gbk.gz --output phages.json.gz --output phages.tsv \
--model Rostlab/ProstT5 --head cnn_chkpnt/model.pt\n  \
    sessile entropy run --sample-sheet samples.csv --output results --format json,tsv\n  \
    sessile entropy run --input all.fa --shard 3/16 --output all.json\n\n\
    After a crash, a full disk or Ctrl-C the same command resumes where it stopped.")]
pub(crate) struct RunArguments {
    /// FASTA files, folders, patterns, or - for standard input
    #[arg(short, long, num_args = 1.., required_unless_present_any = ["genbank", "sample_sheet"],
          value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// GenBank files: sequences and coding sequences; beside --input the coding sequences only
    #[arg(short, long, num_args = 1.., value_name = "FILE")]
    pub(crate) genbank: Vec<PathBuf>,

    /// Samples apart from each other: a CSV file with lines of `sample,path`
    #[arg(long, conflicts_with_all = ["input", "genbank", "failures"], value_name = "FILE")]
    pub(crate) sample_sheet: Option<PathBuf>,

    /// File to write, or - for standard output; may be given several times. With a sample sheet the
    /// folder for a file of each sample
    #[arg(short, long, required = true, action = clap::ArgAction::Append, value_name = "FILE")]
    pub(crate) output: Vec<PathBuf>,

    /// json, jsonl (documents), tsv, csv or parquet (a row per ORF), text with .gz or .zst if wanted
    /// [default: by the extension, else json]
    #[arg(long, value_delimiter = ',', value_name = "FORMAT")]
    pub(crate) format: Vec<FileFormat>,

    /// Genetic code: the number of a table of NCBI
    #[arg(short, long, default_value = "11", value_name = "TABLE", value_parser = genetic_code)]
    pub(crate) table: GeneticCode,

    /// Shortest ORF, in residues, the stop not counted
    #[arg(long, default_value_t = 30, value_name = "N")]
    pub(crate) min_aa: usize,

    /// Leave the entropies out
    #[arg(long, conflicts_with = "html_report")]
    pub(crate) skip_entropy: bool,

    /// Report to write too: an HTML page with pictures and tables that needs no network
    #[arg(long = "report", value_name = "FILE")]
    pub(crate) html_report: Option<PathBuf>,

    /// Layout of the records, with its rule for coding sequences: 2.2.0 or 2.0.0
    #[arg(long, value_name = "VERSION")]
    pub(crate) schema: Option<SchemaVersion>,

    /// Do as another program does: its --min-aa, its layout
    #[arg(long, value_enum, conflicts_with = "schema", value_name = "PROGRAM")]
    pub(crate) compat: Option<Compat>,

    /// Structure model: ProstT5 or ModernProst (a directory, file or hub name), or `none`
    #[arg(short, long, default_value = NO_MODEL, value_name = "MODEL", help_heading = "Structure model")]
    pub(crate) model: String,

    #[command(flatten)]
    pub(crate) head: HeadArguments,

    #[command(flatten)]
    pub(crate) writing: StateWritingArguments,

    /// Residues of a batch: another name of --token-budget
    #[arg(
        long,
        conflicts_with = "token_budget",
        value_name = "N",
        help_heading = "Devices and batches"
    )]
    pub(crate) encoding_size: Option<usize>,

    /// GPUs by their numbers, such as 0,1: the same as --devices cuda:0,cuda:1
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        help_heading = "Devices and batches"
    )]
    pub(crate) gpu_ids: Vec<usize>,

    // With a sample sheet every N-th sample is computed, and nothing is to be merged.
    #[command(flatten)]
    pub(crate) shard: ShardArguments,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) resume: ResumeArguments,

    #[command(flatten)]
    pub(crate) report: ReportArguments,

    #[command(flatten)]
    pub(crate) pool: PoolArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compat {
    /// genome_entropy 0.1: ORFs of more than three times --min-aa residues, schema 2.0.0
    #[value(name = "genome-entropy-0.1")]
    GenomeEntropy01,
    /// genome_entropy 0.3: the same ORFs, letters that are no base as get_orfs and Biopython read
    /// them, 0 for entropies that were left out, schema 2.2.0
    #[value(name = "genome-entropy-0.3")]
    GenomeEntropy03,
}

/// The genetic code of a number; the error lists all.
fn genetic_code(text: &str) -> Result<GeneticCode, String> {
    // A number that is too large for a table is none of one either.
    let number = text
        .trim()
        .parse::<u64>()
        .map_err(|_| format!("`{text}` is not the number of a genetic code"))?;
    GeneticCode::of(u8::try_from(number).unwrap_or(u8::MAX)).map_err(|error| {
        let list = error.hint().unwrap_or_default();
        format!("NCBI has no genetic code {number}; {list}")
    })
}

/// The files of a stage.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  \
    sessile entropy fasta-to-protein --input proteins.faa --output proteins.json")]
pub(crate) struct StageArguments {
    /// Files, folders, patterns, or - for standard input
    #[arg(short, long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// File to write (.json, .jsonl, each with .gz if wanted), or - for standard output
    #[arg(short, long, default_value = "-", value_name = "FILE")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrfFormat {
    /// Records, as JSON or JSON Lines
    #[default]
    Json,
    /// The text of get_orfs 1.1
    GetOrfs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile entropy orf --input genome.fasta --output orfs.json\n  \
    sessile entropy orf --input genome.fasta --table 11 --min-length 30 --format get-orfs")]
pub(crate) struct OrfArguments {
    #[command(flatten)]
    pub(crate) files: StageArguments,

    /// Genetic code: the number of a table of NCBI
    #[arg(short, long, default_value = "11", value_name = "TABLE", value_parser = genetic_code)]
    pub(crate) table: GeneticCode,

    /// Keep ORFs of more than N residues, the stop counted: -l of get_orfs [default with --format
    /// get-orfs: 1]
    #[arg(long, conflicts_with = "min_aa", value_name = "N")]
    pub(crate) min_length: Option<usize>,

    /// Keep ORFs of at least N residues, the stop not counted [default: 30]
    #[arg(long, value_name = "N")]
    pub(crate) min_aa: Option<usize>,

    /// What to write
    #[arg(long, value_enum, default_value = "json", value_name = "FORMAT")]
    pub(crate) format: OrfFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sessile entropy translate --input orfs.json --output proteins.json")]
pub(crate) struct TranslateArguments {
    #[command(flatten)]
    pub(crate) files: StageArguments,

    /// Genetic code: the number of a table of NCBI [default: what each ORF says]
    #[arg(short, long, value_name = "TABLE", value_parser = genetic_code)]
    pub(crate) table: Option<GeneticCode>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile entropy entropy --input proteins.json --states states.jsonl --output entropies.json\n  \
    sessile entropy entropy --input genome.json --normalize --output entropies.jsonl")]
pub(crate) struct MeasureArguments {
    #[command(flatten)]
    pub(crate) files: StageArguments,

    /// What encode3di wrote of this input, for records without states of their own
    #[arg(long, value_name = "FILE")]
    pub(crate) states: Option<PathBuf>,

    /// Divide entropies by the logarithm of the alphabet's size: 1 is the most
    #[arg(long)]
    pub(crate) normalize: bool,
}
