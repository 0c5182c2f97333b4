//! How far a prediction is, stage by stage.

use std::time::Duration;

/// One stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stage {
    /// Sequences done: records, chunks' frames, embeddings.
    pub sequences: u64,
    /// Tokens done; bases for the first stage, 0 for stages without.
    pub tokens: u64,
}

/// All stages of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stages {
    /// Chunks cut and their bases.
    pub chunks: Stage,
    /// Nucleotides embedded.
    pub nucleotide: Stage,
    /// Proteins embedded.
    pub protein: Stage,
    /// Frames scored, those of an earlier run too.
    pub scored: Stage,
    /// Frames taken from an earlier run.
    pub known: u64,
    /// Records and frames that failed.
    pub failed: u64,
    /// Bytes read of the inputs, as stored.
    pub bytes: u64,
    /// Bytes of the inputs; 0 when unknown.
    pub bytes_total: u64,
    /// Since the first record was read.
    pub elapsed: Duration,
    /// Share of the time in which the lanes computed, between 0 and 1.
    pub busy: f64,
}

impl Stages {
    /// How long it will still take, from the share of the inputs that was read.
    pub fn left(&self) -> Option<Duration> {
        if self.bytes == 0 || self.bytes >= self.bytes_total {
            return None;
        }
        let share = self.bytes as f64 / self.bytes_total as f64;
        Some(self.elapsed.mul_f64((1.0 - share) / share))
    }
}

/// Somebody who watches the stages. Called from the job's own thread, a few times a second.
pub trait Watch {
    /// How far it is.
    fn stages(&mut self, stages: &Stages) {
        let _ = stages;
    }
}

/// Nobody watches.
impl Watch for () {}
