//! The tensors of a checkpoint by the names that a family's loader knows.
//!
//! The same network is saved under many names: behind what a wrapper puts before them (`module.`,
//! Lightning's `model.`), as the bare encoder, and with a shared table under any one of the names
//! that share it. A view finds the encoder by a tensor that it always has, wherever that lies, and
//! answers to the usual names; the loaders know no others.

use std::collections::BTreeMap;

use sessile_device::RowSource;

use super::WeightSource;
use crate::error::{ModelError, ModelErrorKind};

/// Rows compared at a time.
const COMPARED_ROWS: usize = 256;

/// How the tensors of a family are called.
pub(crate) struct Naming<'a> {
    /// A tensor that every encoder of the family has, without the base.
    pub(crate) anchor: &'a str,
    /// What stands before the encoder's names in a whole model: `esm.`.
    pub(crate) base: &'a str,
    /// The beginnings of the encoder's names, without the base. What lies elsewhere belongs to
    /// heads.
    pub(crate) roots: &'a [&'a str],
}

/// A source under the usual names.
pub(crate) struct View<'a> {
    source: &'a dyn WeightSource,
    /// The source's names by the usual ones.
    names: BTreeMap<String, String>,
}

impl<'a> View<'a> {
    /// Finds the encoder in a source.
    ///
    /// # Errors
    ///
    /// `MissingTensor` when it is not there, `Mismatch` when there are several, or two tensors
    /// that would go by the same name.
    pub(crate) fn of(
        source: &'a dyn WeightSource,
        naming: &Naming<'_>,
    ) -> Result<Self, ModelError> {
        let prefix = prefix(source, naming)?;
        let outer = prefix.strip_suffix(naming.base).unwrap_or(&prefix);
        let is_encoder = |rest: &&str| naming.roots.iter().any(|root| rest.starts_with(root));
        let mut names = BTreeMap::new();
        for name in source.names() {
            let usual = match name.strip_prefix(&prefix) {
                // With a base of its own, everything behind it is the encoder's.
                Some(rest) if outer.len() < prefix.len() || is_encoder(&rest) => {
                    format!("{}{rest}", naming.base)
                }
                _ => name.strip_prefix(outer).unwrap_or(name).to_owned(),
            };
            if let Some(other) = names.insert(usual, name.to_owned()) {
                return Err(mismatch(
                    source,
                    format!("the tensors `{other}` and `{name}` go by the same name"),
                ));
            }
        }
        Ok(View { source, names })
    }

    /// Lets one table be found under the first of `names`, whichever of them the file has.
    ///
    /// # Errors
    ///
    /// `Mismatch` when the file has it twice, with different values.
    pub(crate) fn share(&mut self, names: &[&str]) -> Result<(), ModelError> {
        let mut present = names
            .iter()
            .filter_map(|name| self.names.remove_entry(*name));
        let Some((first, kept)) = present.next() else {
            return Ok(());
        };
        for (other, copy) in present {
            if !is_same(self.source, &kept, &copy)? {
                return Err(mismatch(
                    self.source,
                    format!(
                        "`{first}` and `{other}` are one table by config.json, but they differ"
                    ),
                )
                .with_hint(
                    "set tie_word_embeddings to false when each is meant, or remove the one that \
                     is not",
                ));
            }
        }
        if let Some(usual) = names.first() {
            self.names.insert((*usual).to_owned(), kept);
        }
        Ok(())
    }

    /// Whether two tensors, by the usual names, have the same values.
    ///
    /// # Errors
    ///
    /// When they can not be read.
    pub(crate) fn has_same_values(&self, one: &str, other: &str) -> Result<bool, ModelError> {
        is_same(self, one, other)
    }

    fn actual<'n>(&'n self, name: &'n str) -> &'n str {
        self.names.get(name).map_or(name, String::as_str)
    }
}

impl WeightSource for View<'_> {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.source.shape(self.names.get(name)?)
    }

    fn names(&self) -> Vec<&str> {
        self.names.keys().map(String::as_str).collect()
    }

    fn rows(&self, name: &str) -> Result<Box<dyn RowSource + '_>, ModelError> {
        self.source.rows(self.actual(name))
    }

    fn same(&self, one: &str, other: &str) -> bool {
        self.source.same(self.actual(one), self.actual(other))
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn content_hash(&self) -> Result<String, ModelError> {
        self.source.content_hash()
    }

    fn remembered_hash(&self) -> Result<String, ModelError> {
        self.source.remembered_hash()
    }
}

/// What stands before the names of the encoder.
fn prefix(source: &dyn WeightSource, naming: &Naming<'_>) -> Result<String, ModelError> {
    let found: Vec<&str> = source
        .names()
        .into_iter()
        .filter_map(|name| name.strip_suffix(naming.anchor))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .collect();
    match found.as_slice() {
        [prefix] => Ok((*prefix).to_owned()),
        [] => Err(ModelError::new(
            ModelErrorKind::MissingTensor,
            format!(
                "{}: there is no tensor `{}{}`",
                source.describe(),
                naming.base,
                naming.anchor
            ),
        )
        .with_hint("the file is not a whole checkpoint, or config.json is of another model")),
        several => Err(mismatch(
            source,
            format!(
                "there are {} encoders, under {}",
                several.len(),
                several.join(", ")
            ),
        )),
    }
}

fn mismatch(source: &dyn WeightSource, what: String) -> ModelError {
    ModelError::new(
        ModelErrorKind::Mismatch,
        format!("{}: {what}", source.describe()),
    )
}

/// Whether two tensors have the same values. Where they lie in the same place nothing is read.
fn is_same(source: &dyn WeightSource, one: &str, other: &str) -> Result<bool, ModelError> {
    if source.same(one, other) {
        return Ok(true);
    }
    if source.shape(one) != source.shape(other) {
        return Ok(false);
    }
    let (one, other) = (source.rows(one)?, source.rows(other)?);
    let (rows, cols) = (one.rows(), one.cols());
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for first in (0..rows).step_by(COMPARED_ROWS) {
        let values = COMPARED_ROWS.min(rows - first) * cols;
        a.resize(values, 0.0);
        b.resize(values, 0.0);
        one.read_rows(first, &mut a)?;
        other.read_rows(first, &mut b)?;
        if a != b {
            return Ok(false);
        }
    }
    Ok(true)
}
