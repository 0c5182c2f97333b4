//! Comparing the tensors of a checkpoint with what its configuration asks for.

use std::collections::BTreeSet;

use super::WeightSource;
use crate::error::{ModelError, ModelErrorKind};

/// What loading left aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors of the checkpoint that the model does not use.
    pub ignored: Vec<String>,
    /// What was concluded from shapes because no file says it.
    pub assumed: Vec<String>,
}

/// What an architecture says of the tensors it does not use.
pub(crate) struct Unused<'a> {
    /// Endings of names that published checkpoints carry although nothing reads them.
    pub(crate) known: &'a [&'a str],
    /// Beginnings of the names of the network's own parts: one more tensor there is a part that
    /// the configuration lacks, and that would change the answer.
    pub(crate) owned: &'a [&'a str],
}

/// Values in all tensors of these shapes.
pub(crate) fn values(shapes: &[(String, Vec<usize>)]) -> u64 {
    let values = |shape: &Vec<usize>| shape.iter().product::<usize>() as u64;
    shapes.iter().map(|(_, shape)| values(shape)).sum()
}

/// Compares all tensors before anything is packed: names, shapes and the number of layers.
///
/// # Errors
///
/// `MissingTensor`, or `Mismatch` for another shape or for a layer too many.
pub(crate) fn check(
    source: &dyn WeightSource,
    expected: impl IntoIterator<Item = (String, Vec<usize>)>,
    unused: &Unused<'_>,
) -> Result<LoadReport, ModelError> {
    let mut found = BTreeSet::new();
    for (name, shape) in expected {
        match source.shape(&name) {
            None => {
                return Err(ModelError::new(
                    ModelErrorKind::MissingTensor,
                    format!("{}: there is no tensor `{name}`", source.describe()),
                )
                .with_hint(
                    "the file is not a whole checkpoint, or config.json is of another model",
                ));
            }
            Some(have) if have != shape => {
                return Err(ModelError::new(
                    ModelErrorKind::Mismatch,
                    format!(
                        "{}: tensor `{name}` has the shape {have:?}, config.json asks for {shape:?}",
                        source.describe()
                    ),
                ));
            }
            Some(_) => {
                found.insert(name);
            }
        }
    }
    let mut report = LoadReport::default();
    for name in source.names() {
        if found.contains(name) {
            continue;
        }
        let known = unused.known.iter().any(|extra| name.ends_with(extra));
        if known {
            continue;
        }
        if unused.owned.iter().any(|part| name.starts_with(part)) {
            return Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: tensor `{name}` has no place in the network of config.json",
                    source.describe()
                ),
            )
            .with_hint(
                "config.json is of another model, or the network is a variant that is not built in",
            ));
        }
        report.ignored.push(name.to_owned());
    }
    Ok(report)
}
