//! Chunks and candidate frames: the two stages before the models.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use sessile_seq::alphabet::Alphabet;
use sessile_seq::chunk::Batches;
use sessile_seq::fasta::Reader;
use sessile_seq::inputs::{self, Census, Format, Input};
use sessile_seq::six_frame::{Counts, Outputs, run_batches};

use crate::census;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job::{stored_bytes, tell_failure};
use crate::output::{Destination, Sources, check_outputs};
use crate::progress::{Observer, Progress, Summary};

/// What a genome may be written with, RNA being read as DNA: bases, ambiguity codes and the gaps of
/// alignments. The
/// original reads any letter and leaves codons out that it does not know; a protein file would
/// come to nothing without a word.
pub(crate) const GENOME: Alphabet = Alphabet::new(
    "a base of DNA, an IUPAC code of one, or a gap",
    b"ACGTRYSWKMBDHVN-.",
);

/// What to cut and where to put it.
#[derive(Clone, Debug, Default)]
pub struct IdentifyOptions {
    /// FASTA files, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// Bases of a chunk; `None`: the records are chunks already.
    pub chunk: Option<NonZeroUsize>,
    /// The file of chunks, or `-`.
    pub chunks: Option<PathBuf>,
    /// The nucleotides of the candidates, or `-`.
    pub nucleotide: Option<PathBuf>,
    /// The proteins of the candidates, or `-`.
    pub protein: Option<PathBuf>,
    /// Threads; `None`: one per core.
    pub threads: Option<NonZeroUsize>,
    /// Write over files that exist.
    pub force: bool,
}

/// What became of the records.
#[derive(Clone, Debug, Default)]
pub struct Identified {
    /// Chunks.
    pub chunks: u64,
    /// Frames without a stop whose protein is not empty.
    pub candidates: u64,
    /// Records, failures, time.
    pub summary: Summary,
}

/// Cuts the inputs into chunks and finds their candidate frames. The files are those of the
/// original: chunks wrapped at 60, candidates on one line.
///
/// # Errors
///
/// What ends the job as a whole. Records that fail are told to the observer and counted.
pub fn run(
    options: &IdentifyOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Identified, PipelineError> {
    let begun = Instant::now();
    let files = inputs::expand(&options.inputs, Format::Fasta)?;
    let outputs = [&options.chunks, &options.nucleotide, &options.protein];
    let sources = Sources::default().with_inputs(&files);
    check_outputs(outputs.into_iter().flatten(), options.force, &sources)?;
    let mut chunks = Output::open(options.chunks.as_ref(), interrupt)?;
    let mut nucleotide = Output::open(options.nucleotide.as_ref(), interrupt)?;
    let mut protein = Output::open(options.protein.as_ref(), interrupt)?;
    let threads = options.threads.unwrap_or_else(all_cores);
    let mut job = Job {
        options,
        threads,
        observer,
        progress: Progress {
            bytes_total: files.iter().map(stored_bytes).sum(),
            ..Progress::default()
        },
        begun,
        file_problem: None,
        chunks: 0,
        candidates: 0,
        census: Census::default(),
    };
    for input in &files {
        let outputs = [&mut chunks, &mut nucleotide, &mut protein];
        job.input(input, outputs, interrupt)?;
    }
    census::tell(&job.census, None, job.observer);
    let Job {
        progress,
        file_problem,
        chunks: chunk_count,
        candidates,
        ..
    } = job;
    if let Some(problem) = file_problem
        && progress.failed == progress.records
    {
        return Err(problem);
    }
    for output in [chunks, nucleotide, protein] {
        output.finish()?;
    }
    Ok(Identified {
        chunks: chunk_count,
        candidates,
        summary: Summary {
            records: progress.records,
            failed: progress.failed,
            run: begun.elapsed(),
            ..Summary::default()
        },
    })
}

/// One thread for every core.
pub fn all_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

struct Job<'a> {
    options: &'a IdentifyOptions,
    threads: NonZeroUsize,
    observer: &'a mut dyn Observer,
    progress: Progress,
    begun: Instant,
    /// What made a whole file, or the rest of one, unreadable.
    file_problem: Option<PipelineError>,
    chunks: u64,
    candidates: u64,
    census: Census,
}

impl Job<'_> {
    fn input(
        &mut self,
        input: &Input,
        outputs: [&mut Output; 3],
        interrupt: &Interrupt,
    ) -> Result<(), PipelineError> {
        let [chunks, nucleotide, protein] = outputs;
        let counted = match Reader::from_input(input) {
            Ok(reader) => {
                let reader = reader.counted_by(&self.census);
                let batches = match self.options.chunk {
                    Some(size) => Batches::new(reader, size),
                    None => Batches::whole(reader),
                };
                let outputs = Outputs {
                    chunks: chunks.writer(),
                    nucleotide: nucleotide.writer(),
                    protein: protein.writer(),
                };
                let (observer, progress) = (&mut *self.observer, &mut self.progress);
                run_batches(
                    batches.as_dna().only(GENOME),
                    self.threads,
                    outputs,
                    |error| {
                        progress.records += 1;
                        progress.failed += 1;
                        tell_failure(observer, &error);
                    },
                )
            }
            Err(error) => Err(error),
        };
        if let Some(signal) = interrupt.signal() {
            return Err(PipelineError::new(
                PipelineErrorKind::Interrupted,
                format!("stopped by signal {signal}; no file was written"),
            ));
        }
        for output in [chunks, nucleotide, protein] {
            output.check()?;
        }
        match counted {
            Ok(counts) => self.count(&counts),
            // The other files go on; what was read of this one stays.
            Err(error) => {
                self.progress.records += 1;
                self.progress.failed += 1;
                tell_failure(self.observer, &error);
                self.file_problem.get_or_insert(error.into());
            }
        }
        self.progress.bytes_read += stored_bytes(input);
        self.progress.elapsed = self.begun.elapsed();
        self.observer.progress(&self.progress);
        Ok(())
    }

    fn count(&mut self, counts: &Counts) {
        self.progress.records += counts.records;
        self.chunks += counts.chunks;
        self.candidates += counts.candidates;
    }
}

/// A file that is written, if it is wanted, and why it could not be.
struct Output {
    inner: Option<Writing>,
}

struct Writing {
    path: PathBuf,
    destination: Destination,
    interrupt: Interrupt,
    error: Option<io::Error>,
}

impl Output {
    fn open(path: Option<&PathBuf>, interrupt: &Interrupt) -> Result<Self, PipelineError> {
        let Some(path) = path else {
            return Ok(Output { inner: None });
        };
        let destination = Destination::open(path)
            .map_err(|error| PipelineError::output(&path.display().to_string(), error))?;
        let writing = Writing {
            path: path.clone(),
            destination,
            interrupt: interrupt.clone(),
            error: None,
        };
        Ok(Output {
            inner: Some(writing),
        })
    }

    fn writer(&mut self) -> Option<&mut dyn Write> {
        self.inner.as_mut().map(|writing| writing as &mut dyn Write)
    }

    fn check(&mut self) -> Result<(), PipelineError> {
        match &mut self.inner {
            Some(writing) => match writing.error.take() {
                Some(error) => Err(PipelineError::output(
                    &writing.path.display().to_string(),
                    error,
                )),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<(), PipelineError> {
        let Some(writing) = self.inner else {
            return Ok(());
        };
        let path = writing.path.display().to_string();
        writing
            .destination
            .finish()
            .map_err(|error| PipelineError::output(&path, error))
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.interrupt.signal().is_some() {
            return Err(io::Error::other("told to stop"));
        }
        let result = self.destination.write(bytes);
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            // The caller wraps the error; the number that tells a full disk apart is kept here.
            self.error = Some(match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(error.kind(), error.to_string()),
            });
        }
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        self.destination.flush()
    }
}
