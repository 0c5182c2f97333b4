//! One file, from the hub into the cache.
//!
//! Bytes go to `blobs/ETAG.incomplete`, which a later try or another process goes on with; only a
//! file whose size and checksum are right is renamed to its blob, so whatever is in the cache under
//! a blob's name is whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ureq::http::StatusCode;

use super::cache::{Cache, unwritable};
use super::client::{Answer, Client, HubError};
use super::name::Repository;
use super::options::HubOptions;
use super::progress::Progress;
use super::verify::{Checksum, Remote};
use crate::error::{ModelError, ModelErrorKind};

const BUFFER_BYTES: usize = 1 << 20;

/// How often to look whether another process has finished.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Fetches the files of one snapshot.
pub(crate) struct Downloader<'a> {
    pub(crate) client: &'a Client<'a>,
    pub(crate) options: &'a HubOptions,
    pub(crate) repository: &'a Repository,
    pub(crate) cache: &'a Cache,
    pub(crate) commit: &'a str,
}

impl Downloader<'_> {
    /// Makes sure that the snapshot has this file.
    pub(crate) fn fetch(
        &self,
        file: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HubError> {
        if self.cache.snapshot(self.commit).join(file).exists() {
            return Ok(());
        }
        let url = format!("{}/resolve/{}/{file}", self.repository.id(), self.commit);
        let answer = self.client.head(&url, progress)?;
        let Some(remote) = Remote::from_headers(|name| answer.header(name)) else {
            return Err(ModelError::new(
                ModelErrorKind::Network,
                format!(
                    "{} does not say which version of {file} it has",
                    self.options.endpoint
                ),
            )
            .with_hint("check HF_ENDPOINT, and whether a proxy stands in between")
            .into());
        };
        let blob = self.cache.blob(&remote.etag);
        let lock_path = self.cache.lock(&remote.etag);
        for folder in [blob.parent(), lock_path.parent()].into_iter().flatten() {
            fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
        }
        let lock = lock(&lock_path, || progress(Progress::Waiting { file }))?;
        // Whoever held the lock may have fetched it, and other snapshots may share it.
        let there = fs::metadata(&blob).is_ok_and(|m| remote.size.is_none_or(|s| s == m.len()));
        if !there {
            // Without a lock a file of our own keeps other processes' bytes out.
            let suffix = match &lock {
                Some(_) => "incomplete".to_owned(),
                None => format!("{}.incomplete", std::process::id()),
            };
            let part = Part {
                file,
                url: &url,
                remote: &remote,
                path: suffixed(&blob, &suffix),
            };
            self.fill(&part, progress)?;
            fs::rename(&part.path, &blob).map_err(|error| unwritable(&blob, error))?;
            progress(Progress::Verified { file });
        }
        self.cache
            .link(self.commit, file, &remote.etag)
            .map_err(|error| unwritable(&self.cache.snapshot(self.commit), error))?;
        Ok(())
    }

    /// Brings the part to its full size and compares its checksum. A part that another try began
    /// may be damaged, so it gets a second chance from its first byte on.
    fn fill(
        &self,
        part: &Part<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HubError> {
        let here = |error| unwritable(&part.path, error);
        let mut begun = fs::metadata(&part.path).is_ok_and(|metadata| metadata.len() > 0);
        loop {
            let mut target = Target::open(part).map_err(here)?;
            self.advance(part, &mut target, progress)?;
            target.file.sync_all().map_err(here)?;
            if target.checksum.agrees(part.remote) {
                return Ok(());
            }
            fs::remove_file(&part.path).map_err(here)?;
            if !std::mem::replace(&mut begun, false) {
                return Err(ModelError::new(
                    ModelErrorKind::Malformed,
                    format!(
                        "{}: the checksum of {} is wrong",
                        self.options.endpoint, part.file
                    ),
                )
                .with_hint("what arrived was thrown away; try again, or another HF_ENDPOINT")
                .into());
            }
        }
    }

    /// Asks for the rest again and again as long as it comes nearer to its end.
    fn advance(
        &self,
        part: &Part<'_>,
        target: &mut Target,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HubError> {
        let total = part.remote.size;
        let mut attempt = 0;
        // The farthest so far: bytes that came before and were thrown away are no advance.
        let mut farthest = target.done;
        progress(Progress::Advanced {
            file: part.file,
            done: target.done,
            total,
        });
        while total != Some(target.done) {
            let answer = self.client.get(part.url, target.done, progress)?;
            let reason = match self.receive(part, target, answer, progress)? {
                Received::End if total.is_none() => return Ok(()),
                Received::End => "the download was cut".to_owned(),
                Received::Cut(reason) => reason,
            };
            if total == Some(target.done) {
                break;
            }
            if target.done > farthest {
                farthest = target.done;
                attempt = 0;
            } else if attempt >= self.options.retries {
                return Err(self.stuck(part, target.done, &reason));
            }
            self.client.wait(attempt, &reason, None, progress);
            attempt += 1;
        }
        Ok(())
    }

    /// Takes in the bytes of one answer.
    fn receive(
        &self,
        part: &Part<'_>,
        target: &mut Target,
        answer: Answer,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Received, HubError> {
        let here = |error| unwritable(&part.path, error);
        let goes_on = answer.status() == StatusCode::PARTIAL_CONTENT
            && range_start(answer.header("content-range")) == Some(target.done);
        if !goes_on && target.done > 0 {
            target.restart(part.remote).map_err(here)?;
        }
        let whole = answer.status() == StatusCode::OK;
        if !goes_on && !whole {
            return Ok(Received::Cut(
                "the hub sent another part than was asked for".to_owned(),
            ));
        }
        let total = part.remote.size;
        let mut body = answer.response.into_body().into_reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => return Ok(Received::End),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Received::Cut(error.to_string())),
            };
            if total.is_some_and(|total| target.done + read as u64 > total) {
                fs::remove_file(&part.path).map_err(here)?;
                return Err(ModelError::new(
                    ModelErrorKind::Malformed,
                    format!(
                        "{}: {} is longer than the hub says",
                        self.options.endpoint, part.file
                    ),
                )
                .with_hint("what arrived was thrown away; try again, or another HF_ENDPOINT")
                .into());
            }
            target.take(&buffer[..read]).map_err(here)?;
            progress(Progress::Advanced {
                file: part.file,
                done: target.done,
                total,
            });
        }
    }

    fn stuck(&self, part: &Part<'_>, done: u64, reason: &str) -> HubError {
        let of = part
            .remote
            .size
            .map_or(String::new(), |size| format!(" of {size}"));
        let error = ModelError::new(
            ModelErrorKind::Network,
            format!(
                "{}: {} stopped after {done}{of} bytes: {reason}",
                self.options.endpoint, part.file
            ),
        )
        .with_hint("run the same command again: it goes on from there");
        HubError {
            error,
            unreachable: true,
        }
    }
}

/// A file that is being fetched.
struct Part<'a> {
    file: &'a str,
    url: &'a str,
    remote: &'a Remote,
    path: PathBuf,
}

enum Received {
    /// The answer ended as it should.
    End,
    /// It broke off.
    Cut(String),
}

/// The bytes that are here already, and their checksum so far.
struct Target {
    file: File,
    done: u64,
    checksum: Checksum,
}

impl Target {
    fn open(part: &Part<'_>) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&part.path)?;
        let mut checksum = Checksum::of(part.remote);
        let mut done = 0;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            checksum.update(&buffer[..read]);
            done += read as u64;
        }
        let mut target = Target {
            file,
            done,
            checksum,
        };
        // Without a size nobody could tell when a part that was begun is whole.
        if part.remote.size.is_none_or(|size| done > size) {
            target.restart(part.remote)?;
        }
        Ok(target)
    }

    fn restart(&mut self, remote: &Remote) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.done = 0;
        self.checksum = Checksum::of(remote);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.checksum.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }
}

/// Holds the lock of a file, waiting for another process if need be. `None` where the file system
/// has no locks.
fn lock(path: &Path, mut waiting: impl FnMut()) -> Result<Option<File>, ModelError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| unwritable(path, error))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut told, true) {
                    waiting();
                }
                thread::sleep(LOCK_POLL);
            }
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

/// The first byte of `bytes FIRST-LAST/TOTAL`.
fn range_start(header: Option<&str>) -> Option<u64> {
    header?
        .trim()
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}
