//! Which files of a repository are needed: configuration, vocabulary and one set of weights.
//!
//! Only plain names at the top of the repository are considered, so no name that a server sends
//! can lead out of the cache.

use std::collections::BTreeSet;

use crate::checkpoint::is_plain_name;
use crate::error::{ModelError, ModelErrorKind};
use crate::model::FILES;

/// Small files that are fetched when they are there, beside those of every model; an adapter beside
/// the weights changes them.
const SMALL: [&str; 4] = [
    "adapter_config.json",
    "adapter_model.bin",
    "adapter_model.safetensors",
    "sentencepiece.bpe.model",
];

/// Weights, best first. An index is followed by its shards.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The files to fetch first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) small: Vec<String>,
    pub(crate) weights: String,
}

impl Selection {
    /// Whether the weights are an index, whose shards come after it.
    pub(crate) fn is_sharded(&self) -> bool {
        self.weights.ends_with(".index.json")
    }
}

/// Chooses among the files of a repository.
pub(crate) fn select(repository: &str, files: &[String]) -> Result<Selection, ModelError> {
    let files: BTreeSet<&str> = files
        .iter()
        .map(String::as_str)
        .filter(|name| is_plain_name(name))
        .collect();
    let usual = WEIGHTS.iter().copied().find(|name| files.contains(name));
    let Some(weights) = usual.or_else(|| only_weight_file(&files)) else {
        const SHOWN: usize = 8;
        let some: Vec<&str> = files.iter().copied().take(SHOWN).collect();
        return Err(ModelError::new(
            ModelErrorKind::Unsupported,
            format!("{repository} has no safetensors or PyTorch weights"),
        )
        .with_hint(format!("it has {} files: {}", files.len(), some.join(", "))));
    };
    let small = SMALL
        .iter()
        .chain(&FILES)
        .filter(|name| files.contains(*name))
        .map(|&n| n.to_owned())
        .collect();
    Ok(Selection {
        small,
        weights: weights.to_owned(),
    })
}

fn only_weight_file<'a>(files: &BTreeSet<&'a str>) -> Option<&'a str> {
    [".safetensors", ".bin", ".pt", ".pth", ".ckpt"]
        .iter()
        .find_map(|extension| {
            let mut found = files.iter().filter(|name| name.ends_with(extension));
            match (found.next(), found.next()) {
                (Some(name), None) => Some(*name),
                _ => None,
            }
        })
}
