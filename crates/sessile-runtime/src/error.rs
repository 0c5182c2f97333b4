//! What can go wrong while a pool is set up.

use std::error::Error;
use std::fmt;

use sessile_device::{DeviceError, DeviceErrorKind};
use sessile_models::ModelError;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RuntimeErrorKind {
    /// An option does not make sense on this machine.
    Option,
    /// A device that was asked for is not there or can not be used.
    Device,
    /// The plan does not fit the memory.
    DoesNotFit,
    /// A model could not be loaded.
    Model,
}

/// An error while devices are found, memory is planned or models are loaded.
#[derive(Debug)]
pub struct RuntimeError {
    kind: RuntimeErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl RuntimeError {
    /// An error of this kind. The message is for users.
    pub fn new(kind: RuntimeErrorKind, message: impl Into<String>) -> Self {
        RuntimeError {
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

    /// A thread that the system does not give.
    pub(crate) fn no_thread(error: std::io::Error) -> Self {
        RuntimeError {
            kind: RuntimeErrorKind::Device,
            message: format!("the system has no thread to give ({error})"),
            hint: Some(
                "raise the limit of threads (ulimit -u, or the pids limit of the container), or \
                 use fewer with --threads"
                    .to_owned(),
            ),
            source: Some(error.into()),
        }
    }

    /// Which kind of error this is.
    pub fn kind(&self) -> RuntimeErrorKind {
        self.kind
    }

    /// What to do about it, if there is something.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for RuntimeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

impl From<ModelError> for RuntimeError {
    fn from(error: ModelError) -> Self {
        RuntimeError {
            kind: RuntimeErrorKind::Model,
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
            source: Some(error.into()),
        }
    }
}

impl From<DeviceError> for RuntimeError {
    fn from(error: DeviceError) -> Self {
        let kind = match error.kind() {
            DeviceErrorKind::OutOfMemory => RuntimeErrorKind::DoesNotFit,
            _ => RuntimeErrorKind::Device,
        };
        RuntimeError {
            kind,
            message: error.to_string(),
            hint: None,
            source: Some(error.into()),
        }
    }
}
