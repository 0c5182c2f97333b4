//! Lines on their way to standard error. A thread of its own writes them, so that a full disk, a
//! reader that has died or a pipe that nobody empties holds nobody up: a line that cannot be written,
//! or for which there is no room, is dropped and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may wait to be written.
const MOST_BYTES: usize = 1 << 20;

/// What waits, and the thread that writes it.
struct Queue {
    state: Mutex<State>,
    /// Signalled when a line arrives.
    work: Condvar,
    /// Signalled when a line was written or given up.
    done: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of these lines.
    bytes: usize,
    is_writing: bool,
    /// Whether there is a thread that writes.
    has_writer: bool,
    dropped: u64,
}

impl Queue {
    /// Starts to write to `sink`.
    fn new(sink: impl Write + Send + 'static) -> Arc<Self> {
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let writer = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.write_to(sink));
        // Without a thread every line is dropped.
        queue.lock().has_writer = thread.is_ok();
        queue
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single push, pop or number.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if !state.has_writer || state.bytes.saturating_add(line.len()) > MOST_BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        drop(state);
        self.work.notify_one();
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut is_cut = false;
        let mut state = self.lock();
        loop {
            let Some(line) = state.lines.pop_front() else {
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.bytes -= line.len();
            state.is_writing = true;
            drop(state);
            let is_written = write_line(&mut sink, &line, &mut is_cut);
            state = self.lock();
            state.is_writing = false;
            state.dropped += u64::from(!is_written);
            self.done.notify_all();
        }
    }

    /// Waits until all is written, for so long at most.
    fn flush(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut state = self.lock();
        while !state.lines.is_empty() || state.is_writing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self
                .done
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// Writes a line, or a part of it: then `is_cut` says so, and the next line starts anew.
fn write_line(sink: &mut impl Write, line: &[u8], is_cut: &mut bool) -> bool {
    if *is_cut && sink.write_all(b"\n").is_err() {
        return false;
    }
    *is_cut = false;
    let mut rest = line;
    while !rest.is_empty() {
        match sink.write(rest) {
            Ok(written) if written > 0 => rest = &rest[written.min(rest.len())..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => {
                *is_cut = rest.len() < line.len();
                return false;
            }
        }
    }
    true
}

fn standard_error() -> &'static Queue {
    static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();
    QUEUE.get_or_init(|| Queue::new(io::stderr()))
}

/// A line that is collected, and handed to the thread that writes when this is dropped. Writing to
/// it never fails and never waits.
#[derive(Debug, Default)]
pub struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            standard_error().push(std::mem::take(&mut self.0));
        }
    }
}

/// Says a line on standard error without waiting for it to be written.
pub fn say(line: &str) {
    standard_error().push(format!("{line}\n").into_bytes());
}

/// Lines that could not be written so far.
pub fn dropped() -> u64 {
    standard_error().lock().dropped
}

/// Waits until all lines are written, at most this long: the last thing a program does.
pub fn flush(at_most: Duration) {
    standard_error().flush(at_most);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then none until it is emptied.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let room = bytes.len().min(disk.1 - disk.0.len());
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.0.extend_from_slice(&bytes[..room]);
            Ok(room)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_for_which_the_disk_has_no_room_are_counted_and_later_ones_are_whole() {
        const PATIENCE: Duration = Duration::from_secs(60);
        let disk = Disk::default();
        disk.0.lock().unwrap().1 = 10;
        let queue = Queue::new(disk.clone());
        for line in ["first\n", "second\n", "third\n"] {
            queue.push(line.into());
        }
        queue.flush(PATIENCE);
        assert_eq!(queue.lock().dropped, 2);
        disk.0.lock().unwrap().1 = 100;
        queue.push(b"fourth\n".to_vec());
        queue.flush(PATIENCE);
        assert_eq!(disk.0.lock().unwrap().0, b"first\nseco\nfourth\n");
    }

    #[test]
    fn a_reader_that_takes_nothing_holds_nobody_up() {
        struct Stalled;
        impl Write for Stalled {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                loop {
                    std::thread::park();
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let queue = Queue::new(Stalled);
        for _ in 0..3 * MOST_BYTES / 1000 {
            queue.push(vec![b'x'; 1000]);
        }
        let begun = Instant::now();
        queue.flush(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(30));
        let state = queue.lock();
        assert!(state.dropped > 1000 && state.bytes <= MOST_BYTES);
    }
}
