//! Opens the files of a checkpoint and gathers their tensors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::CheckpointFormat;
use super::contents::{Contents, in_file};
use super::fair_esm;
use super::file::{WeightFile, unreadable};
use super::index::parse_index;
use super::legacy::is_shared;
use super::locate::Weights;
use super::safetensors::{self, LENGTH_BYTES};
use super::state_dict::{self, StateDict};
use super::strided::Strided;
use super::tensor::TensorInfo;
use super::torch::TorchFile;
use super::zip::LOCAL_SIGNATURE;
use crate::error::{ModelError, ModelErrorKind};

/// `config.json` and indexes are small; ten times the largest published index.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// What is known once the weights of a checkpoint have been opened.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) contents: Contents,
    pub(crate) format: CheckpointFormat,
    /// A configuration that came inside the weight file.
    pub(crate) config: Option<Value>,
}

pub(crate) fn load(weights: &Weights) -> Result<Loaded, ModelError> {
    let mut loaded = match weights {
        Weights::Single(path) => {
            let mut contents = Contents::default();
            let (format, config) = add_file(&mut contents, path)?;
            Loaded {
                contents,
                format,
                config,
            }
        }
        Weights::Sharded(index) => load_sharded(index)?,
    };
    loaded.contents.rename();
    Ok(loaded)
}

fn load_sharded(index_path: &Path) -> Result<Loaded, ModelError> {
    let index =
        parse_index(&read_small(index_path)?).map_err(|error| in_file(error, index_path))?;
    let directory = index_path.parent().unwrap_or(Path::new("."));
    let shards = index.shards();
    if let Some(missing) = shards.iter().find(|shard| !directory.join(shard).exists()) {
        return Err(ModelError::new(
            ModelErrorKind::NotFound,
            format!(
                "{}: the shard `{missing}` is not there",
                index_path.display()
            ),
        )
        .with_hint(format!(
            "put all {} shards beside their index",
            shards.len()
        )));
    }
    let mut contents = Contents::default();
    let mut format = None;
    for shard in &shards {
        let (shard_format, _) = add_file(&mut contents, &directory.join(shard))?;
        format.get_or_insert(shard_format);
    }
    check_against_index(&contents, &index.weight_map, index_path)?;
    // An index without a shard does not get here: it names at least one tensor.
    Ok(Loaded {
        contents,
        format: format.unwrap_or(CheckpointFormat::Safetensors),
        config: None,
    })
}

fn check_against_index(
    contents: &Contents,
    weight_map: &BTreeMap<String, String>,
    index_path: &Path,
) -> Result<(), ModelError> {
    let lying = weight_map.iter().find(|&(name, shard)| {
        let holder = contents
            .tensors
            .get(name)
            .map(|info| contents.files[info.file].path());
        match holder {
            // Converters drop a table's copies from the shards and leave them in the index.
            None => !is_shared(name),
            Some(holder) => holder.file_name() != Some(shard.as_ref()),
        }
    });
    match lying {
        None => Ok(()),
        Some((name, shard)) => Err(ModelError::new(
            ModelErrorKind::Malformed,
            format!(
                "{}: tensor `{name}` is not in `{shard}`",
                index_path.display()
            ),
        )
        .with_hint("the index and the shards do not belong together: fetch them again")),
    }
}

/// Opens one weight file of whatever format and adds its tensors.
fn add_file(
    contents: &mut Contents,
    path: &Path,
) -> Result<(CheckpointFormat, Option<Value>), ModelError> {
    let file = WeightFile::open(path)?;
    let mut start = [0; 64];
    let length = start
        .len()
        .min(usize::try_from(file.len()).unwrap_or(usize::MAX));
    file.read_exact_at(0, &mut start[..length])
        .map_err(|error| unreadable(path, error))?;
    let start = &start[..length];
    if start.starts_with(b"version https://git-lfs") {
        return Err(malformed(
            path,
            "this is a Git LFS pointer, not the weights themselves",
        )
        .with_hint("run `git lfs pull` in that folder"));
    }
    if start.starts_with(b"<!DOCTYPE") || start.starts_with(b"<html") {
        return Err(malformed(path, "this is a web page, not a weight file")
            .with_hint("download the file itself, not the page that shows it"));
    }
    if start.starts_with(&LOCAL_SIGNATURE) {
        return add_torch(contents, file, path);
    }
    if start.starts_with(&[0x80, 2]) {
        return Err(ModelError::new(
            ModelErrorKind::Unsupported,
            format!(
                "{}: a PyTorch file of the format before torch 1.6",
                path.display()
            ),
        )
        .with_hint("load it with torch and save its state_dict() again, or use safetensors"));
    }
    add_safetensors(contents, file).map_err(|error| in_file(error, path))?;
    Ok((CheckpointFormat::Safetensors, None))
}

/// Adds what a file of `torch.save` holds, and fair-esm's contact head from the file beside it.
fn add_torch(
    contents: &mut Contents,
    file: WeightFile,
    path: &Path,
) -> Result<(CheckpointFormat, Option<Value>), ModelError> {
    let here = |error| in_file(error, path);
    let torch = TorchFile::from_file(file).map_err(here)?;
    let Some(settings) = fair_esm::settings(torch.value()) else {
        let tensors = state_dict::find(torch.value()).map_err(here)?;
        add_tensors(contents, torch, &tensors).map_err(here)?;
        return Ok((CheckpointFormat::PyTorch, None));
    };
    let tensors = fair_esm::tensors(torch.value());
    let config = fair_esm::config(settings, &tensors).map_err(here)?;
    add_tensors(contents, torch, &tensors).map_err(here)?;
    if let Some(beside) = fair_esm::regression_path(path).filter(|beside| beside.is_file()) {
        let here = |error| in_file(error, &beside);
        let regression = TorchFile::open(&beside)?;
        let tensors = fair_esm::tensors(regression.value());
        add_tensors(contents, regression, &tensors).map_err(here)?;
    }
    Ok((CheckpointFormat::FairEsm, Some(config)))
}

fn add_tensors(
    contents: &mut Contents,
    torch: TorchFile,
    tensors: &StateDict,
) -> Result<(), ModelError> {
    let number = contents.files.len();
    let infos = tensors.iter().map(|(_, tensor)| torch.info(tensor, number));
    let infos = infos.collect::<Result<Vec<_>, _>>()?;
    contents.add_file(torch.into_file());
    for ((name, _), info) in tensors.iter().zip(infos) {
        contents.add(name.clone(), info)?;
    }
    Ok(())
}

fn add_safetensors(contents: &mut Contents, file: WeightFile) -> Result<(), ModelError> {
    if file.len() < LENGTH_BYTES as u64 {
        return Err(safetensors::too_short(file.len()));
    }
    let mut length = [0; LENGTH_BYTES];
    file.read_exact_at(0, &mut length)
        .map_err(|error| unreadable(file.path(), error))?;
    let length = safetensors::header_length(length, file.len())?;
    let json = file.read_vec(LENGTH_BYTES as u64, length)?;
    let data_len = file.len() - (LENGTH_BYTES + length) as u64;
    let header = safetensors::parse_json(&json, data_len)?;
    let file = contents.add_file(file);
    let info = |tensor: &safetensors::HeaderTensor| TensorInfo {
        shape: tensor.shape.clone(),
        dtype: tensor.dtype,
        file,
        place: Strided::dense(tensor.bytes.start),
    };
    for (name, tensor) in &header.tensors {
        contents.add(name.clone(), info(tensor))?;
    }
    // `save_model` writes a shared tensor once, and its other names into the metadata.
    for (alias, name) in &header.metadata {
        if let Some(tensor) = header.tensors.get(name)
            && !header.tensors.contains_key(alias)
        {
            contents.add(alias.clone(), info(tensor))?;
        }
    }
    Ok(())
}

/// A JSON object that lies in a folder under this name, if there is one.
pub(crate) fn read_object(directory: &Path, name: &str) -> Result<Option<Value>, ModelError> {
    let path = directory.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let object: Value = serde_json::from_slice(&read_small(&path)?)
        .map_err(|error| malformed(&path, &error.to_string()).with_source(error))?;
    if object.is_object() {
        Ok(Some(object))
    } else {
        Err(malformed(&path, "not a JSON object"))
    }
}

fn read_small(path: &Path) -> Result<Vec<u8>, ModelError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 > MAX_JSON_BYTES {
        return Err(malformed(path, "too long for what it should be"));
    }
    Ok(bytes)
}

fn malformed(path: &Path, what: &str) -> ModelError {
    ModelError::new(
        ModelErrorKind::Malformed,
        format!("{}: {what}", path.display()),
    )
}
