//! All files of a sample.

use std::io;
use std::path::{Path, PathBuf};

use super::super::results::{ChunkPlace, FrameScore, ListedFailures, ResultCounts, Results};
use super::Predictor;
use super::saved::Saver;
use super::shard::ShardTable;
use super::task::Scored;
use crate::error::PipelineError;

/// All files of a sample.
pub(super) struct Writer {
    folder: PathBuf,
    results: Results,
    failures: ListedFailures,
    shard: Option<ShardTable>,
    saver: Option<Saver>,
}

impl Writer {
    pub(super) fn create(predictor: &Predictor, folder: &Path) -> Result<Self, PipelineError> {
        let options = &predictor.options;
        let results = Results::create(folder, options.tables, true)?;
        let open = || -> io::Result<_> {
            let shard = match options.shard.of {
                1 => None,
                _ => Some(ShardTable::create(folder, options.shard, &predictor.job)?),
            };
            let saver = match options.save_features {
                false => None,
                true => Some(Saver::create(folder, predictor.sizes)?),
            };
            Ok((shard, saver))
        };
        let failures = ListedFailures::create(folder)?;
        let (shard, saver) =
            open().map_err(|error| PipelineError::output(&folder.display().to_string(), error))?;
        Ok(Writer {
            folder: folder.to_owned(),
            results,
            failures,
            shard,
            saver,
        })
    }

    pub(super) fn saved_width(&self) -> usize {
        self.saver.as_ref().map_or(0, Saver::width)
    }

    fn failed(&self, error: io::Error) -> PipelineError {
        PipelineError::output(&self.folder.display().to_string(), error)
    }

    /// A record begins.
    pub(super) fn record(&mut self, id: &str, number: u64) -> Result<(), PipelineError> {
        self.results.begin_contig(id)?;
        let begun = match &mut self.shard {
            Some(shard) => shard.record(id, number),
            None => Ok(()),
        };
        begun.map_err(|error| self.failed(error))
    }

    /// A frame of the record of this number.
    pub(super) fn write(
        &mut self,
        id: &str,
        record: u64,
        place: ChunkPlace,
        scored: &Scored,
    ) -> Result<(), PipelineError> {
        let scores = scored.scores;
        self.results.write(FrameScore {
            id,
            scores,
            place: Some(place),
        })?;
        let mut also = || {
            if let Some(shard) = &mut self.shard {
                shard.write(id, record, scores, place)?;
            }
            if let Some(saver) = &mut self.saver {
                saver.push(id, &scored.features)?;
            }
            Ok(())
        };
        also().map_err(|error| self.failed(error))
    }

    pub(super) fn fail(&mut self, id: &str, reason: &str) -> Result<(), PipelineError> {
        self.failures.push(id, reason)
    }

    pub(super) fn finish(self) -> Result<ResultCounts, PipelineError> {
        let folder = self.folder.display().to_string();
        self.failures.finish()?;
        let rest = || -> io::Result<()> {
            if let Some(saver) = self.saver {
                saver.finish()?;
            }
            match self.shard {
                Some(shard) => shard.finish(),
                None => Ok(()),
            }
        };
        rest().map_err(|error| PipelineError::output(&folder, error))?;
        self.results.finish()
    }
}
