//! Models: checkpoints, tokenizers and architectures, written once over the device seam.

pub mod checkpoint;
pub mod error;

pub use error::{ModelError, ModelErrorKind};
