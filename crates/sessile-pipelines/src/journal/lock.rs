//! One writer at a time, on file systems without locks too.
//!
//! The lock is a file `OUTPUT.lock` that names its holder. It comes into being whole, by a hard link
//! from a file of the holder's own: the one way that is atomic on NFS and Lustre alike. The holder
//! writes it again every few seconds. Who finds a lock takes it over when the holder is known to be
//! gone (a process of this machine that does not run any more), or when it was not renewed for the
//! length of a lease and is not while one watches. Times are compared as the file server gives them,
//! so clocks may differ.

mod holder;
mod leftovers;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use holder::Holder;

use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;

pub(crate) use holder::temporary_suffix;

/// Removes what a process that does not run any more left beside a file that no lock protects.
pub(crate) fn remove_abandoned(path: &Path) {
    leftovers::remove(path, None);
}

/// How often a holder writes its lock again.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(10);

/// A lock on another machine that was not renewed for so long may be left behind.
const LEASE: Duration = Duration::from_secs(60);

/// … and is, when it is not renewed while one watches for so long either.
const WATCH: Duration = Duration::from_secs(15);

/// How often it is looked at meanwhile.
const POLL: Duration = Duration::from_millis(100);

/// Times a lock may vanish or change hands before it counts as taken.
const ATTEMPTS: usize = 8;

/// The right to write one output, or several. Given back when dropped.
#[derive(Debug)]
pub struct Lock {
    output: PathBuf,
    path: PathBuf,
    holder: Holder,
    /// Of the other files that are written with the output.
    others: Vec<Lock>,
}

impl Lock {
    /// Takes the lock beside `output`, over from a holder that is gone if need be. Waits at most
    /// for a quarter of a minute, and only when the holder was on another machine and its lease
    /// has run out.
    ///
    /// # Errors
    ///
    /// `Output` when another run holds it or it can not be written, `Interrupted` when told to
    /// stop while waiting.
    pub fn acquire(output: &Path, interrupt: &Interrupt) -> Result<Self, PipelineError> {
        Lock::acquire_within(output, interrupt, LEASE, WATCH)
    }

    /// The same for `output` and the other files that are written with it: two runs that share
    /// any of them take turns.
    ///
    /// # Errors
    ///
    /// As [`Lock::acquire`]; then none of them is held.
    pub fn acquire_all<'p>(
        output: &Path,
        others: impl IntoIterator<Item = &'p Path>,
        interrupt: &Interrupt,
    ) -> Result<Self, PipelineError> {
        let mut lock = Lock::acquire(output, interrupt)?;
        for other in others {
            lock.others.push(Lock::acquire(other, interrupt)?);
        }
        Ok(lock)
    }

    fn acquire_within(
        output: &Path,
        interrupt: &Interrupt,
        lease: Duration,
        watch: Duration,
    ) -> Result<Self, PipelineError> {
        // Beside the file itself, whatever links lead there: two names of it have one lock.
        let target = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
        let path = beside(&target, super::LOCK);
        let failed = |error| PipelineError::output(&path.display().to_string(), error);
        let holder = Holder::this_process();
        let own = OwnFile::create(&path, &holder).map_err(failed)?;
        for _ in 0..ATTEMPTS {
            if own.publish(&path, &holder).map_err(failed)? {
                leftovers::remove(&target, Some(&holder));
                return Ok(Lock {
                    output: output.to_owned(),
                    path,
                    holder,
                    others: Vec::new(),
                });
            }
            let Some(found) = Found::read(&path).map_err(failed)? else {
                continue;
            };
            if !found.is_left_behind(&path, &own, lease, watch, interrupt)? {
                return Err(taken(output, &found.holder));
            }
            if !own.take_over(&path, &found).map_err(failed)? {
                return Err(taken(output, &found.holder));
            }
            tracing::info!(lock = %path.display(), "took over the lock of a run that is gone");
        }
        Err(PipelineError::new(
            PipelineErrorKind::Output,
            format!("several runs want to write {}", output.display()),
        ))
    }

    /// The output that it protects.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Whether it is still ours: somebody may take a lock over whose holder slept too long.
    ///
    /// # Errors
    ///
    /// `Output` when it is not.
    pub fn check(&self) -> Result<(), PipelineError> {
        if self.renewal().is_ours() {
            Ok(())
        } else {
            Err(self.lost())
        }
    }

    pub(super) fn lost(&self) -> PipelineError {
        PipelineError::new(
            PipelineErrorKind::Output,
            format!(
                "another run took over {}: this one did not answer for a minute, or its lock {} \
                 was removed",
                self.output.display(),
                self.path.display()
            ),
        )
        .with_hint("when no other run is left, the same command goes on")
    }

    pub(super) fn renewal(&self) -> Renewal {
        Renewal {
            path: self.path.clone(),
            holder: self.holder.clone(),
            others: self.others.iter().map(Lock::renewal).collect(),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.renewal().is_this_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What is needed to renew a lock.
pub(super) struct Renewal {
    path: PathBuf,
    holder: Holder,
    others: Vec<Renewal>,
}

impl Renewal {
    /// Writes the lock again; false when it belongs to somebody else by now.
    pub(super) fn renew(&self, renewals: u64) -> bool {
        self.others.iter().all(|other| other.renew(renewals)) && self.renew_this(renewals)
    }

    fn renew_this(&self, renewals: u64) -> bool {
        if !self.is_this_ours() {
            return false;
        }
        let Ok(mut file) = OpenOptions::new().write(true).open(&self.path) else {
            return self.is_this_ours();
        };
        // Of the same length each time, in one write: whoever reads it sees a whole holder.
        let _ = file.write_all(self.holder.text(renewals).as_bytes());
        true
    }

    fn is_ours(&self) -> bool {
        self.is_this_ours() && self.others.iter().all(Renewal::is_ours)
    }

    /// A lock that can not be read for the moment is not lost.
    fn is_this_ours(&self) -> bool {
        match fs::read_to_string(&self.path) {
            Ok(text) => {
                Holder::parse(&text).is_none_or(|(holder, _)| holder.token == self.holder.token)
            }
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

/// A lock that was found.
struct Found {
    text: String,
    /// `None` when the file makes no sense, for example because its disk was full.
    holder: Option<Holder>,
}

impl Found {
    /// `None` when there is no lock any more.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let holder = Holder::parse(&text).map(|(holder, _)| holder);
                Ok(Some(Found { text, holder }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_left_behind(
        &self,
        path: &Path,
        own: &OwnFile,
        lease: Duration,
        watch: Duration,
        interrupt: &Interrupt,
    ) -> Result<bool, PipelineError> {
        if let Some(is_running) = self.holder.as_ref().and_then(Holder::is_running) {
            return Ok(!is_running);
        }
        if own.age_of(path).is_none_or(|age| age < lease) {
            return Ok(false);
        }
        let begun = Instant::now();
        while begun.elapsed() < watch {
            if interrupt.signal().is_some() {
                return Err(PipelineError::new(
                    PipelineErrorKind::Interrupted,
                    "stopped while waiting for the lock of an earlier run",
                ));
            }
            std::thread::sleep(POLL);
            match Found::read(path) {
                Ok(Some(found)) if found.text != self.text => return Ok(false),
                // Given back: the next attempt takes it.
                Ok(None) => return Ok(true),
                _ => {}
            }
        }
        Ok(true)
    }
}

/// The file that becomes the lock by getting its name.
struct OwnFile {
    path: PathBuf,
}

impl OwnFile {
    fn create(lock: &Path, holder: &Holder) -> io::Result<Self> {
        let path = beside(lock, &format!(".{}", holder.token));
        let mut file = File::create_new(&path)?;
        let own = OwnFile { path };
        file.write_all(holder.text(0).as_bytes())?;
        Ok(own)
    }

    /// Gives the file the lock's name; false when there is a lock.
    fn publish(&self, lock: &Path, holder: &Holder) -> io::Result<bool> {
        match fs::hard_link(&self.path, lock) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(_) => {}
        }
        // No hard links here: the second best way.
        match File::create_new(lock) {
            Ok(mut file) => {
                file.write_all(holder.text(0).as_bytes())?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How long ago the lock was renewed, by the clock that dates files.
    fn age_of(&self, lock: &Path) -> Option<Duration> {
        // Written again, so that its date is of now.
        fs::OpenOptions::new()
            .append(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(b"\n"))
            .ok()?;
        let now = fs::metadata(&self.path).ok()?.modified().ok()?;
        let renewed = fs::metadata(lock).ok()?.modified().ok()?;
        Some(now.duration_since(renewed).unwrap_or(Duration::ZERO))
    }

    /// Moves a lock that was left behind out of the way; false when it turns out to be another.
    fn take_over(&self, lock: &Path, found: &Found) -> io::Result<bool> {
        let aside = beside(&self.path, ".old");
        match fs::rename(lock, &aside) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        }
        let moved = fs::read(&aside).unwrap_or_default();
        if moved != found.text.as_bytes() {
            // Somebody was faster and this is the new holder's: back with it.
            let _ = fs::hard_link(&aside, lock);
            let _ = fs::remove_file(&aside);
            return Ok(false);
        }
        fs::remove_file(&aside)?;
        Ok(true)
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn taken(output: &Path, holder: &Option<Holder>) -> PipelineError {
    let who = holder.as_ref().map_or_else(
        || "another run".to_owned(),
        |holder| format!("process {} on {}", holder.process, holder.host),
    );
    PipelineError::new(
        PipelineErrorKind::Output,
        format!("{who} is writing {}", output.display()),
    )
    .with_hint(format!(
        "wait for it or choose another --output; a lock that was left behind on another machine is \
         taken over {} seconds after its last renewal",
        LEASE.as_secs()
    ))
}

/// `NAME` with `suffix` behind it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    // `out/` is `out`: the name gets the suffix, not what is in the folder.
    let path = path.components().as_path();
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
