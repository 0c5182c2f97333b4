//! The run journal: what a job has finished, so that the same command goes on after a crash.
//!
//! A journal is a file of checksummed frames beside the output, only ever appended to: a database
//! with shared memory would not work on the network file systems where these jobs run. It holds the
//! job's [`Fingerprint`] and, for every record of the input in its order, an [`Entry`] with the
//! record's identifier, a hash of its sequence and whatever the job needs to write that record's
//! rows again. A job that finds a journal reads the same input again, checks every record against
//! its entry, takes what is there and computes the rest; so the output is the one of a run that
//! nobody disturbed, byte for byte. [`Lock`] lets one writer at a time do so.
//!
//! ```text
//! SESSJNL2 | frame | frame | …        frame: length, kind, number, body, checksum
//! ```

mod entry;
mod fingerprint;
pub(crate) mod frame;
mod keeper;
mod lock;
mod replay;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{PipelineError, PipelineErrorKind};

pub use entry::{Entry, InputHash, Outcome};
pub use fingerprint::Fingerprint;
pub use lock::Lock;
pub(crate) use lock::{beside, remove_abandoned, temporary_suffix};

use frame::Kind;
use keeper::Keeper;
use replay::{Replay, Scan};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// What was finished longer ago than this is written with the next entry.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// What a journal is called behind its output's name, and a lock.
const JOURNAL: &str = ".journal";
const LOCK: &str = ".lock";

/// What lies beside an output while it is written.
pub(crate) const BESIDE: [&str; 2] = [JOURNAL, LOCK];

/// How a journal is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalOptions {
    /// Go on although the earlier run computed with another model, number format or kernels.
    pub allow_mixed: bool,
    /// Throw away what an earlier run has finished.
    pub restart: bool,
}

/// What a journal holds, without opening it to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// With what its entries were computed, an earlier run's first.
    pub fingerprints: Vec<Fingerprint>,
    /// The records, in their order.
    pub entries: Vec<Entry>,
    /// Whether the outputs were about to get their names.
    pub was_finishing: bool,
    /// Bytes up to the end of the last whole frame.
    pub whole_bytes: u64,
}

impl Contents {
    /// Reads the bytes of a journal, as far as they are whole.
    ///
    /// # Errors
    ///
    /// `InvalidData` when they are no journal at all.
    pub fn read(bytes: &[u8]) -> io::Result<Self> {
        let scan = Scan::read(bytes, bytes.len() as u64)?;
        let whole = &bytes[..scan.end as usize];
        let mut entries = Vec::new();
        if !whole.is_empty() {
            let mut replay = Replay::new(whole, scan.end)?;
            while let Some(entry) = replay.next_entry()? {
                entries.push(entry);
            }
        }
        Ok(Contents {
            fingerprints: scan.fingerprints,
            entries,
            was_finishing: scan.was_finishing,
            whole_bytes: scan.end,
        })
    }
}

/// A journal of which this process is the one writer.
///
/// # Examples
///
/// ```
/// use sessile_pipelines::Interrupt;
/// use sessile_pipelines::journal::{
///     Entry, Fingerprint, InputHash, Journal, JournalOptions, Lock, Outcome,
/// };
///
/// let directory = tempfile::tempdir()?;
/// let output = directory.path().join("lengths.txt");
/// let fingerprint = Fingerprint::new("lengths").with_option("unit", "residues");
/// let open = || {
///     let lock = Lock::acquire(&output, &Interrupt::default())?;
///     Journal::open(lock, &fingerprint, JournalOptions::default())
/// };
///
/// // A run that ends after its first record …
/// let mut journal = open()?;
/// journal.append(&Entry {
///     id: "a".to_owned(),
///     input: InputHash::of(b"MKV"),
///     outcome: Outcome::Done(b"3".to_vec()),
/// })?;
/// drop(journal);
///
/// // … is gone on with.
/// let mut journal = open()?;
/// assert_eq!(journal.remaining(), 1);
/// let outcome = journal.take("a", InputHash::of(b"MKV"))?;
/// assert_eq!(outcome, Some(Outcome::Done(b"3".to_vec())));
/// assert_eq!(journal.take("b", InputHash::of(b"GG"))?, None);
/// journal.finishing()?;
/// std::fs::write(&output, "a 3\n")?;
/// journal.remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Journal {
    path: PathBuf,
    replay: Option<Replay<BufReader<File>>>,
    /// Entries of the earlier run that were not taken yet.
    remaining: u64,
    /// Entries in the journal.
    entries: u64,
    frames: u64,
    was_finishing: bool,
    cut: u64,
    out: File,
    buffer: Vec<u8>,
    written: Instant,
    /// Ends before the lock is given back.
    keeper: Keeper,
    lock: Lock,
    is_removed: bool,
}

impl Journal {
    /// Opens the journal beside the output that `lock` protects, or begins one. A torn end is cut
    /// off: what stood there is computed again.
    ///
    /// # Errors
    ///
    /// `Usage` when the journal belongs to another job or to other options, or, unless mixing is
    /// allowed, when it was computed with another model, number format or kernels; `Output` when
    /// it can not be read or written.
    pub fn open(
        lock: Lock,
        fingerprint: &Fingerprint,
        options: JournalOptions,
    ) -> Result<Self, PipelineError> {
        let path = journal_path(lock.output());
        let failed = |error| PipelineError::output(&path.display().to_string(), error);
        check_is_ours(&path)?;
        if options.restart {
            begin_anew(&path).map_err(failed)?;
        }
        let mut out = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let mut scan = Scan::run(&path, &out).map_err(failed)?;
        if scan.entries == 0 && !scan.was_finishing {
            // Nothing in it to go on with, so it need not fit.
            scan = Scan::default();
        }
        let mut is_known = false;
        for earlier in &scan.fingerprints {
            is_known |= fingerprint.check(earlier, options.allow_mixed, &path)?;
        }
        let length = out.metadata().map_err(failed)?.len();
        if length > scan.end {
            out.set_len(scan.end).map_err(failed)?;
        }
        out.seek(SeekFrom::Start(scan.end)).map_err(failed)?;
        let replay = match scan.entries {
            0 => None,
            _ => Some(Replay::open(&path).map_err(failed)?),
        };
        let keeper = Keeper::start(out.try_clone().map_err(failed)?, &lock)
            .map_err(|error| PipelineError::no_thread("keep a journal", error))?;
        let mut journal = Journal {
            replay,
            remaining: scan.entries,
            entries: scan.entries,
            frames: scan.frames,
            was_finishing: scan.was_finishing,
            // A file without a whole frame is a journal that was never begun.
            cut: if scan.frames == 0 {
                0
            } else {
                length.saturating_sub(scan.end)
            },
            out,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            written: Instant::now(),
            keeper,
            lock,
            is_removed: false,
            path,
        };
        if scan.end == 0 {
            journal.buffer.extend_from_slice(frame::MAGIC);
        }
        if !is_known {
            journal.push(Kind::Fingerprint, &fingerprint.to_bytes());
        }
        journal.flush()?;
        Ok(journal)
    }

    /// Whether `output` has a journal that was about to become that output: then an output that
    /// exists is this journal's own.
    ///
    /// # Errors
    ///
    /// `Output` when the journal can not be read.
    pub fn was_finishing(output: &Path) -> Result<bool, PipelineError> {
        let path = journal_path(output);
        check_is_ours(&path)?;
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(PipelineError::output(&path.display().to_string(), error)),
        };
        let scan = Scan::run(&path, &file)
            .map_err(|error| PipelineError::output(&path.display().to_string(), error))?;
        Ok(scan.was_finishing)
    }

    /// Refuses what is no file in the place of `output`'s journal.
    pub(crate) fn check_place(output: &Path) -> Result<(), PipelineError> {
        check_is_ours(&journal_path(output))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing is finished yet.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Records of the earlier run that are still to be taken. A job that reads ahead asks this
    /// before it starts: the first so many records need not be computed.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Bytes that were cut off because the earlier run did not finish writing them.
    pub fn bytes_cut(&self) -> u64 {
        self.cut
    }

    /// What the earlier run found for the next record of the input, `None` when it had not come
    /// that far.
    ///
    /// # Errors
    ///
    /// `Input` when the earlier run had another record in this place, `Output` when the journal
    /// can not be read.
    pub fn take(&mut self, id: &str, input: InputHash) -> Result<Option<Outcome>, PipelineError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let number = self.entries - self.remaining + 1;
        let entry = match &mut self.replay {
            Some(replay) => replay.next_entry(),
            None => Ok(None),
        }
        .and_then(|entry| entry.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()))
        .map_err(|error| {
            PipelineError::new(
                PipelineErrorKind::Output,
                format!("can not read {}: {error}", self.path.display()),
            )
        })?;
        if entry.id != id || entry.input != input {
            let had = if entry.id == id {
                "another sequence".to_owned()
            } else {
                format!("`{}`", entry.id)
            };
            return Err(self.changed(format!(
                "record {number} is `{id}`, but the run that is gone on with had {had} there"
            )));
        }
        self.remaining -= 1;
        if self.remaining == 0 {
            self.replay = None;
        }
        Ok(Some(entry.outcome))
    }

    /// To be asked when the input has ended: whether it had all records of the earlier run.
    ///
    /// # Errors
    ///
    /// `Input` when it had fewer.
    pub fn check_taken(&self) -> Result<(), PipelineError> {
        if self.remaining == 0 {
            return Ok(());
        }
        Err(self.changed(format!(
            "the input ends after {} records, but the run that is gone on with had {}",
            self.entries - self.remaining,
            self.entries
        )))
    }

    fn changed(&self, message: String) -> PipelineError {
        PipelineError::new(PipelineErrorKind::Input, message).with_hint(format!(
            "give the same inputs in the same order, or begin anew with --restart (it removes {})",
            self.path.display()
        ))
    }

    /// Adds a finished record. It is on its way to the disk soon, at the latest with
    /// [`Journal::commit`].
    ///
    /// # Errors
    ///
    /// `Output` when it can not be written or another run has taken over.
    pub fn append(&mut self, entry: &Entry) -> Result<(), PipelineError> {
        let frame = frame::begin(&mut self.buffer, Kind::Entry, self.frames);
        entry.write(&mut self.buffer);
        frame::end(&mut self.buffer, frame);
        self.frames += 1;
        self.entries += 1;
        if self.buffer.len() >= BUFFER_BYTES || self.written.elapsed() >= WRITE_EVERY {
            self.flush()?;
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind, body: &[u8]) {
        let frame = frame::begin(&mut self.buffer, kind, self.frames);
        self.buffer.extend_from_slice(body);
        frame::end(&mut self.buffer, frame);
        self.frames += 1;
    }

    /// Hands what was gathered to the operating system.
    fn flush(&mut self) -> Result<(), PipelineError> {
        self.keeper.check(&self.lock)?;
        let result = self.out.write_all(&self.buffer);
        self.buffer.clear();
        self.written = Instant::now();
        result.map_err(|error| self.unwritable(error))
    }

    fn unwritable(&self, error: io::Error) -> PipelineError {
        PipelineError::output(&self.path.display().to_string(), error)
    }

    /// Makes everything so far outlast a power cut.
    ///
    /// # Errors
    ///
    /// `Output` when it can not be written.
    pub fn commit(&mut self) -> Result<(), PipelineError> {
        self.flush()?;
        self.out.sync_data().map_err(|error| self.unwritable(error))
    }

    /// To be called before the outputs get their names: from now on an output that exists is this
    /// journal's own, should the job be killed before it has called [`Journal::remove`].
    ///
    /// # Errors
    ///
    /// `Output` when another run has taken over or the journal can not be written.
    pub fn finishing(&mut self) -> Result<(), PipelineError> {
        if !self.was_finishing {
            self.push(Kind::Finishing, &[]);
            self.was_finishing = true;
        }
        self.commit()?;
        self.lock.check()
    }

    /// Removes the journal: the outputs are whole, or there is nothing in it to go on with.
    ///
    /// # Errors
    ///
    /// `Output` when it can not be removed.
    pub fn remove(mut self) -> Result<(), PipelineError> {
        self.is_removed = true;
        self.buffer.clear();
        fs::remove_file(&self.path).map_err(|error| self.unwritable(error))
    }
}

/// What was finished is kept, an empty journal is not.
impl Drop for Journal {
    fn drop(&mut self) {
        if self.is_removed || self.lock.check().is_err() {
            return;
        }
        if self.entries == 0 {
            let _ = fs::remove_file(&self.path);
        } else {
            // Whoever dropped it without `commit` has an error of its own to tell.
            let _ = self.out.write_all(&self.buffer);
        }
    }
}

fn journal_path(output: &Path) -> PathBuf {
    beside(output, JOURNAL)
}

/// Refuses a link in the place of a journal: it would be written through, and cut off with
/// `--restart`, whatever it points to.
fn check_is_ours(path: &Path) -> Result<(), PipelineError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(PipelineError::new(
            PipelineErrorKind::Output,
            format!("{} is not a journal but a link or a folder", path.display()),
        )
        .with_hint("move it away, or choose another --output")),
        _ => Ok(()),
    }
}

/// Removes a journal. A file of another kind stays, and so does what has another name too.
fn begin_anew(path: &Path) -> io::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // Of whatever version, and begun or not.
    let mut first = Vec::new();
    (&file)
        .take(frame::FAMILY.len() as u64)
        .read_to_end(&mut first)?;
    if !frame::FAMILY.starts_with(&first) {
        Scan::run(path, &file)?;
    }
    fs::remove_file(path)
}

#[cfg(test)]
mod tests;
