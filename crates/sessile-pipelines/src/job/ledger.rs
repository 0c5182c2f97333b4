//! What a job has counted and told so far.

use crate::error::PipelineError;
use crate::output::{Outputs, Row};
use crate::progress::{Observer, Progress, Stages};

use super::FailureList;

/// Counts, clocks, the list of failures and whoever watches. Sinks report to it what the engine
/// cannot know.
pub(crate) struct Ledger<'a> {
    pub(super) observer: &'a mut dyn Observer,
    pub(super) failures: Option<FailureList>,
    /// Where rows go.
    pub(crate) outputs: Outputs,
    /// The record at hand, over all inputs; none where it is no record's.
    pub(super) record: Option<u64>,
    pub(crate) progress: Progress,
    /// Residues of what has results.
    pub(crate) residues: u64,
    /// Items whose sequence was on its way already.
    pub(super) shared: u64,
    /// Records with a result.
    pub(crate) done: u64,
    pub(super) stages: Stages,
    /// Whether a file could not be read to its end.
    pub(super) has_lost_a_file: bool,
}

impl Ledger<'_> {
    /// Something has no result: it is told, counted and listed. `is_file` says that the rest of its
    /// file is lost as well.
    ///
    /// # Errors
    ///
    /// When the list cannot be written.
    pub(crate) fn fail(
        &mut self,
        id: &str,
        place: &str,
        reason: &str,
        is_file: bool,
    ) -> Result<(), PipelineError> {
        self.progress.failed += 1;
        self.observer.failure(id, place, reason);
        self.has_lost_a_file |= is_file;
        if let Some(part) = &mut self.outputs.part {
            let is_common = is_file || self.record.is_none();
            let record = self.record.unwrap_or_default();
            part.failure(record, is_common, (id, place, reason))?;
        }
        match &mut self.failures {
            Some(failures) => failures.push(id, place, reason),
            None => Ok(()),
        }
    }

    /// Writes a row of the record at hand.
    ///
    /// # Errors
    ///
    /// When an output cannot be written.
    pub(crate) fn write(&mut self, row: &Row) -> Result<(), PipelineError> {
        self.outputs.write(self.record.unwrap_or_default(), row)
    }

    /// Keeps what its job makes of the record at hand, where this is a shard; false where it is
    /// none.
    ///
    /// # Errors
    ///
    /// When the part cannot be written.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Result<bool, PipelineError> {
        match &mut self.outputs.part {
            None => Ok(false),
            Some(part) => part
                .own(self.record.unwrap_or_default(), bytes)
                .map(|()| true),
        }
    }

    /// Something a user should know.
    pub(crate) fn note(&mut self, message: &str) {
        self.observer.note(message);
    }
}
