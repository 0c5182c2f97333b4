//! Gradient-boosted trees for two classes, in XGBoost's own model files.
//!
//! A model is a sum: every tree sends a row of features from its root to a leaf, the leaves'
//! numbers and the base margin add up to a margin, and the logistic function of the margin is the
//! probability of the positive class (Chen and Guestrin, 2016, arXiv:1603.02754). Sums are in `f32`
//! and in the order of the trees, as in XGBoost, so the probabilities are its own.
//!
//! [`BoostedTrees::read`] takes the JSON and UBJ files of XGBoost 1.0 to 3.2 whose objective is
//! `binary:logistic` and whose booster is `gbtree`; anything else is refused by name.
//! [`BoostedTrees::to_json`] and [`BoostedTrees::to_ubj`] write files that those versions load.
//! [`train`] grows trees by histograms.

mod file;
mod importance;
pub mod train;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

pub use importance::Importance;
pub use tree::Tree;
pub(crate) use tree::{Node, NodeKind};

use sessile_models::{ModelError, ModelErrorKind};

/// Files larger than this are refused before they are read.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The form of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreesFormat {
    /// Text, `.json`.
    Json,
    /// Universal Binary JSON, `.ubj`: what XGBoost writes unless told otherwise.
    Ubj,
}

impl TreesFormat {
    /// The format that a file's name asks for.
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(TreesFormat::Json),
            "ubj" => Some(TreesFormat::Ubj),
            _ => None,
        }
    }
}

/// A classifier of two classes.
#[derive(Clone, Debug, PartialEq)]
pub struct BoostedTrees {
    pub(crate) trees: Vec<Tree>,
    /// The probability that the sum starts from.
    pub(crate) base_score: f32,
    pub(crate) features: usize,
    /// As many as features, or none.
    pub(crate) feature_names: Vec<String>,
    pub(crate) feature_types: Vec<String>,
    /// Trees grown in a round, by which rounds are counted.
    pub(crate) parallel_trees: usize,
    pub(crate) positive_weight: f32,
    /// What else a file says of its model, such as `best_iteration`.
    pub(crate) attributes: BTreeMap<String, String>,
}

/// The attribute in which XGBoost notes the best round of an early stop.
const BEST_ITERATION: &str = "best_iteration";

/// Where the names of the features are kept: XGBoost's own field would make it refuse rows
/// without names.
const NAMES_ATTRIBUTE: &str = "sessile_feature_names";

impl BoostedTrees {
    /// Reads a file of either format.
    ///
    /// # Errors
    ///
    /// `NotFound` or `Unreadable` when it can not be read, `Malformed` when it is damaged or its
    /// trees are none, `Unsupported` when it holds a model of another kind.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let name = path.display();
        let unreadable = |error: std::io::Error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ModelErrorKind::NotFound,
                _ => ModelErrorKind::Unreadable,
            };
            ModelError::new(kind, format!("can not read {name}: {error}")).with_source(error)
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_FILE_BYTES {
            let message =
                format!("{name} has {size} bytes; trees of up to {MAX_FILE_BYTES} are read");
            return Err(ModelError::new(ModelErrorKind::Unsupported, message));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        Self::read(&bytes).map_err(|error| {
            let again = ModelError::new(error.kind(), format!("{name}: {error}"));
            match error.hint() {
                Some(hint) => again.with_hint(hint),
                None => again,
            }
        })
    }

    /// Reads the bytes of a file of either format, told apart by their content.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        file::read(bytes)
    }

    /// The model as XGBoost's JSON.
    pub fn to_json(&self) -> Vec<u8> {
        file::to_json(self)
    }

    /// The model as XGBoost's UBJ.
    pub fn to_ubj(&self) -> Vec<u8> {
        file::to_ubj(self)
    }

    /// Numbers of a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// What the numbers of a row are called; empty when the file does not say.
    pub fn feature_names(&self) -> Vec<String> {
        if !self.feature_names.is_empty() {
            return self.feature_names.clone();
        }
        let names: Vec<String> = (self.attributes.get(NAMES_ATTRIBUTE).into_iter())
            .flat_map(|names| names.split(',').map(str::to_owned))
            .collect();
        match names.len() == self.features {
            true => names,
            false => Vec::new(),
        }
    }

    /// Notes what the numbers of a row are called, where XGBoost keeps but does not check it: with
    /// names of its own it refuses rows without names.
    pub fn note_feature_names(&mut self, names: &[&str]) {
        (self.attributes).insert(NAMES_ATTRIBUTE.to_owned(), names.join(","));
    }

    /// How often a positive row counted when the trees were grown.
    pub fn positive_weight(&self) -> f32 {
        self.positive_weight
    }

    /// The trees, in the order in which they are summed.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// The best round of an early stop, from 0, if the file says so.
    pub fn best_iteration(&self) -> Option<usize> {
        self.attributes.get(BEST_ITERATION)?.parse().ok()
    }

    /// The model up to its best round: what XGBoost's `XGBClassifier` predicts with, while its
    /// `Booster` takes all trees. Without a best round, all trees.
    #[must_use]
    pub fn best(mut self) -> Self {
        if let Some(best) = self.best_iteration() {
            let trees = best.saturating_add(1).saturating_mul(self.parallel_trees);
            self.trees.truncate(trees);
        }
        self
    }

    /// The sum of the leaves that a row falls into. `NaN` is a missing value; so is every feature
    /// beyond the end of a short row.
    pub fn margin(&self, row: &[f32]) -> f32 {
        let base = base_margin(self.base_score);
        (self.trees.iter()).fold(base, |margin, tree| margin + tree.leaf(row))
    }

    /// The probability of the positive class.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_learn::trees::train::{train, Samples, TrainOptions};
    ///
    /// let mut samples = Samples::new(1);
    /// for step in 0..40 {
    ///     samples.push(&[step as f32], step >= 20);
    /// }
    /// let trained = train(&samples, None, &TrainOptions::default(), |_| true)?;
    /// assert!(trained.model.probability(&[5.0]) < 0.1);
    /// assert!(trained.model.probability(&[30.0]) > 0.9);
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn probability(&self, row: &[f32]) -> f32 {
        logistic(self.margin(row))
    }
}

/// The logistic function, in `f32` as XGBoost computes it.
pub(crate) fn logistic(margin: f32) -> f32 {
    // e^88.7 is the last that f32 holds.
    1.0 / ((-margin).min(88.7).exp() + 1.0)
}

/// The margin whose logistic function is `base_score`.
fn base_margin(base_score: f32) -> f32 {
    -(1.0 / base_score - 1.0).ln()
}

#[cfg(test)]
mod tests;
