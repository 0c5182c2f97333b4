//! The small files of a model's directory, settings and vocabularies, which are read whole.
//!
//! Every one is read through here: with a bound, and only where it is a regular file. A pipe would
//! wait for a writer, and a device has no end.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde_json::Value;

use crate::error::{ModelError, ModelErrorKind};

/// The bytes of a file of at most `most` bytes.
///
/// # Errors
///
/// `NotFound`, `Unreadable` also for what is no regular file, `Malformed` for a longer one.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, ModelError> {
    let failed = |error: std::io::Error| {
        let kind = match error.kind() {
            ErrorKind::NotFound => ModelErrorKind::NotFound,
            _ => ModelErrorKind::Unreadable,
        };
        let message = format!("cannot read {}: {error}", path.display());
        ModelError::new(kind, message).with_source(error)
    };
    // Looked at before it is opened: opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(ModelError::new(
            ModelErrorKind::Unreadable,
            format!("{}: not a regular file", path.display()),
        ));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(malformed(
            path,
            format!("more than the {most} bytes that such a file may have"),
        ));
    }
    Ok(bytes)
}

/// The same; nothing where there is no file of that name.
///
/// # Errors
///
/// As [`read`], but for `NotFound`. A link that leads nowhere is an error.
pub(crate) fn read_if_there(path: &Path, most: u64) -> Result<Option<Vec<u8>>, ModelError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        _ => read(path, most).map(Some),
    }
}

/// An object of JSON; nothing where there is no file of that name.
///
/// # Errors
///
/// As [`read_if_there`], and `Malformed` for what is no object.
pub(crate) fn object_if_there(path: &Path, most: u64) -> Result<Option<Value>, ModelError> {
    let Some(bytes) = read_if_there(path, most)? else {
        return Ok(None);
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| malformed(path, error))?;
    match value.is_object() {
        true => Ok(Some(value)),
        false => Err(malformed(path, "not a JSON object")),
    }
}

/// A text.
///
/// # Errors
///
/// As [`read`], and `Malformed` for what is no UTF-8.
pub(crate) fn text(path: &Path, most: u64) -> Result<String, ModelError> {
    String::from_utf8(read(path, most)?).map_err(|_| malformed(path, "not UTF-8"))
}

/// Largest file that is hashed, in bytes: none that is read is larger.
const MOST_HASHED: u64 = 64 << 20;

/// A hash of what these files of a directory hold, and which of them there are.
///
/// # Errors
///
/// As [`read_if_there`].
pub(crate) fn fingerprint(directory: &Path, names: &[&str]) -> Result<String, ModelError> {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        if let Some(bytes) = read_if_there(&directory.join(name), MOST_HASHED)? {
            hasher.update(name.as_bytes());
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(&bytes);
        }
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

pub(crate) fn malformed(path: &Path, what: impl std::fmt::Display) -> ModelError {
    ModelError::new(
        ModelErrorKind::Malformed,
        format!("{}: {what}", path.display()),
    )
}
