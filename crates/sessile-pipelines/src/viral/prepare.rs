//! Training sets from annotated genomes: frames whose protein is a part of an annotated one.
//!
//! As the original's `make_train_dataset_300.py` and `…_500.py`: the FASTA file is cut into chunks,
//! chunks with an ambiguity code are left out, and a frame is kept when it has no stop and its
//! protein lies within a CDS translation that the GenBank file gives for the same record. A record
//! without annotation gives nothing.

use std::collections::HashMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use sessile_seq::chunk::{Batches, ChunkBatch};
use sessile_seq::inputs::{self, Census, Format, Input};
use sessile_seq::parallel::map_in_order;
use sessile_seq::six_frame::{FrameScanner, ReferenceProteins};
use sessile_seq::{fasta, genbank};

use super::identify::{Identified, all_cores};
use crate::census;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job::{reason, tell_failure};
use crate::output::{Destination, Sources, check_outputs};
use crate::progress::{Observer, Progress, Summary};

/// What to prepare and where to put it.
#[derive(Clone, Debug)]
pub struct PrepareOptions {
    /// GenBank files with the annotation.
    pub genbank: Vec<PathBuf>,
    /// FASTA files with the same records: a file for each GenBank file, or all for all.
    pub fasta: Vec<PathBuf>,
    /// Bases of a chunk.
    pub chunk: NonZeroUsize,
    /// The nucleotides of the frames, or `-`.
    pub nucleotide: PathBuf,
    /// The proteins of the frames, or `-`.
    pub protein: PathBuf,
    /// Threads; `None`: one per core.
    pub threads: Option<NonZeroUsize>,
    /// Write over files that exist.
    pub force: bool,
}

/// Annotated proteins by record.
type Annotation = HashMap<String, ReferenceProteins>;

/// Makes a training set.
///
/// # Errors
///
/// What ends the job as a whole. Records that fail are told to the observer and counted. The
/// proteins of one GenBank file are held in memory; everything else is a stream.
pub fn run(
    options: &PrepareOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Identified, PipelineError> {
    let begun = Instant::now();
    let annotations = inputs::expand(&options.genbank, Format::GenBank)?;
    let genomes = inputs::expand(&options.fasta, Format::Fasta)?;
    if annotations.len() != genomes.len() && annotations.len() != 1 {
        return Err(PipelineError::new(
            PipelineErrorKind::Usage,
            format!(
                "{} GenBank files and {} FASTA files do not pair up",
                annotations.len(),
                genomes.len()
            ),
        )
        .with_hint("give a FASTA file for each GenBank file, in the same order"));
    }
    let sources = Sources::default().with_inputs(annotations.iter().chain(&genomes));
    let outputs = [&options.nucleotide, &options.protein];
    check_outputs(outputs, options.force, &sources)?;
    let open = |path: &PathBuf| {
        Destination::open(path)
            .map_err(|error| PipelineError::output(&path.display().to_string(), error))
    };
    let mut job = Job {
        options,
        nucleotide: open(&options.nucleotide)?,
        protein: open(&options.protein)?,
        observer,
        interrupt,
        done: Identified::default(),
        without_annotation: 0,
        census: Census::default(),
    };
    let mut annotation = Annotation::new();
    for (place, genome) in genomes.iter().enumerate() {
        if let Some(input) = annotations.get(place) {
            annotation = job.read_annotation(input)?;
        }
        job.read_genome(genome, &annotation)?;
        let progress = Progress {
            records: job.done.summary.records,
            failed: job.done.summary.failed,
            elapsed: begun.elapsed(),
            ..Progress::default()
        };
        job.observer.progress(&progress);
    }
    if job.without_annotation > 0 {
        job.observer.note(&format!(
            "note: {} records of the FASTA files have no annotated protein and gave no frame",
            job.without_annotation
        ));
    }
    census::tell(&job.census, None, job.observer);
    let mut done = job.done;
    for (out, path) in [
        (job.nucleotide, &options.nucleotide),
        (job.protein, &options.protein),
    ] {
        out.finish()
            .map_err(|error| PipelineError::output(&path.display().to_string(), error))?;
    }
    done.summary = Summary {
        run: begun.elapsed(),
        ..done.summary
    };
    Ok(done)
}

struct Job<'a> {
    options: &'a PrepareOptions,
    nucleotide: Destination,
    protein: Destination,
    observer: &'a mut dyn Observer,
    interrupt: &'a Interrupt,
    done: Identified,
    without_annotation: u64,
    census: Census,
}

/// The frames of a batch as text, and the records in it that have no annotation.
#[derive(Default)]
struct Block {
    nucleotide: Vec<u8>,
    protein: Vec<u8>,
    records: u64,
    chunks: u64,
    frames: u64,
    without_annotation: u64,
}

impl Job<'_> {
    fn fail(&mut self, error: &sessile_seq::Error) {
        self.done.summary.records += 1;
        self.done.summary.failed += 1;
        tell_failure(self.observer, error);
    }

    fn check_interrupt(&self) -> Result<(), PipelineError> {
        match self.interrupt.signal() {
            None => Ok(()),
            Some(_) => Err(PipelineError::new(
                PipelineErrorKind::Interrupted,
                format!(
                    "stopped after {} records; no file was written",
                    self.done.summary.records
                ),
            )),
        }
    }

    fn read_annotation(&mut self, input: &Input) -> Result<Annotation, PipelineError> {
        let mut annotation = Annotation::new();
        let annotated = Census::default();
        for record in genbank::Reader::from_input(input)?.counted_by(&annotated) {
            self.check_interrupt()?;
            match record {
                Ok(record) => {
                    for issue in &record.issues {
                        let (place, reason) = (issue.place(), reason(issue));
                        self.observer.note(&format!("warning: {place}: {reason}"));
                    }
                    let proteins = record
                        .cds
                        .iter()
                        .filter_map(|cds| cds.translation.as_deref());
                    annotation.insert(record.id, proteins.collect());
                }
                Err(error) if error.is_record_error() => self.fail(&error),
                // Half an annotation would quietly make half a training set.
                Err(error) => return Err(error.into()),
            }
        }
        census::tell(&annotated, None, self.observer);
        Ok(annotation)
    }

    fn read_genome(&mut self, input: &Input, annotation: &Annotation) -> Result<(), PipelineError> {
        let reader = fasta::Reader::from_input(input)?.counted_by(&self.census);
        let batches = Batches::new(reader, self.options.chunk).as_dna();
        let threads = self.options.threads.unwrap_or_else(all_cores);
        map_in_order(
            batches,
            threads,
            || {
                let mut scanner = FrameScanner::new();
                move |batch: sessile_seq::Result<ChunkBatch>| {
                    Ok(fill(&batch?, annotation, &mut scanner))
                }
            },
            |block: sessile_seq::Result<Block>| {
                self.check_interrupt()?;
                match block {
                    Ok(block) => self.take(&block),
                    Err(error) if error.is_record_error() => {
                        self.fail(&error);
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                }
            },
        )
    }

    fn take(&mut self, block: &Block) -> Result<(), PipelineError> {
        self.done.summary.records += block.records;
        self.done.chunks += block.chunks;
        self.done.candidates += block.frames;
        self.without_annotation += block.without_annotation;
        for (out, text, path) in [
            (
                &mut self.nucleotide,
                &block.nucleotide,
                &self.options.nucleotide,
            ),
            (&mut self.protein, &block.protein, &self.options.protein),
        ] {
            out.write_all(text)
                .map_err(|error| PipelineError::output(&path.display().to_string(), error))?;
        }
        Ok(())
    }
}

fn fill(batch: &ChunkBatch, annotation: &Annotation, scanner: &mut FrameScanner) -> Block {
    let none = ReferenceProteins::default();
    let mut block = Block::default();
    for chunk in batch.iter() {
        // The original looks a record up by what stands before the first `_chunk_`.
        let key = chunk.record_id.split("_chunk_").next().unwrap_or_default();
        let references = annotation.get(key);
        block.chunks += 1;
        if chunk.number == 1 {
            block.records += 1;
            block.without_annotation += u64::from(references.is_none());
        }
        let frames = scanner.scan_for_training(chunk.bases, references.unwrap_or(&none));
        for open in frames
            .into_iter()
            .flatten()
            .filter(|open| !open.protein.is_empty())
        {
            block.frames += 1;
            let header = format!(">{chunk}{}\n", open.suffix());
            for (out, letters) in [
                (&mut block.nucleotide, open.nucleotide),
                (&mut block.protein, open.protein),
            ] {
                out.extend_from_slice(header.as_bytes());
                out.extend_from_slice(letters);
                out.push(b'\n');
            }
        }
    }
    block
}
