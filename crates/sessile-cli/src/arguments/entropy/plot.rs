//! The flags of `sessile entropy plot`.

use std::path::PathBuf;

use crate::arguments::{OverwriteArguments, QuietArguments};
use clap::{Args, ValueEnum};
use sessile_reports::genomes::plot::Figure;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile entropy plot --input phages.json --output structure.svg\n  \
    sessile entropy plot --input phages.json.gz --figure genome --record NC_001416.1 --output \
lambda.png\n  \
    sessile entropy plot --input results/ --output report.html")]
pub(crate) struct PlotArguments {
    /// JSON or JSON Lines of `sessile entropy run` or genome_entropy, folders, patterns, or -
    #[arg(long, num_args = 1.., required = true, value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// Picture to write: .svg or .png, or - for SVG on standard output; .html is a report with all
    /// pictures and tables
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// What to draw
    #[arg(long, value_enum, default_value_t = FigureName::Structure, value_name = "FIGURE")]
    pub(crate) figure: FigureName,

    /// Record to draw along, by its identifier; may be given several times
    #[arg(long, value_name = "ID")]
    pub(crate) record: Vec<String>,

    /// Most records to draw along when none is named
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) most: u16,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FigureName {
    /// Entropy of proteins against that of their 3Di states
    Structure,
    /// Entropy along records
    Genome,
    /// How long ORFs are
    Length,
}

impl From<FigureName> for Figure {
    fn from(name: FigureName) -> Self {
        match name {
            FigureName::Structure => Figure::Structure,
            FigureName::Genome => Figure::Genome,
            FigureName::Length => Figure::Length,
        }
    }
}
