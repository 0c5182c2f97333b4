//! Learning: classifiers that are trained here, beside the jobs that use them.
//!
//! [`orfs`] tells annotated ORFs from others with boosted [`trees`] in XGBoost's files; [`viruses`]
//! trains the [`perceptron`] that `viral predict` scores frames with.

pub mod metrics;
pub mod orfs;
pub mod perceptron;
mod random;
pub mod trees;
pub mod viruses;
