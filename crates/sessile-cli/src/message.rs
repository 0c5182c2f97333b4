//! Lines on standard error, which must never end or hold up a job.
//!
//! Standard error may lie on a full disk, lead to a program that has ended, or to one that does not
//! read: then a line is dropped, and the job goes on. How many were dropped is said as soon as
//! something can be written again.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a line waits for a reader that has fallen behind. Lines after it wait no more until
/// one is read.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes that a pipe takes at once when it takes any (pipe(7): `PIPE_BUF`).
const AT_ONCE: usize = 4096;

#[derive(Default)]
struct State {
    /// The last line could not be written because nobody read.
    is_stalled: bool,
    dropped: u64,
}

static STATE: Mutex<State> = Mutex::new(State {
    is_stalled: false,
    dropped: 0,
});

/// Says a line, as [`format!`] words it.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::message::say(&format!($($words)*))
    };
}

/// Says a line, if it can be said.
pub(crate) fn say(line: &str) {
    let mut bytes = Vec::with_capacity(line.len() + 1);
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    write(&bytes);
}

fn write(bytes: &[u8]) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let patience = match state.is_stalled {
        true => Duration::ZERO,
        false => PATIENCE,
    };
    if state.dropped > 0 {
        let missing = format!("note: {} lines could not be written here\n", state.dropped);
        if put(missing.as_bytes(), patience).is_ok() {
            state.dropped = 0;
        }
    }
    match put(bytes, patience) {
        Ok(()) => state.is_stalled = false,
        Err(error) => {
            state.dropped += 1;
            state.is_stalled = error.kind() == io::ErrorKind::WouldBlock;
        }
    }
}

/// Writes without waiting longer than `patience` for room.
fn put(bytes: &[u8], patience: Duration) -> io::Result<()> {
    let mut out = io::stderr().lock();
    for part in bytes.chunks(AT_ONCE) {
        if !has_room(patience) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        out.write_all(part)?;
    }
    Ok(())
}

/// Whether standard error takes bytes, or refuses them at once.
#[cfg(unix)]
fn has_room(patience: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let Ok(patience) = Timespec::try_from(patience) else {
        return true;
    };
    let stderr = io::stderr();
    let mut waited = [PollFd::new(&stderr, PollFlags::OUT)];
    match poll(&mut waited, Some(&patience)) {
        Ok(ready) => ready > 0,
        // A signal came meanwhile: what is to be said may be said next time.
        Err(error) => error != rustix::io::Errno::INTR,
    }
}

#[cfg(not(unix))]
fn has_room(_: Duration) -> bool {
    true
}

/// Standard error for a log, with the same care.
pub(crate) struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
