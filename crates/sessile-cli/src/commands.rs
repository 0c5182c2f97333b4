//! A file per command.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod devices;
pub(crate) mod embed;
pub(crate) mod entropy;
pub(crate) mod man;
pub(crate) mod models;
pub(crate) mod plan;
pub(crate) mod viral;

use sessile_models::hub::{self, HubOptions, Progress};
use sessile_models::{DEMO, ModelFiles};

use crate::exit::Failure;
use crate::terminal::Download;

/// The model that a user names: built in, a path, or a name on the hub, fetched if need be.
pub(crate) fn open_model(name: &str) -> Result<ModelFiles, Failure> {
    if name == DEMO {
        return Ok(ModelFiles::demo());
    }
    let path = resolve(name)?;
    Ok(ModelFiles::open(&path)?.named(name))
}

/// Where a model lies on this machine, after fetching it if need be.
pub(crate) fn resolve(name: &str) -> Result<std::path::PathBuf, Failure> {
    let mut download = Download::new();
    let mut show = |progress: Progress<'_>| download.show(&progress);
    Ok(hub::resolve(name, &HubOptions::from_env(), &mut show)?)
}
