//! Jobs over files: records in, results out, nothing lost on the way.
//!
//! A job reads its inputs as a stream, asks the resident pool and writes rows in the order of the
//! input. What is wrong with one record costs that record and nothing else; the job goes on and
//! says so at the end. Results appear under their name only when they are whole.

pub mod bench;
mod census;
pub mod embed;
pub mod entropy;
pub mod error;
mod genome_json;
pub mod interrupt;
mod job;
pub mod journal;
pub mod output;
pub mod progress;
mod sample_sheet;
pub mod shard;
pub mod summarize;
pub mod three_di;
pub mod viral;

pub use census::no_records;
pub use error::{PipelineError, PipelineErrorKind};
pub use interrupt::Interrupt;
pub use job::{RowOptions, stored_bytes};
pub use progress::{Observer, Progress, Stages, Summary};
