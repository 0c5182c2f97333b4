//! The extension module `sessile._native`: the facade and the command, as Python sees them.
//!
//! It holds no logic of its own. Values go in as they are, results come out as NumPy arrays over
//! the buffers that they were computed into, and errors as the exceptions of `sessile._errors`.
//! What is friendly about the package (names, data frames, defaults) is written in Python beside it.

#![cfg(feature = "extension")]

mod command;
mod errors;
mod model;
mod records;
mod sequences;
mod viral;
mod waiting;

/// See `sessile/_native.pyi` for what is in here.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::command::command;
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::records::{Records, read_fasta};
    #[pymodule_export]
    use crate::sequences::{entropy, mutual_information, orfs};
    #[pymodule_export]
    use crate::viral::viral;
    #[pymodule_export]
    use crate::waiting::Stop;

    #[pymodule_export]
    const RESIDUES: &str = sessile::RESIDUES;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
