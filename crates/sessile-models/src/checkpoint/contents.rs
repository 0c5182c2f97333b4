//! The tensors gathered from the files of one checkpoint.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use super::file::WeightFile;
use super::legacy::{PARALLEL_PREFIX, present_name};
use super::tensor::TensorInfo;
use crate::error::{ModelError, ModelErrorKind};

/// Files and the tensors in them, while a checkpoint is opened.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) files: Vec<WeightFile>,
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
}

impl Contents {
    /// Takes a file in and says which number its tensors refer to it by.
    pub(crate) fn add_file(&mut self, file: WeightFile) -> usize {
        self.files.push(file);
        self.files.len() - 1
    }

    /// Takes a tensor in. The same name in two files is an error.
    pub(crate) fn add(&mut self, name: String, info: TensorInfo) -> Result<(), ModelError> {
        match self.tensors.entry(name) {
            Entry::Vacant(place) => {
                place.insert(info);
                Ok(())
            }
            Entry::Occupied(place) => Err(ModelError::new(
                ModelErrorKind::Malformed,
                format!(
                    "tensor `{}` is there twice, in {} and in {}",
                    place.key(),
                    self.files[place.get().file].path().display(),
                    self.files[info.file].path().display()
                ),
            )),
        }
    }

    /// Takes away what training wrappers put into all names, and gives tensors with an old name
    /// their present one, unless that is taken.
    pub(crate) fn rename(&mut self) {
        let mut keys = self.tensors.keys();
        if keys.all(|name| name.starts_with(PARALLEL_PREFIX)) {
            self.tensors = std::mem::take(&mut self.tensors)
                .into_iter()
                .map(|(name, info)| (name[PARALLEL_PREFIX.len()..].to_owned(), info))
                .collect();
        }
        let renames: Vec<(String, String)> = self
            .tensors
            .keys()
            .filter_map(|name| Some((name.clone(), present_name(name)?)))
            .filter(|(_, new)| !self.tensors.contains_key(new))
            .collect();
        for (old, new) in renames {
            if let Some(info) = self.tensors.remove(&old) {
                self.tensors.insert(new, info);
            }
        }
    }
}

/// The same error, said of this file.
pub(crate) fn in_file(error: ModelError, path: &Path) -> ModelError {
    let hint = error.hint().map(str::to_owned);
    let same = ModelError::new(error.kind(), format!("{}: {error}", path.display()));
    match hint {
        Some(hint) => same.with_hint(hint),
        None => same,
    }
}
