//! `model.safetensors.index.json` and `pytorch_model.bin.index.json`: which shard holds which
//! tensor.
//!
//! Shards are named by plain file names beside the index. A name that would leave that folder is
//! refused, because an index may come from anyone.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::Deserialize;

use crate::error::{ModelError, ModelErrorKind};

/// An index of a checkpoint in several files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ShardIndex {
    /// The file of every tensor, by the tensor's name.
    pub weight_map: BTreeMap<String, String>,
}

impl ShardIndex {
    /// The shards, each once, in order of their names.
    pub fn shards(&self) -> Vec<&str> {
        let mut shards: Vec<&str> = self.weight_map.values().map(String::as_str).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}

/// Reads the JSON of an index.
///
/// # Errors
///
/// `Malformed` when it is not an object with a `weight_map` from names to file names, when the map
/// is empty, or when a file name is not a plain one.
///
/// # Examples
///
/// ```
/// use sessile_models::checkpoint::parse_index;
///
/// let index = parse_index(br#"{"weight_map":{"w":"model-00001-of-00001.safetensors"}}"#)?;
/// assert_eq!(index.shards(), ["model-00001-of-00001.safetensors"]);
/// assert!(parse_index(br#"{"weight_map":{"w":"../../etc/passwd"}}"#).is_err());
/// # Ok::<(), sessile_models::ModelError>(())
/// ```
pub fn parse_index(json: &[u8]) -> Result<ShardIndex, ModelError> {
    let index: ShardIndex = serde_json::from_slice(json)
        .map_err(|error| malformed(format!("the index can not be read: {error}")))?;
    if index.weight_map.is_empty() {
        return Err(malformed("the index names no tensor".to_owned()));
    }
    for shard in index.shards() {
        if !is_plain_name(shard) {
            return Err(malformed(format!("the index names the shard `{shard}`"))
                .with_hint("shards are files in the same folder as their index"));
        }
    }
    Ok(index)
}

/// Whether a name from outside is one file in one folder, on every system.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(components.next(), Some(Component::Normal(first)) if first == name)
        && components.next().is_none()
        && !name.contains(['\\', ':', '\0'])
}

fn malformed(message: String) -> ModelError {
    ModelError::new(ModelErrorKind::Malformed, message)
}
