//! Where the rows of a job go.

use std::path::PathBuf;

use super::{FailureList, open_journal};
use crate::error::PipelineError;
use crate::journal::{Fingerprint, Journal, JournalOptions};
use crate::output::{Compression, FileFormat, Format, OutputFiles, Outputs, Schema, Sources};
use crate::progress::Observer;
use crate::shard::Shard;
use sessile_seq::inputs::Input;

/// Where the rows of a job go, and how it goes on after an earlier run: the same for every job with
/// rows.
#[derive(Clone, Debug)]
pub struct RowOptions {
    /// The files to write, or `-`.
    pub outputs: Vec<PathBuf>,
    /// The format of all of them; `None`: what their extensions say.
    pub format: Option<Format>,
    /// How text formats are compressed; `None`: what the extensions say.
    pub compression: Option<Compression>,
    /// Which records are computed here. A shard writes a part instead of the outputs.
    pub shard: Shard,
    /// Write over outputs that exist.
    pub force: bool,
    /// Keep a journal beside the first output, and go on where an earlier run stopped.
    pub journal: bool,
    /// How an earlier run's journal is gone on with.
    pub resume: JournalOptions,
    /// A file for the list of records without a result.
    pub failures: Option<PathBuf>,
}

/// What a job writes to, opened.
pub(crate) struct JobFiles {
    pub(crate) journal: Option<Journal>,
    pub(crate) failures: Option<FailureList>,
    pub(crate) outputs: Outputs,
}

impl RowOptions {
    /// The files that are written: the outputs, or the part of a shard.
    pub fn places(&self) -> Vec<PathBuf> {
        match self.shard.is_whole() {
            true => self.outputs.clone(),
            false => {
                let first = self.outputs.iter().take(1);
                first.map(|path| self.shard.path(path)).collect()
            }
        }
    }

    /// The list of failures: a shard's own.
    fn failures(&self) -> Option<PathBuf> {
        let failures = self.failures.as_ref();
        failures.map(|path| self.shard.path(path))
    }

    /// The outputs that are to be, checked beside the inputs and the files of the model. The schema
    /// is checked where it is known before the model; `more` are outputs with formats of their own.
    ///
    /// # Errors
    ///
    /// Those of the outputs, then those of the inputs.
    pub(crate) fn prepare(
        &self,
        schema: Option<&Schema>,
        more: Vec<(PathBuf, FileFormat)>,
        inputs: impl FnOnce() -> Result<Vec<Input>, PipelineError>,
        model: Vec<PathBuf>,
    ) -> Result<(Vec<Input>, OutputFiles), PipelineError> {
        let default = Format::default();
        let mut outputs =
            OutputFiles::formats(&self.outputs, self.format, self.compression, default)?;
        outputs.extend(more);
        let mut outputs = OutputFiles::new(&outputs, self.force)?.of_shard(self.shard)?;
        if let Some(path) = self.failures() {
            outputs.accompany(&path)?;
        }
        if let Some(schema) = schema {
            outputs.check(schema)?;
        }
        let inputs = inputs()?;
        let sources = Sources::default().with_inputs(&inputs).with_model(model);
        outputs.check_sources(&sources, self.journal)?;
        Ok((inputs, outputs))
    }

    /// Opens what was claimed; the fingerprint is made where it is needed. Says in `unit`s what an
    /// earlier run has finished.
    ///
    /// # Errors
    ///
    /// `Usage` when a format cannot hold the rows or the journal is another job's, `Output` when a
    /// file cannot be made.
    pub(crate) fn open(
        &self,
        mut outputs: OutputFiles,
        schema: &Schema,
        fingerprint: impl FnOnce() -> Result<Fingerprint, PipelineError>,
        unit: &str,
        observer: &mut dyn Observer,
    ) -> Result<JobFiles, PipelineError> {
        outputs.check(schema)?;
        let fingerprint = match self.journal || !self.shard.is_whole() {
            true => Some(fingerprint()?.with_option("columns", schema.describe())),
            false => None,
        };
        let journal = match fingerprint.as_ref().filter(|_| self.journal) {
            Some(mark) => open_journal(&mut outputs, mark, self.resume, unit, observer)?,
            None => None,
        };
        let opened = outputs.open_or_part(schema, journal.as_ref(), fingerprint, Vec::new())?;
        let failures = outputs.failures(self.failures().as_deref(), journal.as_ref())?;
        Ok(JobFiles {
            journal,
            failures,
            outputs: opened,
        })
    }
}
