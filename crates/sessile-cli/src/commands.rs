//! A file per command.

pub(crate) mod completions;
pub(crate) mod devices;
pub(crate) mod embed;
pub(crate) mod man;
pub(crate) mod models;
pub(crate) mod plan;

use std::path::Path;

use sessile_models::{DEMO, ModelFiles};

use crate::exit::Failure;

/// The model that a user names.
pub(crate) fn open_model(name: &str) -> Result<ModelFiles, Failure> {
    if name == DEMO {
        return Ok(ModelFiles::demo());
    }
    Ok(ModelFiles::open(Path::new(name))?)
}
