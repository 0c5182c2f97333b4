//! What can go wrong while a model is found, read and loaded.

use std::error::Error;
use std::fmt;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelErrorKind {
    /// There is nothing of that name.
    NotFound,
    /// A file can not be read.
    Unreadable,
    /// A file is damaged, cut short or lies about itself.
    Malformed,
    /// A file would run code when loaded the usual way. It was refused; nothing was run.
    Unsafe,
    /// The configuration names an architecture that is not built in.
    UnknownArchitecture,
    /// A tensor that the model needs is not in the checkpoint.
    MissingTensor,
    /// The checkpoint's tensors do not fit its configuration.
    Mismatch,
    /// The model asks for something that is not supported.
    Unsupported,
    /// A hub or proxy could not be reached, or refused.
    Network,
    /// The device refused the weights.
    Device,
}

/// An error of a checkpoint, a tokenizer or a model.
#[derive(Debug)]
pub struct ModelError {
    kind: ModelErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ModelError {
    /// An error of this kind. The message says what is wrong and where, in a user's words.
    pub fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        ModelError {
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

    /// The same with the error underneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Which kind of error this is.
    pub fn kind(&self) -> ModelErrorKind {
        self.kind
    }

    /// What to do about it, if there is something.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ModelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

impl From<sessile_device::DeviceError> for ModelError {
    fn from(error: sessile_device::DeviceError) -> Self {
        ModelError::new(ModelErrorKind::Device, error.to_string()).with_source(error)
    }
}
