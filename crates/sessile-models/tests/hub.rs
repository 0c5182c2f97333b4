//! Models are found and fetched, whatever the hub does meanwhile. The hub is played on 127.0.0.1.

mod answers;
mod cache;
mod downloads;
mod names;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sessile_models::ModelError;
use sessile_models::hub::{self, HubOptions};

use server::{Reply, Request, Server};

const WEIGHTS: &str = "model.safetensors";

fn options(server: &Server, cache: &Path) -> HubOptions {
    let mut options = HubOptions::from_variables(|name| match name {
        "HF_ENDPOINT" => Some(format!("{}/", server.url)),
        "HF_HOME" => cache.to_str().map(str::to_owned),
        _ => None,
    });
    options.backoff = Duration::from_millis(1);
    options.timeout = Duration::from_secs(10);
    options
}

fn resolve(spec: &str, options: &HubOptions) -> Result<PathBuf, ModelError> {
    hub::resolve(spec, options, &mut |_| {})
}

/// A server for this model, a fresh cache and the options for both.
fn hub_with(
    handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Server, tempfile::TempDir, HubOptions) {
    let server = Server::start(handler);
    let cache = tempfile::tempdir().unwrap();
    let options = options(&server, cache.path());
    (server, cache, options)
}
