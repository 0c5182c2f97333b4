//! Models: checkpoints, tokenizers and architectures.
//!
//! A *family* ([`family`]; [`esm2`], [`mosaic_bert`], [`t5`], [`modern_bert`]) is the arithmetic of a family of networks, written once over the
//! operations of `sessile-device`. A *checkpoint* ([`checkpoint`]) holds the numbers of one network
//! of that family: tensors with names, in one of the formats that people publish them in, and a
//! `config.json` with the sizes. A *tokenizer* ([`tokenizer`]) turns text into the ids that the
//! network was trained with. [`Model`] puts the three together; loading it onto a device gives
//! an [`Encoder`], and [`EncoderExecution`] feeds one
//! with packed batches.
//!
//! Nothing in a checkpoint is ever executed: PyTorch's pickles are read by a small interpreter that
//! knows tensors and plain data and refuses everything else by name.

pub mod bart;
pub mod bert;
pub mod checkpoint;
pub mod classifier;
pub mod encoder;
pub mod error;
pub mod esm2;
pub mod esmc;
pub mod family;
pub mod generation;
pub mod hub;
pub mod marginals;
pub mod model;
pub mod modern_bert;
pub mod mosaic_bert;
mod rotary;
mod small_file;
pub mod synthesize;
pub mod t5;
pub mod three_di;
pub mod tokenizer;
pub mod weights;

pub use encoder::{DecoderInfo, Encoder, EncoderExecution, LayerChoice, ModelInfo, ReadLayers};
pub use error::{ModelError, ModelErrorKind};
pub use family::{Alphabet, Architecture, Description, Writing};
pub use generation::{DecoderExecution, DecoderLimits, SequenceToSequence};
pub use model::{DEMO, Model, OpenOptions};
pub use rotary::Rope;
pub use weights::LoadReport;
