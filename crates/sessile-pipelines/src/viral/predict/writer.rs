//! All files of a sample.

use std::io;
use std::path::{Path, PathBuf};

use super::super::results::{ChunkPlace, FrameScore, ListedFailures, ResultCounts, Results};
use super::Predictor;
use super::saved::Saver;
use super::task::Scored;
use crate::error::PipelineError;

/// All files of a sample.
pub(super) struct Writer {
    folder: PathBuf,
    results: Results,
    failures: ListedFailures,
    saver: Option<Saver>,
}

impl Writer {
    pub(super) fn create(predictor: &Predictor, folder: &Path) -> Result<Self, PipelineError> {
        let options = &predictor.options;
        let results = Results::create(folder, options.tables, true)?;
        let failures = ListedFailures::create(folder)?;
        let saver = match options.save_features {
            false => None,
            true => {
                let saver = Saver::create(folder, predictor.sizes);
                let name = folder.display().to_string();
                Some(saver.map_err(|error| PipelineError::output(&name, error))?)
            }
        };
        Ok(Writer {
            folder: folder.to_owned(),
            results,
            failures,
            saver,
        })
    }

    fn failed(&self, error: io::Error) -> PipelineError {
        PipelineError::output(&self.folder.display().to_string(), error)
    }

    /// A record begins.
    pub(super) fn record(&mut self, id: &str) -> Result<(), PipelineError> {
        self.results.begin_contig(id)
    }

    /// A frame of it.
    pub(super) fn write(
        &mut self,
        id: &str,
        place: ChunkPlace,
        scored: &Scored,
    ) -> Result<(), PipelineError> {
        let scores = scored.scores;
        self.results.write(FrameScore {
            id,
            scores,
            place: Some(place),
        })?;
        let saved = match &mut self.saver {
            Some(saver) => saver.push(id, &scored.features),
            None => Ok(()),
        };
        saved.map_err(|error| self.failed(error))
    }

    pub(super) fn fail(&mut self, id: &str, reason: &str) -> Result<(), PipelineError> {
        self.failures.push(id, reason)
    }

    pub(super) fn finish(self) -> Result<ResultCounts, PipelineError> {
        let folder = self.folder.display().to_string();
        self.failures.finish()?;
        if let Some(saver) = self.saver {
            let finished = saver.finish();
            finished.map_err(|error| PipelineError::output(&folder, error))?;
        }
        self.results.finish()
    }
}
