//! FASTA files as an iterator.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use sessile::seq::compression::BoxRead;
use sessile::seq::fasta::Reader;
use sessile::seq::inputs::{self, Format, Input};

/// The records of FASTA files, one after the other.
#[pyclass(frozen, module = "sessile._native")]
pub(crate) struct Records(Mutex<State>);

struct State {
    inputs: VecDeque<Input>,
    reader: Option<Reader<BoxRead>>,
}

/// Reads FASTA files: paths, folders, patterns; compressed or not.
#[pyfunction]
pub(crate) fn read_fasta(paths: Vec<std::path::PathBuf>) -> PyResult<Records> {
    let inputs = inputs::expand(&paths, Format::Fasta)
        .map_err(|error| PyOSError::new_err(error.to_string()))?;
    Ok(Records(Mutex::new(State {
        inputs: inputs.into(),
        reader: None,
    })))
}

#[pymethods]
impl Records {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    /// The next record as (identifier, description, sequence). What is wrong with a record is
    /// raised, and the next call goes on behind it.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<(String, String, String)>> {
        py.detach(|| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.next()
        })
    }
}

impl State {
    fn next(&mut self) -> PyResult<Option<(String, String, String)>> {
        loop {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => match self.inputs.pop_front() {
                    None => return Ok(None),
                    Some(input) => self.reader.insert(
                        Reader::from_input(&input)
                            .map_err(|error| PyOSError::new_err(error.to_string()))?,
                    ),
                },
            };
            match reader.next() {
                None => self.reader = None,
                Some(Err(error)) => return Err(PyValueError::new_err(error.to_string())),
                Some(Ok(record)) => {
                    let sequence = String::from_utf8_lossy(&record.sequence).into_owned();
                    return Ok(Some((record.id, record.description, sequence)));
                }
            }
        }
    }
}
