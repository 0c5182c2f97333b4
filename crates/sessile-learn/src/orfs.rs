//! Telling annotated ORFs from others: boosted trees on what a run says of an ORF.
//!
//! The features are those of genome_entropy, in its order, and so are the model files (XGBoost's),
//! the table of predictions and the report of a split by files. Entropies of structure states are
//! missing values where a run had no model.

mod features;
mod predict;
mod rows;
mod train;

pub use features::{FEATURES, TRAINED_FEATURES, features};
pub use predict::{PredictOptions, Predicted, PredictionColumns, predict};
pub use train::{ClassWeight, ClassifierReport, Split, TrainJob, TrainedClassifier, train};
