//! Which files a checkpoint is made of, from the path that a user gave.
//!
//! In a folder the usual Hugging Face names come first, safetensors before PyTorch; without one of
//! those, a single weight file of any name will do. What a file *is* its content says, not its name.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::adapter::{adapter_weights, is_adapter, lone_adapter};
use super::file::unreadable;
use crate::error::{ModelError, ModelErrorKind};

/// The names looked for in a folder, best first.
const USUAL_NAMES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

const INDEX_SUFFIX: &str = ".index.json";

/// Beside fair-esm's `NAME.pt` lies its contact head, `NAME-contact-regression.pt`.
pub(crate) const REGRESSION_SUFFIX: &str = "-contact-regression";

/// Where the weights of a checkpoint are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// One file.
    Single(PathBuf),
    /// An index that names the shards beside it.
    Sharded(PathBuf),
}

/// The weights behind a path, and the folder where `config.json` and the vocabulary lie.
pub(crate) fn locate(path: &Path) -> Result<(Weights, PathBuf), ModelError> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, error))?;
    if metadata.is_dir() {
        return Ok((in_directory(path)?, path.to_owned()));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if is_adapter(path) {
        return Err(lone_adapter(&directory)?);
    }
    Ok((weights_at(path.to_owned()), directory))
}

fn weights_at(path: PathBuf) -> Weights {
    let is_index = path
        .file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.ends_with(INDEX_SUFFIX));
    if is_index {
        Weights::Sharded(path)
    } else {
        Weights::Single(path)
    }
}

fn in_directory(directory: &Path) -> Result<Weights, ModelError> {
    if let Some(usual) = USUAL_NAMES
        .iter()
        .map(|name| directory.join(name))
        .find(|path| path.is_file())
    {
        return Ok(weights_at(usual));
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| unreadable(directory, error))? {
        let path = entry.map_err(|error| unreadable(directory, error))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    for extensions in [&["safetensors"][..], &["bin", "pt", "pth", "ckpt"]] {
        let mut found: Vec<PathBuf> = files
            .iter()
            .filter(|path| is_weight_file(path, extensions))
            .cloned()
            .collect();
        match found.len() {
            0 => {}
            1 => return Ok(Weights::Single(found.remove(0))),
            _ => {
                found.sort();
                return Err(ModelError::new(
                    ModelErrorKind::NotFound,
                    format!(
                        "{}: several weight files and none has a usual name: {}",
                        directory.display(),
                        names(&found)
                    ),
                )
                .with_hint("give the path of the file that is meant"));
            }
        }
    }
    if adapter_weights(directory).is_some() {
        return Err(lone_adapter(directory)?);
    }
    Err(ModelError::new(
        ModelErrorKind::NotFound,
        format!("{}: no weights in this folder", directory.display()),
    )
    .with_hint(format!(
        "looked for {} and for *.safetensors, *.bin, *.pt, *.pth, *.ckpt",
        USUAL_NAMES[0]
    )))
}

fn is_weight_file(path: &Path, extensions: &[&str]) -> bool {
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|extension| extensions.contains(&extension))
        && !stem.ends_with(REGRESSION_SUFFIX)
        && !is_adapter(path)
}

fn names(paths: &[PathBuf]) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<_> = paths
        .iter()
        .take(SHOWN)
        .filter_map(|path| path.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if paths.len() > SHOWN {
        names.push(format!("… ({} in all)", paths.len()));
    }
    names.join(", ")
}
