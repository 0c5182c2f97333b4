//! Where weights come from: a checkpoint on disk, or random numbers made on the fly.
//!
//! A model asks for tensors by their Hugging Face names and reads them row by row while they are
//! packed, so no tensor is ever held whole in host memory.

mod adapter;
mod packing;
mod part;
mod random;
mod shapes;
mod shifted;
mod view;

use std::path::PathBuf;

use sessile_device::RowSource;

use crate::checkpoint::Checkpoint;
use crate::error::ModelError;

pub(crate) use adapter::with_adapter;
pub(crate) use packing::{Dense, DenseLane, LayerNorm, Packing};
pub(crate) use part::Part;
pub use random::RandomWeights;
pub use shapes::LoadReport;
pub(crate) use shapes::{Unused, check, values};
pub(crate) use shifted::Shifted;
pub(crate) use view::{Naming, View};

/// Tensors by name.
pub trait WeightSource: Send + Sync {
    /// The shape of a tensor, if it is there.
    fn shape(&self, name: &str) -> Option<&[usize]>;

    /// The names of all tensors, sorted.
    fn names(&self) -> Vec<&str>;

    /// The rows of a tensor.
    ///
    /// # Errors
    ///
    /// `MissingTensor`, `Unreadable`, `Malformed`.
    fn rows(&self, name: &str) -> Result<Box<dyn RowSource + '_>, ModelError>;

    /// Whether two names stand for the same stored values. `false` where that is not known.
    fn same(&self, one: &str, other: &str) -> bool {
        one == other
    }

    /// Where the weights come from, for messages.
    fn describe(&self) -> String;

    /// The files that the model is read from, so that nobody writes over them.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// A hash of names, shapes and values.
    ///
    /// # Errors
    ///
    /// When the values can not be read.
    fn content_hash(&self) -> Result<String, ModelError>;

    /// The same, from a cache where that is sure to be right.
    ///
    /// # Errors
    ///
    /// As [`content_hash`](Self::content_hash).
    fn remembered_hash(&self) -> Result<String, ModelError> {
        self.content_hash()
    }
}

impl WeightSource for Checkpoint {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensor(name).map(|tensor| tensor.shape.as_slice())
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Checkpoint::names(self).collect();
        names.sort_unstable();
        names
    }

    fn rows(&self, name: &str) -> Result<Box<dyn RowSource + '_>, ModelError> {
        Ok(Box::new(Checkpoint::rows(self, name)?))
    }

    fn files(&self) -> Vec<PathBuf> {
        Checkpoint::files(self)
    }

    fn same(&self, one: &str, other: &str) -> bool {
        self.tensor(one).is_some() && self.tensor(one) == self.tensor(other)
    }

    fn describe(&self) -> String {
        self.path().display().to_string()
    }

    fn content_hash(&self) -> Result<String, ModelError> {
        Checkpoint::content_hash(self)
    }

    fn remembered_hash(&self) -> Result<String, ModelError> {
        Checkpoint::remembered_hash(self)
    }
}
