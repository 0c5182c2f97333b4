//! What can end a job.

use std::error::Error;
use std::fmt;

use sessile_models::ModelError;
use sessile_runtime::{RuntimeError, RuntimeErrorKind};

/// What a caller can act on; a command line turns it into its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PipelineErrorKind {
    /// An option does not make sense.
    Usage,
    /// An input can not be read at all.
    Input,
    /// A model can not be found, read or loaded.
    Model,
    /// The output can not be written.
    Output,
    /// The reader of the output went away.
    BrokenPipe,
    /// A device is missing, too small or lost.
    Device,
    /// The job was told to stop.
    Interrupted,
}

/// An error that ends a job.
#[derive(Debug)]
pub struct PipelineError {
    kind: PipelineErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PipelineError {
    /// An error of this kind. The message is for users.
    pub fn new(kind: PipelineErrorKind, message: impl Into<String>) -> Self {
        PipelineError {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// The same with a word on what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An output that can not be written.
    pub fn output(what: &str, error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::BrokenPipe => PipelineErrorKind::BrokenPipe,
            _ => PipelineErrorKind::Output,
        };
        PipelineError {
            kind,
            message: format!("can not write {what}: {error}"),
            hint: (error.kind() == std::io::ErrorKind::StorageFull)
                .then(|| "make room on that disk and run the same command again".to_owned()),
            source: Some(error.into()),
        }
    }

    /// A thread that the system does not give; `what` is not done without it.
    pub(crate) fn no_thread(what: &str, error: std::io::Error) -> Self {
        PipelineError {
            kind: PipelineErrorKind::Device,
            message: format!("can not {what}: the system has no thread to give ({error})"),
            hint: Some(
                "raise the limit of threads (ulimit -u, or the pids limit of the container), or \
                 use fewer with --threads"
                    .to_owned(),
            ),
            source: Some(error.into()),
        }
    }

    /// Which kind of error this is.
    pub fn kind(&self) -> PipelineErrorKind {
        self.kind
    }

    /// What to do about it, if there is something.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for PipelineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

impl From<RuntimeError> for PipelineError {
    fn from(error: RuntimeError) -> Self {
        let kind = match error.kind() {
            RuntimeErrorKind::Option => PipelineErrorKind::Usage,
            RuntimeErrorKind::Model => PipelineErrorKind::Model,
            _ => PipelineErrorKind::Device,
        };
        PipelineError {
            kind,
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
            source: Some(error.into()),
        }
    }
}

impl From<ModelError> for PipelineError {
    fn from(error: ModelError) -> Self {
        PipelineError {
            kind: PipelineErrorKind::Model,
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
            source: Some(error.into()),
        }
    }
}

impl From<sessile_seq::Error> for PipelineError {
    fn from(error: sessile_seq::Error) -> Self {
        PipelineError {
            kind: PipelineErrorKind::Input,
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
            source: Some(error.into()),
        }
    }
}
