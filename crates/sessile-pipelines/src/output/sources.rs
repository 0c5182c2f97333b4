//! What a command reads, so that it never writes over it.
//!
//! An output that is an input would be written over by its own result, and the input would be gone.
//! Every command that writes says here what it reads and asks for each of its outputs, before
//! anything is computed. Files are compared by what they are, not by how they are spelt: symbolic
//! links, hard links and `./a/../b` name the same file.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use sessile_seq::inputs::Input;

use super::destination::OutputPlace;
use crate::error::{PipelineError, PipelineErrorKind};

/// The files that a command reads.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use sessile_pipelines::output::Sources;
///
/// let folder = tempfile::tempdir()?;
/// let input = folder.path().join("proteins.fasta");
/// std::fs::write(&input, ">a\nMKV\n")?;
/// let sources = Sources::default().with("an input", &input);
/// assert!(sources.refuse(&folder.path().join("vectors.jsonl")).is_ok());
/// assert!(sources.refuse(&folder.path().join("./proteins.fasta")).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    /// What it is to the command: `an input`.
    role: &'static str,
    path: PathBuf,
    identity: Identity,
}

/// What tells a file apart from all others, whatever its names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    #[cfg(unix)]
    Inode { device: u64, number: u64 },
    #[cfg(not(unix))]
    Path(PathBuf),
}

impl Identity {
    /// `None` for what is not there, for folders, and for what holds nothing that could be lost:
    /// terminals, `/dev/null`, and the one socket that both ends of a remote command may be.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        if metadata.is_dir() || is_device(&metadata) {
            return None;
        }
        Identity::from_metadata(path, &metadata)
    }

    #[cfg(unix)]
    fn from_metadata(_: &Path, metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Identity::Inode {
            device: metadata.dev(),
            number: metadata.ino(),
        })
    }

    #[cfg(not(unix))]
    fn from_metadata(path: &Path, _: &Metadata) -> Option<Self> {
        fs::canonicalize(path).ok().map(Identity::Path)
    }
}

#[cfg(unix)]
fn is_device(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    kind.is_char_device() || kind.is_block_device() || kind.is_socket()
}

#[cfg(not(unix))]
fn is_device(_: &Metadata) -> bool {
    false
}

impl Sources {
    /// Adds a file; `role` says what it is, for a message: `an input`.
    #[must_use]
    pub fn with(mut self, role: &'static str, path: &Path) -> Self {
        self.add(role, path);
        self
    }

    /// The same.
    pub fn add(&mut self, role: &'static str, path: &Path) {
        if let Some(identity) = Identity::of(path) {
            self.files.push(Source {
                role,
                path: path.to_owned(),
                identity,
            });
        }
    }

    /// Adds the inputs of a job. Standard input counts where it is a file.
    #[must_use]
    pub fn with_inputs<'i>(mut self, inputs: impl IntoIterator<Item = &'i Input>) -> Self {
        for input in inputs {
            match input {
                Input::Stdin => self.add("standard input", Path::new("/dev/stdin")),
                Input::File(path) => self.add("an input", path),
            }
        }
        self
    }

    /// Adds the files of a model.
    #[must_use]
    pub fn with_model(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        for path in files {
            self.add("a file of the model", &path);
        }
        self
    }

    /// Refuses an output that is one of these files.
    ///
    /// # Errors
    ///
    /// `Usage`.
    pub fn refuse(&self, output: &Path) -> Result<(), PipelineError> {
        let at = match OutputPlace::of(output) {
            OutputPlace::Stdout => Path::new("/dev/stdout"),
            _ => output,
        };
        let Some(identity) = Identity::of(at) else {
            return Ok(());
        };
        match self.files.iter().find(|file| file.identity == identity) {
            None => Ok(()),
            Some(source) => Err(self.refusal(source, output)),
        }
    }

    fn refusal(&self, source: &Source, output: &Path) -> PipelineError {
        let name = match OutputPlace::of(output) {
            OutputPlace::Stdout => "standard output".to_owned(),
            _ => output.display().to_string(),
        };
        let spelt = if source.path == output {
            String::new()
        } else {
            format!(" ({})", source.path.display())
        };
        PipelineError::new(
            PipelineErrorKind::Usage,
            format!("{name} is {}{spelt}: it would be lost", source.role),
        )
        .with_hint("choose another name for the output; --force does not write over what is read")
    }
}

/// Refuses a file that exists, unless it is to be written over.
///
/// # Errors
///
/// `Output`.
pub(crate) fn check_absent(path: &Path, force: bool) -> Result<(), PipelineError> {
    if force || OutputPlace::of(path) != OutputPlace::File || !path.exists() {
        return Ok(());
    }
    Err(PipelineError::new(
        PipelineErrorKind::Output,
        format!("{} exists", path.display()),
    )
    .with_hint("choose another name, or --force to write over it"))
}
