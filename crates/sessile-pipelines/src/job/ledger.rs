//! What a job has counted and told so far.

use crate::error::PipelineError;
use crate::progress::{Observer, Progress, Stages};

use super::FailureList;

/// Counts, clocks, the list of failures and whoever watches. Sinks report to it what the engine
/// cannot know.
pub(crate) struct Ledger<'a> {
    pub(super) observer: &'a mut dyn Observer,
    pub(super) failures: Option<FailureList>,
    pub(crate) progress: Progress,
    /// Residues of what has results.
    pub(crate) residues: u64,
    /// Items whose sequence was on its way already.
    pub(super) shared: u64,
    /// Records with a result.
    pub(crate) done: u64,
    pub(super) stages: Stages,
    /// The first file that could not be read.
    pub(super) file_problem: Option<String>,
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
        self.observer.failure(place, reason);
        if is_file && self.file_problem.is_none() {
            self.file_problem = Some(match place {
                "" => reason.to_owned(),
                place => format!("{place}: {reason}"),
            });
        }
        match &mut self.failures {
            Some(failures) => failures.push(id, place, reason),
            None => Ok(()),
        }
    }

    /// Something a user should know.
    pub(crate) fn note(&mut self, message: &str) {
        self.observer.note(message);
    }
}
