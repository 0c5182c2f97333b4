//! The thread that renews the lock and syncs the journal, so that the job waits for neither.

use std::fs::File;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::lock::{Lock, RENEW_EVERY, Renewal};
use crate::error::{PipelineError, PipelineErrorKind};

/// What the thread found wrong.
#[derive(Default)]
struct Trouble {
    lost: bool,
    sync: Option<io::Error>,
}

pub(super) struct Keeper {
    trouble: Arc<Mutex<Trouble>>,
    /// Dropped to end the thread.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(journal: File, lock: &Lock) -> io::Result<Self> {
        let trouble = Arc::new(Mutex::new(Trouble::default()));
        let (stop, stopped) = sync_channel::<()>(0);
        let renewal: Renewal = lock.renewal();
        let told = Arc::clone(&trouble);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                let mut renewals = 0;
                while stopped.recv_timeout(RENEW_EVERY) == Err(RecvTimeoutError::Timeout) {
                    renewals += 1;
                    let lost = !renewal.renew(renewals);
                    let sync = journal.sync_data().err();
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    told.lost |= lost;
                    told.sync = told.sync.take().or(sync);
                }
            })?;
        Ok(Keeper {
            trouble,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Whether all is well.
    pub(super) fn check(&self, lock: &Lock) -> Result<(), PipelineError> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.lost {
            return Err(lock.lost());
        }
        match trouble.sync.take() {
            None => Ok(()),
            Some(error) => Err(PipelineError::new(
                PipelineErrorKind::Output,
                format!(
                    "can not sync the journal of {}: {error}",
                    lock.output().display()
                ),
            )
            .with_hint("run the same command again to go on")),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
