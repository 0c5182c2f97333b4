//! Chunks and their reading frames: `sessile viral chunk`, `identify` and `prepare`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::super::parse_threads;
use super::SequenceArguments;
use crate::arguments::{OverwriteArguments, QuietArguments};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sessile viral chunk contigs.fa.gz --chunk 300 > chunked.fa")]
pub(crate) struct ChunkArguments {
    #[command(flatten)]
    pub(crate) sequences: SequenceArguments,

    /// Bases of a chunk
    #[arg(long, default_value = "500", value_name = "BASES")]
    pub(crate) chunk: NonZeroUsize,

    /// File to write, or - for standard output
    #[arg(short, long, default_value = "-", value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = parse_threads::<NonZeroUsize>)]
    pub(crate) threads: Option<NonZeroUsize>,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile viral identify chunked.fa --nucleotide n.fa --protein p.faa\n  \
    sessile viral identify contigs.fa --chunk 500 --nucleotide n.fa --protein p.faa --chunks c.fa")]
pub(crate) struct IdentifyArguments {
    #[command(flatten)]
    pub(crate) sequences: SequenceArguments,

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
    #[arg(long, value_name = "N", value_parser = parse_threads::<NonZeroUsize>)]
    pub(crate) threads: Option<NonZeroUsize>,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
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
    #[arg(long, value_name = "N", value_parser = parse_threads::<NonZeroUsize>)]
    pub(crate) threads: Option<NonZeroUsize>,

    #[command(flatten)]
    pub(crate) overwrite: OverwriteArguments,

    #[command(flatten)]
    pub(crate) messages: QuietArguments,
}
