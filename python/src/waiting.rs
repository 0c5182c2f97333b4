//! Long work while Python goes on: other threads run, Ctrl-C is heard, progress is told.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use sessile::Watch;

/// How often signals are looked for and progress is told: people notice from about 0.1 s on.
const POLL: Duration = Duration::from_millis(50);

/// Stops a call from another thread.
#[pyclass(frozen, module = "sessile._native")]
#[derive(Default)]
pub(crate) struct Stop(pub(crate) Watch);

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Self {
        Stop::default()
    }

    fn set(&self) {
        self.0.stop();
    }

    fn is_set(&self) -> bool {
        self.0.is_stopped()
    }
}

/// The watch of a call: that of its `Stop`, or one of its own.
pub(crate) fn watch(stop: Option<&Bound<'_, Stop>>) -> Watch {
    stop.map_or_else(Watch::default, |stop| stop.get().0.clone())
}

/// Does `work` without the interpreter's lock on a thread of its own, because only the main thread
/// hears of Ctrl-C, and whoever waits for an answer hears of nothing. A signal, or an exception of
/// `progress`, stops the work and is raised when it has ended.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    watch: &Watch,
    progress: Option<&Py<PyAny>>,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    let tell = |py: Python<'_>| match progress {
        Some(progress) => progress.call1(py, (watch.done(),)).map(drop),
        None => Ok(()),
    };
    py.detach(|| {
        std::thread::scope(|scope| {
            let (sender, done) = sync_channel(1);
            let worker = move || {
                // Whoever waits is there until this is sent.
                let _ = sender.send(work());
            };
            named().spawn_scoped(scope, worker)?;
            match listen(&done, tell) {
                Heard::Done(result) => Python::attach(tell).map(|()| result),
                Heard::Raised(error) => {
                    watch.stop();
                    Err(error)
                }
                Heard::Fault => Err(fault()),
            }
        })
    })
}

/// The same for work that cannot be stopped, such as a fetch from a slow hub: it is left alone when
/// a signal comes, and its result is dropped.
pub(crate) fn wait_apart<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    py.detach(|| {
        let (sender, done) = sync_channel(1);
        let worker = move || {
            // Nobody listens any more after a signal.
            let _ = sender.send(work());
        };
        named().spawn(worker)?;
        match listen(&done, |_| Ok(())) {
            Heard::Done(result) => Ok(result),
            Heard::Raised(error) => Err(error),
            Heard::Fault => Err(fault()),
        }
    })
}

fn named() -> std::thread::Builder {
    std::thread::Builder::new().name("sessile call".to_owned())
}

fn fault() -> PyErr {
    PyRuntimeError::new_err("a fault in sessile ended the call")
}

/// What came first.
enum Heard<T> {
    Done(T),
    /// A signal, or an exception of the progress.
    Raised(PyErr),
    /// The worker ended without a result.
    Fault,
}

fn listen<T>(done: &Receiver<T>, tell: impl Fn(Python<'_>) -> PyResult<()>) -> Heard<T> {
    loop {
        match done.recv_timeout(POLL) {
            Ok(result) => return Heard::Done(result),
            Err(RecvTimeoutError::Disconnected) => return Heard::Fault,
            Err(RecvTimeoutError::Timeout) => {
                let heard = Python::attach(|py| py.check_signals().and_then(|()| tell(py)));
                if let Err(error) = heard {
                    return Heard::Raised(error);
                }
            }
        }
    }
}
