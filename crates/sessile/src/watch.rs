//! A call, seen from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sessile_pipelines::{Interrupt, Observer, Progress};

/// Stops a call from another thread and says how far it is. Clones watch the same call.
///
/// # Examples
///
/// ```
/// use sessile::{Embed, ErrorKind, Sessile, Watch};
///
/// let model = Sessile::open("demo")?;
/// let watch = Watch::default();
/// model.embed_with(&["MKV", "GASP"], &Embed::default(), &watch)?;
/// assert_eq!(watch.done(), 2);
///
/// watch.stop();
/// let stopped = model.embed_with(&["MKV"], &Embed::default(), &watch).unwrap_err();
/// assert_eq!(stopped.kind(), ErrorKind::Interrupted);
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Watch {
    interrupt: Interrupt,
    done: Arc<AtomicU64>,
}

impl Watch {
    /// Ends the call soon: it gives an error of the kind
    /// [`Interrupted`](crate::ErrorKind::Interrupted).
    pub fn stop(&self) {
        self.interrupt.set(SIGINT);
    }

    /// Whether the call is to end.
    pub fn is_stopped(&self) -> bool {
        self.interrupt.signal().is_some()
    }

    /// Records finished so far: sequences, texts or, for a single sequence, its positions.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(crate) fn advance(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        self.interrupt.flag()
    }

    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// As a job tells of its progress.
    pub(crate) fn observer(&self) -> impl Observer {
        struct Counting(Arc<AtomicU64>);
        impl Observer for Counting {
            fn progress(&mut self, progress: &Progress) {
                self.0.store(progress.records, Ordering::Relaxed);
            }
        }
        Counting(Arc::clone(&self.done))
    }
}

/// What jobs name as the reason when a program stops them: as Ctrl-C does.
const SIGINT: i32 = 2;
