//! The cache on disk, laid out as huggingface_hub does so that both use the same files.
//!
//! `models--ORG--NAME/refs/REVISION` holds a commit, `snapshots/COMMIT/FILE` links to
//! `blobs/ETAG`, and `.locks/models--ORG--NAME/ETAG.lock` keeps two processes from fetching the
//! same file. (huggingface_hub, "Understand caching".)

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::name::{Repository, is_commit};
use crate::checkpoint::{Weights, locate, parse_index};
use crate::error::{ModelError, ModelErrorKind};
use crate::small_file;

/// Largest index of shards that is read, in bytes.
pub(super) const MOST_INDEX_BYTES: u64 = 64 << 20;

/// The part of the cache that belongs to one repository.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    locks: PathBuf,
}

impl Cache {
    pub(crate) fn new(cache: &Path, repository: &Repository) -> Self {
        let folder = format!("models--{}--{}", repository.owner, repository.name);
        Cache {
            root: cache.join(&folder),
            locks: cache.join(".locks").join(folder),
        }
    }

    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    pub(crate) fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The commit that a revision stood for when it was last asked for.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let commit = fs::read_to_string(self.root.join("refs").join(revision)).ok()?;
        let commit = commit.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    /// Remembers which commit a revision stands for.
    pub(crate) fn set_commit(&self, revision: &str, commit: &str) -> io::Result<()> {
        if is_commit(revision) || self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.root.join("refs").join(revision);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let temporary = path.with_file_name(format!(".{commit}.{}", std::process::id()));
        fs::write(&temporary, commit)?;
        fs::rename(&temporary, &path)
    }

    /// The snapshot of a revision, if the cache has all of its weights.
    pub(crate) fn complete_snapshot(&self, revision: &str) -> Option<PathBuf> {
        let snapshot = self.snapshot(&self.commit_of(revision)?);
        is_complete(&snapshot).then_some(snapshot)
    }

    /// Puts a verified blob into a snapshot under its name.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &str) -> io::Result<()> {
        let snapshot = self.snapshot(commit);
        fs::create_dir_all(&snapshot)?;
        let link = snapshot.join(file);
        // Another process may have been quicker; it linked the same blob.
        match link_to_blob(etag, &self.blob(etag), &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && link.exists() => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // A link to a blob that was deleted.
                fs::remove_file(&link)?;
                link_to_blob(etag, &self.blob(etag), &link)
            }
            other => other,
        }
    }
}

#[cfg(unix)]
fn link_to_blob(etag: &str, _blob: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), link)
}

/// Links need special rights on Windows, where huggingface_hub copies too.
#[cfg(not(unix))]
fn link_to_blob(_etag: &str, blob: &Path, link: &Path) -> io::Result<()> {
    if link.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::copy(blob, link).map(drop)
}

/// Whether a folder has all of its weights. The Python libraries fetch files
/// one by one, so a snapshot of theirs may lack some.
fn is_complete(folder: &Path) -> bool {
    let weights = match locate(folder) {
        Ok((weights, _)) => weights,
        Err(_) => return false,
    };
    match weights {
        Weights::Single(_) => true,
        Weights::Sharded(index) => small_file::read(&index, MOST_INDEX_BYTES)
            .ok()
            .and_then(|json| parse_index(&json).ok())
            .is_some_and(|index| {
                index
                    .shards()
                    .iter()
                    .all(|shard| folder.join(shard).exists())
            }),
    }
}

/// The error for a cache that can not be written.
pub(crate) fn unwritable(path: &Path, error: io::Error) -> ModelError {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room, or set HF_HOME to a folder on another disk"
        }
        _ => "set HF_HOME to a folder that can be written",
    };
    ModelError::new(
        ModelErrorKind::Unreadable,
        format!("{}: {error}", path.display()),
    )
    .with_hint(hint)
    .with_source(error)
}
