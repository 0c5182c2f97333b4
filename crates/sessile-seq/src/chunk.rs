//! Cutting sequences into chunks of one size, as VirNucPro does.
//!
//! A sequence of L bases becomes n = ⌈L / size⌉ chunks. Its chunks would need n · size bases, so
//! they overlap: the missing bases are spread over the n − 1 seams. VirNucPro's arithmetic, which
//! its classifiers were trained with, is kept to the base:
//!
//! - missing = n · size − L, low = ⌊missing / n⌋, wide = missing − low · (n − 1);
//! - the first `wide` seams overlap by low + 1 bases, the others by low.
//!
//! `wide` may be more than n − 1. Then the seams take up more than is missing and the last chunk is
//! shorter than the others (301 bases in chunks of 300: 1..300 and 151..301). A sequence up to one
//! chunk long is one chunk.

mod batch;
mod plan;

pub use batch::{BATCH_BASES, Batches, Chunk, ChunkBatch};
pub use plan::{Ranges, ranges};
