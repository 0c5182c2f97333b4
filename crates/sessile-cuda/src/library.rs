//! Opening shared libraries.

use std::error::Error;

/// What the system's loader said, without the names of our wrapper around it.
pub(crate) fn loader_message(error: &libloading::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        message = inner.to_string();
        source = inner.source();
    }
    message
}
