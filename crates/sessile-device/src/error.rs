//! What can go wrong on a device.

use std::error::Error;
use std::fmt;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceErrorKind {
    /// The work did not fit. A smaller batch may.
    OutOfMemory,
    /// The device can not be used any more in this process; its work must move.
    Lost,
    /// This device can not do what was asked (a number format, a head size…).
    Unsupported,
    /// The source of a weight could not be read.
    Source,
    /// A rule of the seam was broken by the caller.
    Misuse,
    /// Nobody waits for the work any more: see [`Lane::give_up_when`](crate::Lane::give_up_when).
    GivenUp,
}

/// An error of a device or a lane.
#[derive(Debug)]
pub struct DeviceError {
    kind: DeviceErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl DeviceError {
    /// An error of this kind. The message says what did not work, in a user's words.
    pub fn new(kind: DeviceErrorKind, message: impl Into<String>) -> Self {
        DeviceError {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// The same with the error underneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Which kind of error this is.
    pub fn kind(&self) -> DeviceErrorKind {
        self.kind
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for DeviceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}
