//! Where rows go: a file that appears when it is whole, a stream, or standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::whole_file::WholeFile;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// What a path that a user gave as an output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputPlace {
    /// `-`, standard output.
    Stdout,
    /// A device or a pipe, such as `/dev/stdout` or a named pipe: written as it comes.
    Stream,
    /// A file, there or not.
    File,
    /// A folder, in which nothing can be written under this name.
    Folder,
}

impl OutputPlace {
    /// What is at `path`.
    pub fn of(path: &Path) -> Self {
        if path == Path::new("-") {
            return OutputPlace::Stdout;
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => OutputPlace::Folder,
            Ok(metadata) if !metadata.is_file() => OutputPlace::Stream,
            _ => OutputPlace::File,
        }
    }
}

/// Where rows go.
pub enum Destination {
    /// Standard output.
    Stdout(BufWriter<io::Stdout>),
    /// A device or a pipe.
    Stream(BufWriter<File>),
    /// A file that appears when it is whole.
    File(WholeFile),
}

impl Destination {
    /// Opens what [`OutputPlace`] says of `path`.
    ///
    /// # Errors
    ///
    /// When it can not be opened or made.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_or(path, WholeFile::create)
    }

    /// The same for a job that holds a lock: a file's temporary name follows from `key`, so what
    /// an earlier run of the job left there is removed.
    ///
    /// # Errors
    ///
    /// When it can not be opened or made.
    pub fn open_locked(path: &Path, key: &str) -> io::Result<Self> {
        Self::open_or(path, |path| WholeFile::create_locked(path, key))
    }

    fn open_or(
        path: &Path,
        create: impl FnOnce(&Path) -> io::Result<WholeFile>,
    ) -> io::Result<Self> {
        match OutputPlace::of(path) {
            OutputPlace::Stdout => Ok(Destination::Stdout(BufWriter::with_capacity(
                BUFFER_BYTES,
                io::stdout(),
            ))),
            OutputPlace::Stream => {
                let file = OpenOptions::new().write(true).open(path)?;
                let out = BufWriter::with_capacity(BUFFER_BYTES, file);
                Ok(Destination::Stream(out))
            }
            OutputPlace::File => create(path).map(Destination::File),
            OutputPlace::Folder => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// The folder for temporary files that become part of the output.
    pub(super) fn folder(&self) -> PathBuf {
        match self {
            Destination::File(file) => file.folder().to_owned(),
            Destination::Stdout(_) | Destination::Stream(_) => std::env::temp_dir(),
        }
    }

    /// Writes over what was written at `position`.
    pub(super) fn patch(&mut self, position: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Destination::File(file) => file.patch(position, bytes),
            Destination::Stdout(_) | Destination::Stream(_) => {
                Err(io::ErrorKind::NotSeekable.into())
            }
        }
    }

    /// Writes what is left and gives a file its name.
    ///
    /// # Errors
    ///
    /// When the rest can not be written.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Destination::Stdout(mut out) => out.flush(),
            Destination::Stream(mut out) => out.flush(),
            Destination::File(file) => file.finish(),
        }
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Destination::Stdout(out) => out.write(bytes),
            Destination::Stream(out) => out.write(bytes),
            Destination::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Destination::Stdout(out) => out.flush(),
            Destination::Stream(out) => out.flush(),
            Destination::File(file) => file.flush(),
        }
    }
}
