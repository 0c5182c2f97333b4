//! Files that appear under their name only when they are whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// A file that is written under a temporary name beside its own, then synced and renamed.
/// Dropping it unfinished removes what was written.
pub struct WholeFile {
    out: Option<BufWriter<File>>,
    partial: PathBuf,
    path: PathBuf,
}

impl WholeFile {
    /// Begins to write `path`.
    ///
    /// # Errors
    ///
    /// When the temporary file can not be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{}.tmp", std::process::id()));
        let partial = PathBuf::from(partial);
        let file = File::create(&partial)?;
        Ok(WholeFile {
            out: Some(BufWriter::with_capacity(BUFFER_BYTES, file)),
            partial,
            path: path.to_owned(),
        })
    }

    /// Writes what is left, syncs the file and its directory, and gives it its name.
    ///
    /// # Errors
    ///
    /// When one of these steps fails; the file does not appear then.
    pub fn finish(mut self) -> io::Result<()> {
        let Some(out) = self.out.take() else {
            return Ok(());
        };
        let result = out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| {
                file.sync_all()?;
                fs::rename(&self.partial, &self.path)
            });
        if result.is_err() {
            let _ = fs::remove_file(&self.partial);
        }
        result?;
        sync_directory(&self.path)
    }
}

/// Makes a rename outlast a power cut. Not every file system can sync a directory; the file
/// itself is safe without.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Ok(directory) = File::open(parent.unwrap_or(Path::new("."))) {
        let _ = directory.sync_all();
    }
    Ok(())
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Some(out) => out.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(out) = self.out.take() {
            // Not worth writing what is buffered: the file goes.
            let (file, _) = out.into_parts();
            drop(file);
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Where rows go.
pub enum Destination {
    /// Standard output.
    Stdout(BufWriter<io::Stdout>),
    /// A file.
    File(WholeFile),
}

impl Destination {
    /// `-` is standard output, anything else a file.
    ///
    /// # Errors
    ///
    /// When the file can not be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Destination::Stdout(BufWriter::with_capacity(
                BUFFER_BYTES,
                io::stdout(),
            )));
        }
        WholeFile::create(path).map(Destination::File)
    }

    /// Writes what is left and gives a file its name.
    ///
    /// # Errors
    ///
    /// When the rest can not be written.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Destination::Stdout(mut out) => out.flush(),
            Destination::File(file) => file.finish(),
        }
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Destination::Stdout(out) => out.write(bytes),
            Destination::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Destination::Stdout(out) => out.flush(),
            Destination::File(file) => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_only_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.jsonl");
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\n");

        let mut other = WholeFile::create(&path).unwrap();
        other.write_all(b"two\n").unwrap();
        drop(other);
        assert_eq!(fs::read(&path).unwrap(), b"one\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
