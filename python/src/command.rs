//! The command `sessile`, whose program is in this library.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command and gives its exit code; the first argument is the name of the program.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| sessile_cli::main(&arguments))
}
