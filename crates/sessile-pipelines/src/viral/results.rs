//! Result files: the original's two, and tables by frame, chunk and contig.

mod tables;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::label::FrameLabel;
use super::sorted::{Best, SortedChunks};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::journal::{BESIDE, beside};
use crate::output::{Format, ShortFloat, Sources, WholeFile, check_absent};
use tables::table_formats;
pub use tables::{CONTIG_LENGTH, END, FRAME_TABLE, START};
use tables::{TABLES, Tables};

/// The key of temporary files: runs into one folder take turns.
pub(super) const TEMPORARY: &str = "viral";

/// The original's scores of every frame.
pub const FRAME_RESULTS: &str = "prediction_results.txt";

/// The original's verdict on every chunk; separated by tabs in spite of its name.
pub const CHUNK_RESULTS: &str = "prediction_results_highestscore.csv";

/// Records and frames without a result, and why.
pub const FAILURES: &str = "failed.tsv";

/// Its first line.
pub(super) const FAILURES_HEADER: &str = "sequence_id\treason\n";

/// By how much two logits of one frame may differ between processors, or from the original: their
/// embeddings agree to about 1e-6.
const LOGIT_ERROR: f32 = 1e-5;

/// Whether *virus* is at least as likely as *others*, where scores count as equal when they are so
/// within their error: an error of a logit moves a score *p* by *p*(1 − *p*) times as much. A
/// verdict must not hang on the last bit, and the original's on a chunk calls equal scores a virus.
pub(super) fn leans_to_virus(others: f32, virus: f32) -> bool {
    let error = |score: f32| LOGIT_ERROR * score * (1.0 - score);
    virus + error(virus) + error(others) >= others
}

/// Where a chunk lies on its contig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPlace {
    /// Its first base, from 1.
    pub start: u64,
    /// Its last base.
    pub end: u64,
    /// Bases of the contig.
    pub contig_length: u64,
}

/// The classifier's answer to one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameScore<'a> {
    /// The name of the frame.
    pub id: &'a str,
    /// Probabilities of *others* and *virus*.
    pub scores: [f32; 2],
    /// Where its chunk lies, where that is known: feature files do not say it.
    pub place: Option<ChunkPlace>,
}

impl FrameScore<'_> {
    /// The label: *virus* when that is at least as likely, to within 5e-6.
    pub fn label(&self) -> &'static str {
        let [others, virus] = self.scores;
        sessile_models::classifier::CLASSES[usize::from(leans_to_virus(others, virus))]
    }
}

/// Writes all result files of a run into one folder. They appear together when the run is done.
pub struct Results {
    folder: PathBuf,
    frames: WholeFile,
    chunks: WholeFile,
    sorted: SortedChunks,
    tables: Tables,
    counts: ResultCounts,
}

/// How the verdicts fell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResultCounts {
    /// Frames scored.
    pub frames: u64,
    /// Chunks with a frame.
    pub chunks: u64,
    /// Chunks that are viruses.
    pub virus_chunks: u64,
    /// Contigs, those without a frame too where they are known.
    pub contigs: u64,
}

impl Results {
    /// Begins to write into `folder`, which is made if need be.
    ///
    /// # Errors
    ///
    /// `Output` when results are there already and `force` is not set, or a file can not be made.
    pub fn create(folder: &Path, tables: Format, force: bool) -> Result<Self, PipelineError> {
        check_folder(folder, force, &Sources::default())?;
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        Self::open(folder, tables).map_err(|error| failed(folder, error))
    }

    fn open(folder: &Path, tables: Format) -> io::Result<Self> {
        let open = |name: &str| WholeFile::create_locked(&folder.join(name), TEMPORARY);
        let (mut frames, mut chunks) = (open(FRAME_RESULTS)?, open(CHUNK_RESULTS)?);
        frames.write_all(b"Sequence_ID\tPrediction\tscore1\tscore2\n")?;
        chunks.write_all(b"Modified_ID\tIs_Virus\n")?;
        Ok(Results {
            frames,
            chunks,
            sorted: SortedChunks::new(folder.to_owned()),
            tables: Tables::create(folder, tables)?,
            counts: ResultCounts::default(),
            folder: folder.to_owned(),
        })
    }

    /// The frames of another contig follow, if it has any: a contig without one has its row, too.
    ///
    /// # Errors
    ///
    /// When a file can not be written.
    pub fn begin_contig(&mut self, id: &str) -> Result<(), PipelineError> {
        let begun = self.tables.begin_contig(id);
        begun.map_err(|error| failed(&self.folder, error))
    }

    /// Takes the next frame. Frames of a chunk and chunks of a contig come one after the other.
    ///
    /// # Errors
    ///
    /// When a file can not be written.
    pub fn write(&mut self, frame: FrameScore<'_>) -> Result<(), PipelineError> {
        self.add(frame).map_err(|error| failed(&self.folder, error))
    }

    fn add(&mut self, frame: FrameScore<'_>) -> io::Result<()> {
        let [others, virus] = frame.scores;
        writeln!(
            self.frames,
            "{}\t{}\t{}\t{}",
            frame.id,
            frame.label(),
            ShortFloat(others),
            ShortFloat(virus)
        )?;
        let label = FrameLabel::parse(frame.id);
        self.sorted.push(label.chunk_id, Best { others, virus })?;
        self.counts.frames += 1;
        self.tables.add(&label, frame)
    }

    /// Writes what is left and gives all files their names.
    ///
    /// # Errors
    ///
    /// When a file can not be written.
    pub fn finish(self) -> Result<ResultCounts, PipelineError> {
        let folder = self.folder.clone();
        self.finish_files().map_err(|error| failed(&folder, error))
    }

    fn finish_files(mut self) -> io::Result<ResultCounts> {
        let (chunks, counts) = (&mut self.chunks, &mut self.counts);
        self.sorted.finish(|name, best| {
            let is_virus = leans_to_virus(best.others, best.virus);
            counts.chunks += 1;
            counts.virus_chunks += u64::from(is_virus);
            let verdict = if is_virus { "True" } else { "False" };
            writeln!(chunks, "{name}\t{verdict}")
        })?;
        self.counts.contigs = self.tables.finish()?;
        self.frames.finish()?;
        self.chunks.finish()?;
        Ok(self.counts)
    }
}

/// The files that a run writes into `folder`.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = verdicts(folder);
    files.push(folder.join(FAILURES));
    files
}

/// Those of them that are its results.
fn verdicts(folder: &Path) -> Vec<PathBuf> {
    let tables = TABLES
        .iter()
        .flat_map(|table| table_formats().map(move |format| tables::file_name(table, format)));
    let results = [FRAME_RESULTS, CHUNK_RESULTS].map(str::to_owned);
    let names = results.into_iter().chain(tables);
    names.map(|name| folder.join(name)).collect()
}

/// Refuses a format that cannot hold the tables.
///
/// # Errors
///
/// `Usage`.
pub(super) fn check_tables(folder: &Path, format: Format) -> Result<(), PipelineError> {
    tables::schemas()
        .iter()
        .zip(TABLES)
        .try_for_each(|(schema, table)| {
            format.check(&folder.join(tables::file_name(table, format)), schema)
        })
}

/// Refuses to write over results in a folder, unless told to, and over what is read.
pub(super) fn check_folder(
    folder: &Path,
    force: bool,
    sources: &Sources,
) -> Result<(), PipelineError> {
    if folder.exists() && !folder.is_dir() {
        let message = format!("{} is a file, not a folder", folder.display());
        return Err(PipelineError::new(PipelineErrorKind::Output, message));
    }
    let mut written = files(folder);
    written.extend(BESIDE.map(|suffix| beside(folder, suffix)));
    for path in &written {
        sources.refuse(path)?;
    }
    for path in verdicts(folder) {
        check_absent(&path, force)?;
    }
    Ok(())
}

/// The list of what has no result, as it is written.
pub(super) struct ListedFailures {
    folder: PathBuf,
    file: WholeFile,
}

impl ListedFailures {
    /// Begins the list in `folder`.
    pub(super) fn create(folder: &Path) -> Result<Self, PipelineError> {
        let open = || {
            let mut file = WholeFile::create_locked(&folder.join(FAILURES), TEMPORARY)?;
            file.write_all(FAILURES_HEADER.as_bytes())?;
            Ok(file)
        };
        Ok(ListedFailures {
            folder: folder.to_owned(),
            file: open().map_err(|error| failed(folder, error))?,
        })
    }

    pub(super) fn push(&mut self, id: &str, reason: &str) -> Result<(), PipelineError> {
        writeln!(self.file, "{id}\t{}", reason.replace(['\t', '\n'], " "))
            .map_err(|error| failed(&self.folder, error))
    }

    pub(super) fn finish(self) -> Result<(), PipelineError> {
        self.file
            .finish()
            .map_err(|error| failed(&self.folder, error))
    }
}

fn failed(path: &Path, error: io::Error) -> PipelineError {
    PipelineError::output(&path.display().to_string(), error)
}
