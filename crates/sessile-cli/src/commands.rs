//! A file per command.

pub(crate) mod bench;
pub(crate) mod bench_service;
pub(crate) mod completions;
pub(crate) mod devices;
pub(crate) mod embed;
pub(crate) mod entropy;
mod job;
pub(crate) mod man;
pub(crate) mod merge;
pub(crate) mod models;
pub(crate) mod plan;
pub(crate) mod serve;
pub(crate) mod summarize;
pub(crate) mod viral;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use sessile_models::hub::{self, HubOptions, Progress};
use sessile_models::modern_bert::HeadMap;
use sessile_models::{DEMO, Model, OpenOptions};

use crate::exit::{BAD_INPUT, DEVICE, Failure, MORE_THREADS};
use crate::signals;
use crate::terminal::Download;

/// How often a signal is looked for while a model is fetched.
const SIGNAL_POLL: Duration = Duration::from_millis(50);

/// The model that a user names: built in, a path, or a name on the hub, fetched if need be.
pub(crate) fn open_model(name: &str) -> Result<Model, Failure> {
    open_model_with(name, &OpenOptions::default())
}

/// The same, with a head or what else there is to say of it.
pub(crate) fn open_model_with(name: &str, options: &OpenOptions) -> Result<Model, Failure> {
    if name == DEMO {
        return Ok(Model::demo());
    }
    let path = resolve(name)?;
    Ok(Model::open_with(&path, options)?.named(name))
}

/// What a user says of a model's heads.
pub(crate) fn head_options(
    head: Option<&Path>,
    head_map: Option<&Path>,
) -> Result<OpenOptions, Failure> {
    let head_map = match head_map {
        None => None,
        Some(path) => {
            let text = sessile_seq::text::read_file(path).map_err(|error| {
                let message = format!("can not read the head map {}: {error}", path.display());
                Failure::new(BAD_INPUT, message)
            })?;
            Some(HeadMap::from_json(&text)?)
        }
    };
    if let Some(head) = head.filter(|head| !head.exists()) {
        let message = format!("{}: no such file", head.display());
        return Err(Failure::new(BAD_INPUT, message));
    }
    Ok(OpenOptions {
        head: head.map(Path::to_owned),
        head_map,
        ..OpenOptions::default()
    })
}

/// Where a model lies on this machine, after fetching it if need be. A signal ends the fetch at
/// once, whatever the network does; what has come stays for the next time.
pub(crate) fn resolve(name: &str) -> Result<PathBuf, Failure> {
    if Path::new(name).exists() {
        return Ok(hub::resolve(name, &HubOptions::from_env(), &mut |_| {})?);
    }
    let (sender, found) = sync_channel(1);
    let wanted = name.to_owned();
    let fetch = move || {
        let mut download = Download::new();
        let mut show = |progress: Progress<'_>| download.show(&progress);
        let path = hub::resolve(&wanted, &HubOptions::from_env(), &mut show);
        drop(download);
        // Nobody listens any more after a signal.
        let _ = sender.send(path);
    };
    std::thread::Builder::new()
        .name("download".to_owned())
        .spawn(fetch)
        .map_err(|error| {
            Failure::new(DEVICE, format!("can not start fetching {name}: {error}"))
                .with_hint(Some(MORE_THREADS))
        })?;
    loop {
        match found.recv_timeout(SIGNAL_POLL) {
            Ok(path) => return Ok(path?),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let message = format!("a fault in the program stopped the fetch of {name}");
                return Err(Failure::new(BAD_INPUT, message));
            }
        }
        if let Some(signal) = signals::received() {
            let message = format!("stopped while {name} was being fetched");
            return Err(Failure::interrupted(signal, message)
                .with_hint(Some("the same command resumes the download")));
        }
    }
}
