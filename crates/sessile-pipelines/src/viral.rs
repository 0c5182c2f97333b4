//! Viral identification as VirNucPro does it: chunks, six frames, embeddings of both, a classifier.
//!
//! Genomes are cut into chunks of one length; the frames of a chunk that hold no stop are the
//! candidates; a classifier scores each from the embeddings of its nucleotides and of its protein,
//! and a chunk is a virus when its best score for *virus* is at least its best for *others*. Files
//! are those of the original, byte by byte, where it has any.

pub mod classify;
pub mod features;
pub mod identify;
mod label;
pub mod predict;
pub mod prepare;
pub mod results;
mod sorted;
pub mod validate;
pub mod verify;

pub use crate::output::ShortFloat;
pub use label::FrameLabel;
