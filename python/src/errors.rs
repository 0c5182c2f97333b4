//! Errors as the exceptions of `sessile._errors`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use sessile::{Error, ErrorKind};

static RAISED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception for an error, with its hint and, for a record, its place.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let kind = match error.kind() {
        ErrorKind::Usage => "usage",
        ErrorKind::File => "file",
        ErrorKind::Model => "model",
        ErrorKind::Device => "device",
        ErrorKind::Record => "record",
        ErrorKind::Interrupted => "interrupted",
        _ => "other",
    };
    let exception = RAISED
        .get_or_try_init(py, || {
            let module = py.import("sessile._errors")?;
            Ok::<_, PyErr>(module.getattr("_raised")?.unbind())
        })
        .and_then(|make| make.call1(py, (kind, error.to_string(), error.hint(), error.record())));
    match exception {
        Ok(exception) => PyErr::from_value(exception.into_bound(py)),
        Err(error) => error,
    }
}

/// A setting that is none, with what it could be.
pub(crate) fn unknown(message: String) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(message)
}
