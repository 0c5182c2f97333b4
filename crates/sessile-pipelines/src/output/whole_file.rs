//! Files that appear under their name only when they are whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::journal::{remove_abandoned, temporary_suffix};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// A file that is written under a temporary name beside its own, then synced and renamed.
/// Dropping it unfinished removes what was written.
pub struct WholeFile {
    out: Option<BufWriter<File>>,
    partial: PathBuf,
    path: PathBuf,
    suffix: String,
}

impl WholeFile {
    /// Begins to write `path`. A temporary file that a process left here which does not run any more
    /// is removed.
    ///
    /// # Errors
    ///
    /// When the temporary file can not be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::create_as(path, &temporary_suffix())
    }

    /// The same for a job that alone may write `path`, because it holds a lock: `key` names the
    /// job, and a temporary file that an earlier run of it left behind is removed.
    ///
    /// # Errors
    ///
    /// When the temporary file can not be made.
    pub fn create_locked(path: &Path, key: &str) -> io::Result<Self> {
        Self::create_as(path, &format!(".{key}.partial"))
    }

    fn create_as(path: &Path, suffix: &str) -> io::Result<Self> {
        // Through a link to what it names: renaming would put a file in the link's place.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        remove_abandoned(&path);
        let mut partial = path.clone().into_os_string();
        partial.push(suffix);
        let partial = PathBuf::from(partial);
        // A new file: whoever still writes the old one, however wrongly, does not write this one.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::create_new(&partial)?;
        Ok(WholeFile {
            out: Some(BufWriter::with_capacity(BUFFER_BYTES, file)),
            partial,
            path,
            suffix: suffix.to_owned(),
        })
    }

    /// Another file beside this one, with `suffix` behind its name and the same way of being
    /// named while it is not whole.
    pub(super) fn beside(&self, suffix: &str) -> io::Result<Self> {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        Self::create_as(Path::new(&path), &self.suffix)
    }

    /// The folder it lies in.
    pub(super) fn folder(&self) -> &Path {
        folder(&self.path)
    }

    /// Writes over what was written at `position`.
    pub(super) fn patch(&mut self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(out) = &mut self.out else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        // Flushes what is buffered before it moves.
        out.seek(SeekFrom::Start(position))?;
        out.write_all(bytes)?;
        out.seek(SeekFrom::End(0))?;
        Ok(())
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
    if let Ok(directory) = File::open(folder(path)) {
        let _ = directory.sync_all();
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
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
