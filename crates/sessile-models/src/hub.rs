//! Finding a model: a path, a name on a hub, or a short name.
//!
//! What comes from a hub lies in the cache that the Python libraries use too, under the commit it
//! belongs to. Only the files that are needed are fetched; cut downloads go on where they stopped;
//! sizes and checksums are compared before a file counts as there. (The protocol and the layout are
//! those of huggingface_hub; the crate for it neither goes on after a cut nor knows being offline.)

mod cache;
mod client;
mod download;
mod name;
mod options;
mod progress;
mod select;
mod verify;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use self::cache::{Cache, MOST_INDEX_BYTES};
use self::client::{Client, HubError};
use self::download::Downloader;
use self::name::{Repository, is_commit};
pub use self::options::HubOptions;
pub use self::progress::Progress;
use self::select::select;
use crate::checkpoint::parse_index;
use crate::error::{ModelError, ModelErrorKind};
use crate::family::published;
use crate::small_file;

/// The path of a model: of a file or folder that is there, or of its snapshot in the cache, where
/// whatever is missing is fetched to first.
///
/// `spec` is a path, `org/name` or `org/name@revision` on the hub, or the short name of a
/// [published] model.
///
/// # Errors
///
/// - `NotFound`: there is nothing of that name, or offline nothing in the cache.
/// - `Network`: the hub can not be reached, refuses, or stays busy.
/// - `Malformed`: what arrived has the wrong size or checksum.
/// - `Unsupported`: the repository has no weights of a known format.
/// - `Unreadable`: the cache can not be written.
///
/// # Examples
///
/// ```no_run
/// use sessile_models::checkpoint::Checkpoint;
/// use sessile_models::hub::{self, HubOptions, Progress};
///
/// let path = hub::resolve("esm2_t6_8M", &HubOptions::from_env(), &mut |progress| {
///     if let Progress::Advanced { file, done, total: Some(total) } = progress {
///         eprint!("\r{file}: {done} of {total} bytes");
///     }
/// })?;
/// let checkpoint = Checkpoint::open(&path)?;
/// # Ok::<(), sessile_models::ModelError>(())
/// ```
pub fn resolve(
    spec: &str,
    options: &HubOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, ModelError> {
    let path = Path::new(spec);
    if path.exists() {
        return Ok(path.to_owned());
    }
    let Some(repository) = Repository::parse(spec)? else {
        return Err(not_a_model(spec));
    };
    let cache = Cache::new(&options.cache, &repository);
    let cached = cache.complete_snapshot(&repository.revision);
    if options.offline {
        return cached.ok_or_else(|| not_in_cache(&repository, options));
    }
    match cached {
        // A commit never changes.
        Some(snapshot) if is_commit(&repository.revision) => Ok(snapshot),
        cached => fetch(&repository, &cache, options, progress).or_else(|failure| match cached {
            Some(snapshot) if failure.unreachable => {
                progress(Progress::UsingCache {
                    reason: &failure.error.to_string(),
                });
                Ok(snapshot)
            }
            _ => Err(failure.error),
        }),
    }
}

/// What the hub says of a repository at a revision.
#[derive(Deserialize)]
struct ModelInfo {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

fn fetch(
    repository: &Repository,
    cache: &Cache,
    options: &HubOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, HubError> {
    let client = Client::new(options, repository)?;
    let url = format!(
        "api/models/{}/revision/{}",
        repository.id(),
        repository.revision_in_url()
    );
    let info: Option<ModelInfo> = serde_json::from_value(client.json(&url, progress)?).ok();
    let Some(info) = info.filter(|info| is_commit(&info.sha)) else {
        return Err(ModelError::new(
            ModelErrorKind::Network,
            format!("{} did not answer as a hub does", options.endpoint),
        )
        .with_hint("check HF_ENDPOINT, and whether a proxy stands in between")
        .into());
    };
    let files: Vec<String> = info
        .siblings
        .into_iter()
        .map(|file| file.rfilename)
        .collect();
    let selection = select(&repository.id(), &files)?;
    let commit = info.sha.as_str();
    let downloader = Downloader {
        client: &client,
        options,
        repository,
        cache,
        commit,
    };
    for file in selection.small.iter().chain([&selection.weights]) {
        downloader.fetch(file, progress)?;
    }
    let snapshot = cache.snapshot(commit);
    if selection.is_sharded() {
        let index = snapshot.join(&selection.weights);
        for shard in shards(&index)? {
            if !files.contains(&shard) {
                return Err(ModelError::new(
                    ModelErrorKind::Malformed,
                    format!(
                        "{}: {} names the missing `{shard}`",
                        repository.id(),
                        selection.weights
                    ),
                )
                .into());
            }
            downloader.fetch(&shard, progress)?;
        }
    }
    // Only now: what a revision points to in the cache is complete.
    cache
        .set_commit(&repository.revision, commit)
        .map_err(|error| cache::unwritable(&options.cache, error))?;
    Ok(snapshot)
}

fn shards(index: &Path) -> Result<Vec<String>, ModelError> {
    let place = |error: String| {
        ModelError::new(
            ModelErrorKind::Malformed,
            format!("{}: {error}", index.display()),
        )
    };
    let json = small_file::read(index, MOST_INDEX_BYTES)?;
    let index = parse_index(&json).map_err(|error| place(error.to_string()))?;
    Ok(index.shards().into_iter().map(str::to_owned).collect())
}

fn not_a_model(spec: &str) -> ModelError {
    let error = ModelError::new(
        ModelErrorKind::NotFound,
        format!("`{spec}`: no such file or folder, nor the name of a model"),
    );
    if spec.contains(['/', '\\']) {
        error.with_hint("a name on the hub looks like org/name or org/name@revision")
    } else {
        let short: Vec<_> = published().filter_map(|model| model.short).collect();
        error.with_hint(format!("short names are {}", short.join(", ")))
    }
}

fn not_in_cache(repository: &Repository, options: &HubOptions) -> ModelError {
    ModelError::new(
        ModelErrorKind::NotFound,
        format!(
            "{}@{} is not complete in the cache at {}, and the hub is not asked when offline",
            repository.id(),
            repository.revision,
            options.cache.display()
        ),
    )
    .with_hint("fetch it once with HF_HUB_OFFLINE unset")
}
