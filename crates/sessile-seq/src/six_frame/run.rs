//! From records to the chunk file and the two files of candidates, on several cores.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use super::FrameScanner;
use crate::chunk::{Batches, ChunkBatch};
use crate::error::{Error, Result};
use crate::fasta;
use crate::parallel::map_in_order;

/// Biopython wraps FASTA at this width, and so do VirNucPro's chunk files.
const CHUNK_FILE_WIDTH: NonZeroUsize = NonZeroUsize::new(60).unwrap();

/// Where the results go; what is `None` is not made.
///
/// Blocks of about half a megabyte are written at once, so a file needs no buffer.
#[derive(Default)]
pub struct Outputs<'w> {
    /// The chunks, with the case of the input, wrapped at 60.
    pub chunks: Option<&'w mut dyn Write>,
    /// The nucleotides of every candidate.
    pub nucleotide: Option<&'w mut dyn Write>,
    /// The protein of every candidate.
    pub protein: Option<&'w mut dyn Write>,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Records that were cut into chunks.
    pub records: u64,
    /// Records that could not be read.
    pub failed_records: u64,
    /// Chunks.
    pub chunks: u64,
    /// Candidates: frames without a stop whose protein is not empty.
    pub candidates: u64,
}

/// One batch as text.
#[derive(Default)]
struct Block {
    chunks: Vec<u8>,
    nucleotide: Vec<u8>,
    protein: Vec<u8>,
    counts: Counts,
}

/// Cuts the records of `reader` into chunks of `size`, finds their open frames on `threads` cores
/// and writes both, in the order of the input.
///
/// Record errors go to `on_record_error`, in order, and the run goes on. Memory is bounded by the
/// longest record and some batches per thread.
///
/// # Errors
///
/// File errors of the reader, and errors of the outputs.
///
/// # Examples
///
/// ```
/// use std::num::NonZeroUsize;
/// use sessile_seq::{fasta, six_frame};
///
/// let reader = fasta::Reader::new(&b">a\natgaaattt\n"[..]);
/// let size = NonZeroUsize::new(300).unwrap();
/// let mut proteins = Vec::new();
/// let outputs = six_frame::Outputs {
///     protein: Some(&mut proteins),
///     ..Default::default()
/// };
/// let counts = six_frame::run(reader, size, NonZeroUsize::MIN, outputs, |_| ())?;
/// assert!(proteins.starts_with(b">a_chunk_1F1\nMKF\n"));
/// assert_eq!((counts.chunks, counts.candidates), (1, 5));
/// # Ok::<(), sessile_seq::Error>(())
/// ```
pub fn run<R, F>(
    reader: fasta::Reader<R>,
    size: NonZeroUsize,
    threads: NonZeroUsize,
    outputs: Outputs<'_>,
    on_record_error: F,
) -> Result<Counts>
where
    R: Read + Send,
    F: FnMut(Error),
{
    run_batches(
        Batches::new(reader, size),
        threads,
        outputs,
        on_record_error,
    )
}

/// The same over chunks that come from elsewhere: records taken whole, or checked on the way.
///
/// # Errors
///
/// As [`run`].
pub fn run_batches<B, F>(
    batches: B,
    threads: NonZeroUsize,
    mut outputs: Outputs<'_>,
    mut on_record_error: F,
) -> Result<Counts>
where
    B: Iterator<Item = Result<ChunkBatch>> + Send,
    F: FnMut(Error),
{
    let wanted = [
        outputs.chunks.is_some(),
        outputs.nucleotide.is_some(),
        outputs.protein.is_some(),
    ];
    let mut counts = Counts::default();
    map_in_order(
        batches,
        threads,
        || {
            let mut scanner = FrameScanner::new();
            move |batch: Result<ChunkBatch>| -> Result<Block> {
                let mut block = Block::default();
                block
                    .fill(&batch?, wanted, &mut scanner)
                    .map_err(|error| Error::io("cannot write", error))?;
                Ok(block)
            }
        },
        |block| match block {
            Ok(block) => {
                counts.records += block.counts.records;
                counts.chunks += block.counts.chunks;
                counts.candidates += block.counts.candidates;
                write(&mut outputs.chunks, &block.chunks)?;
                write(&mut outputs.nucleotide, &block.nucleotide)?;
                write(&mut outputs.protein, &block.protein)
            }
            Err(error) if error.is_record_error() => {
                counts.failed_records += 1;
                on_record_error(error);
                Ok(())
            }
            Err(error) => Err(error),
        },
    )?;
    Ok(counts)
}

fn write(out: &mut Option<&mut dyn Write>, text: &[u8]) -> Result<()> {
    match out {
        Some(out) => out
            .write_all(text)
            .map_err(|error| Error::io("cannot write", error)),
        None => Ok(()),
    }
}

impl Block {
    fn fill(
        &mut self,
        batch: &ChunkBatch,
        [chunks, nucleotide, protein]: [bool; 3],
        scanner: &mut FrameScanner,
    ) -> io::Result<()> {
        let width = Some(CHUNK_FILE_WIDTH);
        let mut chunk_file = fasta::Writer::new(&mut self.chunks).wrapped_at(width);
        let mut nucleotide_file = fasta::Writer::new(&mut self.nucleotide);
        let mut protein_file = fasta::Writer::new(&mut self.protein);
        let mut name = String::new();
        for chunk in batch.iter() {
            self.counts.records += u64::from(chunk.number <= 1);
            self.counts.chunks += 1;
            name.clear();
            name.push_str(&chunk.to_string());
            if chunks {
                chunk_file.write(&name, chunk.bases)?;
            }
            if !nucleotide && !protein {
                continue;
            }
            let name_length = name.len();
            for open in scanner.scan(chunk.bases) {
                if open.protein.is_empty() {
                    continue;
                }
                self.counts.candidates += 1;
                name.truncate(name_length);
                name.push_str(open.suffix());
                if nucleotide {
                    nucleotide_file.write(&name, open.nucleotide)?;
                }
                if protein {
                    protein_file.write(&name, open.protein)?;
                }
            }
        }
        Ok(())
    }
}
