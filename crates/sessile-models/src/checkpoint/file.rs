//! One weight file, open for reading at positions.
//!
//! Weights are never mapped into memory: a file that is cut short while it is read must be an
//! error, not a signal that ends the process. Reads carry their own position, so that any number
//! of threads can read the same file.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{ModelError, ModelErrorKind};

/// A regular file and the length it had when it was opened.
#[derive(Debug)]
pub(crate) struct WeightFile {
    path: PathBuf,
    file: File,
    len: u64,
}

impl WeightFile {
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        // Looked at before it is opened: opening a pipe would wait for a writer.
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if !metadata.is_file() {
            return Err(ModelError::new(
                ModelErrorKind::Unreadable,
                format!("{}: not a regular file", path.display()),
            ));
        }
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        let len = file
            .metadata()
            .map_err(|error| unreadable(path, error))?
            .len();
        Ok(WeightFile {
            path: path.to_owned(),
            file,
            len,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// What tells the file from all others and from what it was before; none where the system does
    /// not say.
    #[cfg(unix)]
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        use std::os::unix::fs::MetadataExt;
        let metadata = self.file.metadata().ok()?;
        Some(FileIdentity {
            device: metadata.dev(),
            number: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        None
    }

    /// Fills `out` from `offset` on.
    pub(crate) fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        read_exact_at(&self.file, offset, out)
    }

    /// The `len` bytes from `offset` on. The caller has checked `len` against a limit or against
    /// the length of the file.
    pub(crate) fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>, ModelError> {
        let mut bytes = vec![0; len];
        self.read_exact_at(offset, &mut bytes)
            .map_err(|error| unreadable(&self.path, error))?;
        Ok(bytes)
    }
}

/// A file in one of its states. A program can set the time of modification as it likes, but not that
/// of the last change, which every write and every setting of the other moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    /// Its inode.
    number: u64,
    bytes: u64,
    /// Seconds since 1970 and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileIdentity {
    /// Whether the last change was at least `rest` before `moment`.
    pub(crate) fn has_rested(&self, moment: SystemTime, rest: Duration) -> bool {
        let (seconds, nanos) = self.modified.max(self.changed);
        let since_1970 = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some(by) = since_1970.checked_sub(rest) else {
            return false;
        };
        (seconds, nanos) <= (by.as_secs() as i64, i64::from(by.subsec_nanos()))
    }
}

impl fmt::Display for FileIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileIdentity {
            device,
            number,
            bytes,
            modified,
            changed,
        } = self;
        write!(f, "{device} {number} {bytes}")?;
        for (seconds, nanos) in [modified, changed] {
            write!(f, " {seconds}.{nanos:09}")?;
        }
        Ok(())
    }
}

/// The error for a file that the system does not let us read.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> ModelError {
    let place = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            ModelError::new(ModelErrorKind::NotFound, format!("{place}: no such file"))
        }
        io::ErrorKind::PermissionDenied => ModelError::new(
            ModelErrorKind::Unreadable,
            format!("{place}: permission denied"),
        )
        .with_hint("check who may read the file and the folders above it"),
        io::ErrorKind::UnexpectedEof => ModelError::new(
            ModelErrorKind::Malformed,
            format!("{place}: the file was cut short"),
        )
        .with_hint("fetch or copy it again"),
        _ => ModelError::new(ModelErrorKind::Unreadable, format!("{place}: {error}")),
    }
    .with_source(error)
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !out.is_empty() {
        match file.seek_read(out, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                offset += read as u64;
                out = &mut out[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
