//! What can go wrong in a call of the library.

use std::fmt;

use sessile_device::{RequestError, RequestErrorKind};
use sessile_models::ModelError;
use sessile_pipelines::{PipelineError, PipelineErrorKind};
use sessile_runtime::{RuntimeError, RuntimeErrorKind};

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting does not make sense, or the model cannot do what it is asked for.
    Usage,
    /// An input file cannot be read, or a result cannot be written.
    File,
    /// A model cannot be found, read or loaded.
    Model,
    /// A device is missing, too small or lost.
    Device,
    /// One sequence or text has no answer: [`Error::record`] says which.
    Record,
    /// The call was stopped by its [`Watch`](crate::Watch).
    Interrupted,
}

/// Why a call has no answer.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    record: Option<usize>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind. The message is for users.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            hint: None,
            record: None,
            source: None,
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Of one sequence or text of a call, by its place.
    pub(crate) fn of_record(record: usize, reason: impl Into<String>) -> Self {
        Error {
            record: Some(record),
            ..Error::new(ErrorKind::Record, reason)
        }
    }

    pub(crate) fn interrupted() -> Self {
        Error::new(ErrorKind::Interrupted, "the call was stopped")
    }

    /// Why a request has no answer: a matter of its record, unless no device is left.
    pub(crate) fn of_request(record: usize, error: RequestError) -> Self {
        match error.kind() {
            RequestErrorKind::NoDevice => Error::new(ErrorKind::Device, error.to_string()),
            RequestErrorKind::Cancelled => Error::interrupted(),
            RequestErrorKind::UnsupportedOutput => Error::new(ErrorKind::Usage, error.to_string()),
            _ => Error::of_record(record, error.to_string()),
        }
    }

    /// Which kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, if there is something.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The place of the sequence or text it belongs to among those of the call, from 0.
    pub fn record(&self) -> Option<usize> {
        self.record
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        Error {
            kind: ErrorKind::Model,
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
            record: None,
            source: Some(error.into()),
        }
    }
}

impl From<RuntimeError> for Error {
    fn from(error: RuntimeError) -> Self {
        let kind = match error.kind() {
            RuntimeErrorKind::Option => ErrorKind::Usage,
            RuntimeErrorKind::Model => ErrorKind::Model,
            _ => ErrorKind::Device,
        };
        Error {
            kind,
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
            record: None,
            source: Some(error.into()),
        }
    }
}

impl From<PipelineError> for Error {
    fn from(error: PipelineError) -> Self {
        let kind = match error.kind() {
            PipelineErrorKind::Usage => ErrorKind::Usage,
            PipelineErrorKind::Model => ErrorKind::Model,
            PipelineErrorKind::Device => ErrorKind::Device,
            PipelineErrorKind::Interrupted => ErrorKind::Interrupted,
            _ => ErrorKind::File,
        };
        Error {
            kind,
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
            record: None,
            source: Some(error.into()),
        }
    }
}
