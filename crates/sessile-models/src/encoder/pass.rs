//! One forward pass over a packed batch.

use sessile_device::{OutputSet, PackedBatch};

/// What is wanted of one sequence of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Outputs of the sequence as it is.
    pub outputs: OutputSet,
    /// The position of a hidden token and its true id: the answer is the log-probability of the
    /// true token there, as [`OutputKind::MaskedLogprob`](sessile_device::OutputKind) of one
    /// value.
    pub masked: Option<(u32, u32)>,
}

/// A packed batch with a job for each sequence.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// The sequences.
    pub batch: PackedBatch,
    /// A job per sequence.
    pub jobs: Vec<Job>,
}

impl Pass {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.jobs.clear();
    }

    /// Appends a sequence.
    pub fn push(&mut self, tokens: &[u32], job: Job) {
        self.batch.push(tokens);
        self.jobs.push(job);
    }
}

/// Host memory that passes use again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    /// A factor per token.
    pub(crate) scale: Vec<f32>,
    /// Row numbers of the batch.
    pub(crate) rows: Vec<u32>,
    /// A column for each of `rows`.
    pub(crate) columns: Vec<u32>,
    /// Values read from the device.
    pub(crate) values: Vec<f32>,
}
