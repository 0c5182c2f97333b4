//! The outputs of a job: checked before anything is computed, protected by a lock, written as whole
//! files side by side.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::destination::{Destination, OutputPlace};
use super::sources::check_absent;
use super::{Compression, FileFormat, Format, Row, RowWriter, Schema, Sources};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job::FailureList;
use crate::journal::{BESIDE, Fingerprint, Journal, JournalOptions, Lock, beside};
use crate::shard::{Entry, MergeSink, PartHeader, PartWriter, Piece, Shard};

/// Digits of the name that a job's unfinished files have in common.
const KEY_DIGITS: usize = 8;

/// The outputs that a job is about to write.
#[derive(Default)]
pub struct OutputFiles {
    outputs: Vec<(PathBuf, FileFormat)>,
    /// Outputs that the job writes in formats of its own.
    plain: Vec<PathBuf>,
    /// Other files that are written with them.
    companions: Vec<PathBuf>,
    /// Formats that the job writes itself.
    is_own: Option<fn(Format) -> bool>,
    /// The part that a shard writes instead of all these.
    part: Option<(PathBuf, Shard)>,
    force: bool,
    lock: Option<Lock>,
}

impl OutputFiles {
    /// The format of each output: `format` and `compression`, else what its extension says.
    ///
    /// # Errors
    ///
    /// `Usage` for an extension that is none of a format.
    pub fn formats(
        paths: &[PathBuf],
        format: Option<Format>,
        compression: Option<Compression>,
        default: Format,
    ) -> Result<Vec<(PathBuf, FileFormat)>, PipelineError> {
        let of = |path: &PathBuf| {
            let named = match format {
                Some(format) => FileFormat {
                    format,
                    compression: Compression::split(path).1,
                },
                None => FileFormat::of(path, default)?,
            };
            let compression = compression.unwrap_or(named.compression);
            let format = FileFormat {
                compression,
                ..named
            };
            Ok((path.clone(), format))
        };
        paths.iter().map(of).collect()
    }

    /// Checks where the results are to go.
    ///
    /// # Errors
    ///
    /// `Usage` for outputs that make no sense, `Output` for a folder that is not there.
    pub fn new(outputs: &[(PathBuf, FileFormat)], force: bool) -> Result<Self, PipelineError> {
        let mut files = OutputFiles {
            force,
            ..OutputFiles::default()
        };
        for (path, kind) in outputs {
            files.check_new(path)?;
            kind.format.check_compression(path, kind.compression)?;
            if let Some(suffix) = kind.format.beside() {
                files.accompany(&beside(path, suffix))?;
            }
            files.outputs.push((path.clone(), *kind));
        }
        Ok(files)
    }

    /// The part of a shard of a job whose results go to `folder`, and nothing else; no file at all
    /// where it is the whole run.
    ///
    /// # Errors
    ///
    /// As [`OutputFiles::new`].
    pub(crate) fn part(folder: &Path, shard: Shard, force: bool) -> Result<Self, PipelineError> {
        let mut files = OutputFiles {
            force,
            ..OutputFiles::default()
        };
        if !shard.is_whole() {
            let path = shard.path(folder);
            files.check_new(&path)?;
            files.part = Some((path, shard));
        }
        Ok(files)
    }

    /// The same with formats that the job writes itself.
    #[must_use]
    pub(crate) fn with_own(mut self, is_own: fn(Format) -> bool) -> Self {
        self.is_own = Some(is_own);
        self
    }

    /// The outputs that the job writes itself.
    pub(crate) fn own(&self) -> impl Iterator<Item = &(PathBuf, FileFormat)> {
        self.written(true)
    }

    /// The outputs that the job writes itself, or the others; none where a part is written.
    fn written(&self, is_own: bool) -> impl Iterator<Item = &(PathBuf, FileFormat)> {
        let outputs = self.outputs.iter().filter(|_| self.part.is_none());
        outputs.filter(move |(_, kind)| self.is_own.is_some_and(|of| of(kind.format)) == is_own)
    }

    /// The files of a shard: its part beside the first output, and nothing else.
    ///
    /// # Errors
    ///
    /// `Usage` when the first output is a stream.
    pub(crate) fn of_shard(mut self, shard: Shard) -> Result<Self, PipelineError> {
        if shard.is_whole() {
            return Ok(self);
        }
        let first = self.main_paths().next().cloned().unwrap_or_default();
        if OutputPlace::of(&first) != OutputPlace::File {
            let message = format!("a shard cannot be written to {}", first.display());
            return Err(PipelineError::new(PipelineErrorKind::Usage, message)
                .with_hint("name a file first: the shard's part gets its name"));
        }
        self.companions.clear();
        self.part = Some((shard.path(&first), shard));
        Ok(self)
    }

    /// The same for outputs that the job writes itself, with [`OutputFiles::open_one`].
    ///
    /// # Errors
    ///
    /// As [`OutputFiles::new`].
    pub fn plain(paths: &[PathBuf], force: bool) -> Result<Self, PipelineError> {
        let mut files = OutputFiles {
            force,
            ..OutputFiles::default()
        };
        for path in paths {
            files.check_new(path)?;
            files.plain.push(path.clone());
        }
        Ok(files)
    }

    /// Adds a file that is no output but written with them: it must not be there either.
    ///
    /// # Errors
    ///
    /// As for an output.
    pub fn accompany(&mut self, path: &Path) -> Result<(), PipelineError> {
        self.check_new(path)?;
        self.companions.push(path.to_owned());
        Ok(())
    }

    fn check_new(&self, path: &Path) -> Result<(), PipelineError> {
        check_place(path)?;
        if self.paths().any(|other| same(other, path)) {
            return Err(PipelineError::new(
                PipelineErrorKind::Usage,
                format!("{} is named twice as an output", path.display()),
            ));
        }
        let is_beside = |one: &Path, other: &Path| {
            let mut paths = BESIDE.iter().map(|suffix| beside(one, suffix));
            paths.any(|path| same(&path, other))
        };
        match self
            .paths()
            .find(|other| is_beside(other, path) || is_beside(path, other))
        {
            None => Ok(()),
            Some(other) => Err(PipelineError::new(
                PipelineErrorKind::Usage,
                format!(
                    "{} and {}: one is the journal or the lock of the other",
                    other.display(),
                    path.display()
                ),
            )
            .with_hint("choose another name")),
        }
    }

    /// Refuses outputs that are one of the files that the job reads, with their journals, and
    /// outputs that exist unless they are to be written over. Nothing is changed on the disk.
    ///
    /// # Errors
    ///
    /// `Usage` for a file that is read, `Output` for one that exists.
    pub fn check_sources(
        &self,
        sources: &Sources,
        with_journal: bool,
    ) -> Result<(), PipelineError> {
        for path in self.paths() {
            sources.refuse(path)?;
            for suffix in BESIDE {
                sources.refuse(&beside(path, suffix))?;
            }
        }
        if let Some(path) = self.first_file().filter(|_| with_journal) {
            Journal::check_place(path)?;
        }
        self.check_absent(with_journal)
    }

    /// Refuses outputs that exist, but for those that a killed run of this job has just named.
    fn check_absent(&self, with_journal: bool) -> Result<(), PipelineError> {
        for path in self.paths() {
            if let Err(exists) = check_absent(path, self.force) {
                let first = self.first_file().filter(|_| with_journal);
                return match first.map(|path| Journal::was_finishing(path)).transpose()? {
                    Some(true) => Ok(()),
                    _ => Err(exists),
                };
            }
        }
        Ok(())
    }

    /// The output that lock and journal lie beside.
    fn first_file(&self) -> Option<&PathBuf> {
        self.main_paths()
            .find(|path| OutputPlace::of(path) == OutputPlace::File)
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.main_paths().chain(&self.companions)
    }

    /// The outputs without what is written with them.
    fn main_paths(&self) -> impl Iterator<Item = &PathBuf> {
        let part = self.part.iter().map(|(path, _)| path);
        let is_whole = self.part.is_none();
        let outputs = self.outputs.iter().map(|(path, _)| path);
        part.chain(outputs.chain(&self.plain).filter(move |_| is_whole))
    }

    /// Checks that no output exists, and takes the lock of the first file when the job is to have
    /// a journal there. An output that a killed run of this job has just named is no obstacle.
    ///
    /// # Errors
    ///
    /// `Output` when an output exists and is not to be written over, or another run writes it.
    pub fn claim(
        &mut self,
        with_journal: bool,
        interrupt: &Interrupt,
    ) -> Result<(), PipelineError> {
        if with_journal && let Some(path) = self.first_file() {
            let others = self.paths().filter(|other| *other != path);
            let others = others.filter(|other| OutputPlace::of(other) == OutputPlace::File);
            let lock = Lock::acquire_all(path, others.map(PathBuf::as_path), interrupt)?;
            self.lock = Some(lock);
        }
        self.check_absent(with_journal)
    }

    /// Opens the journal beside the first file, if [`OutputFiles::claim`] was asked for one.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::open`].
    pub fn journal(
        &mut self,
        fingerprint: &Fingerprint,
        options: JournalOptions,
    ) -> Result<Option<Journal>, PipelineError> {
        let lock = self.lock.take();
        lock.map(|lock| Journal::open(lock, fingerprint, options))
            .transpose()
    }

    /// Checks that every format can hold rows of this schema.
    ///
    /// # Errors
    ///
    /// `Usage` when one can not.
    pub fn check(&self, schema: &Schema) -> Result<(), PipelineError> {
        let mut outputs = self.outputs.iter();
        outputs.try_for_each(|(path, kind)| kind.format.check(path, schema))
    }

    /// Begins to write all of them. With a journal the unfinished files have names that the next
    /// run of the job knows, so that it can clean up after a killed one.
    ///
    /// # Errors
    ///
    /// `Output` when a file can not be made.
    pub fn open(
        &self,
        schema: &Schema,
        journal: Option<&Journal>,
    ) -> Result<Outputs, PipelineError> {
        let mut writers = Vec::new();
        for (path, kind) in self.written(false) {
            let out = self.open_one(path, journal)?;
            let writer = kind.format.writer(out, kind.compression, schema);
            let failed = |error| PipelineError::output(&path.display().to_string(), error);
            writers.push((path.clone(), writer.map_err(failed)?));
        }
        Ok(Outputs {
            writers,
            part: None,
        })
    }

    /// The same, or the part of a shard; `more` is what merging needs beside the rows.
    ///
    /// # Errors
    ///
    /// As [`OutputFiles::open`].
    pub(crate) fn open_or_part(
        &self,
        schema: &Schema,
        journal: Option<&Journal>,
        fingerprint: Option<Fingerprint>,
        more: Vec<usize>,
    ) -> Result<Outputs, PipelineError> {
        let mut outputs = self.open(schema, journal)?;
        if let Some(((path, shard), fingerprint)) = self.part.as_ref().zip(fingerprint) {
            let header = PartHeader {
                shard: *shard,
                fingerprint,
                schema: schema.clone(),
                more,
            };
            let out = self.open_one(path, journal)?;
            outputs.part = Some(PartWriter::create(path, out, header)?);
        }
        Ok(outputs)
    }

    /// Begins the list of what has no result, where one is wanted.
    ///
    /// # Errors
    ///
    /// `Output` when it cannot be made.
    pub(crate) fn failures(
        &self,
        path: Option<&Path>,
        journal: Option<&Journal>,
    ) -> Result<Option<FailureList>, PipelineError> {
        let list = |path| Ok(FailureList::new(path, self.open_one(path, journal)?));
        path.map(list).transpose()
    }

    /// Begins to write one file in the same way.
    ///
    /// # Errors
    ///
    /// `Output` when it can not be made.
    pub fn open_one(
        &self,
        path: &Path,
        journal: Option<&Journal>,
    ) -> Result<Destination, PipelineError> {
        match journal {
            Some(journal) => Destination::open_locked(path, &key(journal.path())),
            None => Destination::open(path),
        }
        .map_err(|error| PipelineError::output(&path.display().to_string(), error))
    }
}

/// Outputs that are being written, or the part of a shard.
#[derive(Default)]
pub struct Outputs {
    writers: Vec<(PathBuf, Box<dyn RowWriter>)>,
    pub(crate) part: Option<PartWriter>,
}

impl Outputs {
    /// Writes a row of a record, counted from 0 over all inputs, to all of them.
    ///
    /// # Errors
    ///
    /// `Output` when one of them can not be written.
    pub fn write(&mut self, record: u64, row: &Row) -> Result<(), PipelineError> {
        for (path, writer) in &mut self.writers {
            writer
                .write(row)
                .map_err(|error| PipelineError::output(&path.display().to_string(), error))?;
        }
        match &mut self.part {
            Some(part) => part.row(record, row),
            None => Ok(()),
        }
    }

    /// Gives all of them their names; a part says of how many `records` the inputs are. What users
    /// should know of them is said in the notes that this returns.
    ///
    /// # Errors
    ///
    /// `Output` when one of them can not be written, synced or named.
    pub fn finish(self, records: u64) -> Result<Vec<String>, PipelineError> {
        let mut notes = Vec::new();
        for (path, writer) in self.writers {
            let finished = writer
                .finish()
                .map_err(|error| PipelineError::output(&path.display().to_string(), error))?;
            if finished.renamed > 0 {
                notes.push(format!(
                    "{}: identifiers that came more than once have #2, #3, … behind them",
                    path.display()
                ));
            }
        }
        if let Some(part) = self.part {
            part.finish(records)?;
        }
        Ok(notes)
    }
}

impl MergeSink for Outputs {
    fn write(&mut self, entry: &Entry) -> Result<(), PipelineError> {
        match &entry.piece {
            Piece::Row(row) => Outputs::write(self, entry.number, row),
            _ => Ok(()),
        }
    }

    fn finish(self: Box<Self>) -> Result<Vec<String>, PipelineError> {
        Outputs::finish(*self, 0)
    }
}

/// Refuses outputs of a command that keeps no journal: named twice, in a folder that is not there,
/// one of `sources`, or there already, unless they are to be written over.
///
/// # Errors
///
/// `Usage` for outputs that make no sense, `Output` for one that can not be written or exists.
pub fn check_outputs<'p>(
    paths: impl IntoIterator<Item = &'p PathBuf>,
    force: bool,
    sources: &Sources,
) -> Result<(), PipelineError> {
    let paths: Vec<PathBuf> = paths.into_iter().cloned().collect();
    OutputFiles::plain(&paths, force)?.check_sources(sources, false)
}

/// What the temporary files of a job have in their names: always the same for the same journal.
fn key(journal: &Path) -> String {
    let path = fs::canonicalize(journal).unwrap_or_else(|_| journal.to_owned());
    let hash = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    hash[..KEY_DIGITS].to_owned()
}

fn check_place(path: &Path) -> Result<(), PipelineError> {
    match OutputPlace::of(path) {
        OutputPlace::Folder => Err(PipelineError::new(
            PipelineErrorKind::Output,
            format!("{} is a folder", path.display()),
        )
        .with_hint("name a file in it, for example embeddings.jsonl")),
        OutputPlace::File => {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            match folder.map(fs::metadata) {
                Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                    Err(PipelineError::new(
                        PipelineErrorKind::Output,
                        format!("can not write {}: its folder is not there", path.display()),
                    )
                    .with_hint("make the folder first"))
                }
                _ => Ok(()),
            }
        }
        OutputPlace::Stdout | OutputPlace::Stream => Ok(()),
    }
}

/// Whether two paths name the same file, as far as that can be told before they exist.
fn same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| {
        // Through links, as it will be written.
        if let Ok(path) = fs::canonicalize(path)
            && let (Some(folder), Some(name)) = (path.parent(), path.file_name())
        {
            return Some((folder.to_owned(), name.to_owned()));
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")));
        folder.ok().zip(path.file_name().map(ToOwned::to_owned))
    };
    one == other || (whole(one).is_some() && whole(one) == whole(other))
}
