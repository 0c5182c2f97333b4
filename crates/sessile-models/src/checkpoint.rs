//! Checkpoints: the tensors and the configuration of a model, as people have them on disk.
//!
//! Whatever the format, a checkpoint is a map from names to tensors that stay in their files until
//! their rows are asked for. Opening one reads headers only and runs no code from the file.
//! The names are those of the Hugging Face libraries; other namings are translated on opening.

mod adapter;
mod contents;
mod fair_esm;
mod file;
mod hash;
mod index;
mod legacy;
mod load;
mod locate;
mod members;
pub mod pickle;
mod remembered;
mod rows;
pub mod safetensors;
mod state_dict;
mod strided;
mod tensor;
mod torch;
mod zip;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) use self::adapter::{adapter_settings, adapter_weights};
use self::file::WeightFile;
pub(crate) use self::index::is_plain_name;
pub use self::index::{ShardIndex, parse_index};
pub(crate) use self::locate::{Weights, locate};
pub use self::rows::TensorRows;
pub use self::safetensors::{StoredTensor, write_safetensors};
pub use self::tensor::{TensorDType, TensorInfo};
pub use self::torch::{Saved, TorchFile, write_torch};
use crate::error::{ModelError, ModelErrorKind};

/// The format of a checkpoint's weight files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckpointFormat {
    /// safetensors, in one file or in shards with an index.
    Safetensors,
    /// What `torch.save` writes: a state dict, a training checkpoint or a known module.
    PyTorch,
    /// A PyTorch file with fair-esm's names and settings, translated to the usual ones.
    FairEsm,
}

impl fmt::Display for CheckpointFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CheckpointFormat::Safetensors => "safetensors",
            CheckpointFormat::PyTorch => "PyTorch",
            CheckpointFormat::FairEsm => "fair-esm",
        })
    }
}

/// An open checkpoint. May be shared between threads.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    directory: PathBuf,
    format: CheckpointFormat,
    config: Option<Value>,
    files: Vec<WeightFile>,
    tensors: BTreeMap<String, TensorInfo>,
}

impl Checkpoint {
    /// Opens a folder in the Hugging Face layout, or one weight file.
    ///
    /// # Errors
    ///
    /// - `NotFound`: nothing is at `path`, the folder has no weights, or a shard is missing.
    /// - `Unreadable`: the system does not let the files be read.
    /// - `Malformed`: a file is damaged, cut short or contradicts itself.
    /// - `Unsafe`: a PyTorch file would run code when it is loaded by Python.
    /// - `Unsupported`: a format that is not known.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::checkpoint::Checkpoint;
    ///
    /// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
    /// let checkpoint = Checkpoint::open(format!("{golden}/esm2/tiny_a").as_ref())?;
    /// let table = checkpoint.tensor("esm.embeddings.word_embeddings.weight").unwrap();
    /// assert_eq!(table.shape, [33, 48]);
    /// assert_eq!(checkpoint.config().unwrap()["model_type"], "esm");
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn open(path: &Path) -> Result<Checkpoint, ModelError> {
        let (weights, directory) = locate(path)?;
        Checkpoint::of(path, &weights, directory)
    }

    /// Opens one weight file, whatever it is called.
    pub(crate) fn open_file(path: &Path) -> Result<Checkpoint, ModelError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        Checkpoint::of(
            path,
            &Weights::Single(path.to_owned()),
            directory.to_owned(),
        )
    }

    fn of(path: &Path, weights: &Weights, directory: PathBuf) -> Result<Checkpoint, ModelError> {
        let config = load::read_object(&directory, "config.json")?;
        let loaded = load::load(weights)?;
        Ok(Checkpoint {
            path: path.to_owned(),
            directory,
            format: loaded.format,
            config: loaded.config.or(config),
            files: loaded.contents.files,
            tensors: loaded.contents.tensors,
        })
    }

    /// The configuration: `config.json`, or what the weight file itself says in the same words.
    pub fn config(&self) -> Option<&Value> {
        self.config.as_ref()
    }

    /// The format of the weights.
    pub fn format(&self) -> CheckpointFormat {
        self.format
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the checkpoint, where its vocabulary lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The files that the checkpoint is read from, with what may be read beside the weights.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self
            .files
            .iter()
            .map(|file| file.path().to_owned())
            .collect();
        files.extend(members::of(&self.path));
        files
    }

    /// The names of all tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// What is known about a tensor, if there is one of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// A tensor as rows of f32.
    ///
    /// Floats of 64, 32 and 16 bits are converted; integers too, where f32 holds them exactly.
    ///
    /// # Errors
    ///
    /// `MissingTensor` when there is none of that name, `Unsupported` when its number format can
    /// not be read as f32.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_device::RowSource;
    /// use sessile_models::checkpoint::Checkpoint;
    ///
    /// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
    /// let checkpoint = Checkpoint::open(format!("{golden}/esm2/tiny_a").as_ref())?;
    /// let dense = checkpoint.rows("lm_head.dense.weight")?;
    /// let mut two = vec![0.0; 2 * dense.cols()];
    /// dense.read_rows(10, &mut two)?;
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn rows(&self, name: &str) -> Result<TensorRows<'_>, ModelError> {
        let Some((name, info)) = self.tensors.get_key_value(name) else {
            return Err(self.missing(name));
        };
        let file = &self.files[info.file];
        if !rows::readable_as_f32(info.dtype) {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                format!(
                    "{}: tensor `{name}`: {}",
                    file.path().display(),
                    rows::unreadable_as(info.dtype)
                ),
            ));
        }
        Ok(TensorRows { name, info, file })
    }

    /// Bytes of all tensors as they are stored. A tensor that goes by two names counts once.
    pub fn total_bytes(&self) -> u64 {
        let distinct: BTreeSet<_> = self
            .tensors
            .values()
            .map(|info| (info.file, &info.place, &info.shape, info.bytes()))
            .collect();
        distinct.into_iter().map(|(.., bytes)| bytes).sum()
    }

    /// A hash of the names, shapes, formats and bytes of all tensors, in hexadecimal.
    ///
    /// The same tensors give the same hash whatever files they come in, so it tells whether two
    /// runs used the same weights. Reads everything: about a second for every few gigabytes.
    ///
    /// # Errors
    ///
    /// `Unreadable` or `Malformed` when a file can not be read to its end.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::checkpoint::Checkpoint;
    ///
    /// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
    /// let checkpoint = Checkpoint::open(format!("{golden}/esm2/tiny_a").as_ref())?;
    /// assert_eq!(checkpoint.content_hash()?.len(), 64);
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn content_hash(&self) -> Result<String, ModelError> {
        hash::content_hash(&self.files, &self.tensors)
    }

    /// The same, without reading the files again when their hash was computed before and they have
    /// not changed since: hashes are kept in the user's cache folder (`$XDG_CACHE_HOME/sessile` or
    /// `~/.cache/sessile`), where a file is known by device, inode, size and the times of its last
    /// change.
    ///
    /// # Errors
    ///
    /// As [`content_hash`](Self::content_hash).
    pub fn remembered_hash(&self) -> Result<String, ModelError> {
        remembered::content_hash(self)
    }

    fn missing(&self, name: &str) -> ModelError {
        let place = match self.files.as_slice() {
            [single] => single.path(),
            _ => &self.path,
        };
        let last = name.rsplit('.').nth(1).unwrap_or(name);
        let alike: Vec<&str> = self
            .names()
            .filter(|have| have.contains(last))
            .take(3)
            .collect();
        let error = ModelError::new(
            ModelErrorKind::MissingTensor,
            format!(
                "{}: no tensor `{name}` among {}",
                place.display(),
                self.tensors.len()
            ),
        );
        if alike.is_empty() {
            error.with_hint("the weights are those of another architecture")
        } else {
            error.with_hint(format!("it has {}", alike.join(", ")))
        }
    }
}
