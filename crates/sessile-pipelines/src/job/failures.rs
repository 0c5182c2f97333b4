//! The list of records without a result.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::PipelineError;
use crate::output::Destination;

/// A list that is written as it grows: a JSON object a line, with `id`, `place` and `reason`.
pub(crate) struct FailureList {
    path: PathBuf,
    out: Destination,
}

#[derive(Serialize)]
struct Failure<'a> {
    id: &'a str,
    place: &'a str,
    reason: &'a str,
}

impl FailureList {
    pub(crate) fn new(path: &Path, out: Destination) -> Self {
        FailureList {
            path: path.to_owned(),
            out,
        }
    }

    pub(crate) fn push(
        &mut self,
        id: &str,
        place: &str,
        reason: &str,
    ) -> Result<(), PipelineError> {
        let failure = Failure { id, place, reason };
        serde_json::to_writer(&mut self.out, &failure)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(|error| PipelineError::output(&self.path.display().to_string(), error))
    }

    pub(crate) fn finish(self) -> Result<(), PipelineError> {
        self.out
            .finish()
            .map_err(|error| PipelineError::output(&self.path.display().to_string(), error))
    }
}
