//! Inputs read on a thread of their own, a bounded number of items ahead of whoever takes them.
//!
//! The thread may wait for a terminal or a pipe; an interrupt must not, so that whoever takes items
//! looks for it meanwhile.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use sessile_seq::inputs::{ByteCount, Input};

use crate::error::PipelineError;
use crate::interrupt::Interrupt;

/// How often an interrupt is looked for while no item comes.
const INTERRUPT_POLL: Duration = Duration::from_millis(100);

/// Items in the order in which they are read. An interrupt is an end.
pub(crate) struct ReadAhead<T> {
    items: Receiver<T>,
    interrupt: Interrupt,
}

impl<T: Send + 'static> ReadAhead<T> {
    /// Begins to read: `read` runs on a thread and hands its items over, at most `ahead` that
    /// nobody has taken.
    ///
    /// # Errors
    ///
    /// `Device` when there is no thread to be had.
    pub(crate) fn start(
        ahead: usize,
        interrupt: &Interrupt,
        read: impl FnOnce(Listener<T>) + Send + 'static,
    ) -> Result<Self, PipelineError> {
        let (sender, items) = sync_channel(ahead);
        let listener = Listener {
            sender,
            interrupt: interrupt.clone(),
        };
        std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || read(listener))
            .map_err(|error| PipelineError::no_thread("read the inputs", error))?;
        Ok(ReadAhead {
            items,
            interrupt: interrupt.clone(),
        })
    }
}

impl<T> Iterator for ReadAhead<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while self.interrupt.signal().is_none() {
            match self.items.recv_timeout(INTERRUPT_POLL) {
                Ok(item) => return Some(item),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        None
    }
}

/// Who takes what is read.
pub(crate) struct Listener<T> {
    sender: SyncSender<T>,
    interrupt: Interrupt,
}

impl<T> Listener<T> {
    /// Whether there is any use in reading on.
    pub(crate) fn is_listening(&self) -> bool {
        self.interrupt.signal().is_none()
    }

    /// Hands an item over as soon as there is room; false when nobody listens any more.
    pub(crate) fn send(&self, item: T) -> bool {
        self.is_listening() && self.sender.send(item).is_ok()
    }
}

/// Bytes of the inputs, as stored: read so far, and all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct BytesRead {
    pub(crate) read: ByteCount,
    total: u64,
}

impl BytesRead {
    /// Nothing is read yet. Beside a stream nothing is known of the whole.
    pub(crate) fn of<'a>(inputs: impl IntoIterator<Item = &'a Input>) -> Self {
        let sizes = inputs.into_iter().map(|input| match stored_bytes(input) {
            0 if is_stream(input) => None,
            bytes => Some(bytes),
        });
        BytesRead {
            read: ByteCount::default(),
            total: sizes.sum::<Option<u64>>().unwrap_or_default(),
        }
    }

    /// Read, and in all; 0 when that is not known.
    pub(crate) fn get(&self) -> (u64, u64) {
        (self.read.get(), self.total)
    }
}

fn is_stream(input: &Input) -> bool {
    match input {
        Input::Stdin => true,
        Input::File(path) => std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()),
    }
}

/// Bytes of a file; nothing is known of a stream.
pub fn stored_bytes(input: &Input) -> u64 {
    match input {
        Input::Stdin => 0,
        Input::File(path) => std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    #[test]
    fn items_come_in_their_order_and_end() {
        let items = ReadAhead::start(2, &Interrupt::default(), |listener| {
            for item in 0..100 {
                assert!(listener.send(item));
            }
        });
        assert!(items.unwrap().eq(0..100));
    }

    #[test]
    fn who_reads_learns_that_nobody_listens() {
        let (told, heard) = channel();
        let items = ReadAhead::start(1, &Interrupt::default(), move |listener| {
            while listener.send(()) {}
            told.send(()).unwrap();
        });
        items.unwrap().next();
        heard.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    #[test]
    fn an_interrupt_does_not_wait_for_an_input_that_does_not_come() {
        let (keep, never) = channel::<()>();
        let interrupt = Interrupt::default();
        let mut items = ReadAhead::<()>::start(1, &interrupt, move |listener| {
            // A terminal at which nobody types.
            let _ = never.recv();
            drop(listener);
        })
        .unwrap();
        let begun = Instant::now();
        interrupt.set(2);
        assert_eq!(items.next(), None);
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(keep);
    }
}
