//! Where the rows of a job go.

use std::path::{Path, PathBuf};

use crate::error::PipelineError;
use crate::journal::JournalOptions;
use crate::output::{Compression, Format, OutputFiles, Schema, Sources};
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
    /// Write over outputs that exist.
    pub force: bool,
    /// Keep a journal beside the first output, and go on where an earlier run stopped.
    pub journal: bool,
    /// How an earlier run's journal is gone on with.
    pub resume: JournalOptions,
    /// A file for the list of records without a result.
    pub failures: Option<PathBuf>,
}

impl RowOptions {
    /// The outputs that are to be, checked beside the inputs and the files of the model. The schema
    /// is checked where it is known before the model; `beside` is a file that is written with them.
    ///
    /// # Errors
    ///
    /// Those of the outputs, then those of the inputs.
    pub(crate) fn prepare(
        &self,
        schema: Option<&Schema>,
        beside: Option<&Path>,
        inputs: impl FnOnce() -> Result<Vec<Input>, PipelineError>,
        model: Vec<PathBuf>,
    ) -> Result<(Vec<Input>, OutputFiles), PipelineError> {
        let mut outputs =
            OutputFiles::new(&self.outputs, self.format, self.compression, self.force)?;
        for path in beside.into_iter().chain(self.failures.as_deref()) {
            outputs.accompany(path)?;
        }
        if let Some(schema) = schema {
            outputs.check(schema)?;
        }
        let inputs = inputs()?;
        let sources = Sources::default().with_inputs(&inputs).with_model(model);
        outputs.check_sources(&sources, self.journal)?;
        Ok((inputs, outputs))
    }
}
