//! How much of its inputs a job has read.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of inputs as they are stored, compressed ones included. Clones count together.
///
/// # Examples
///
/// ```
/// use std::io::Read;
/// use sessile_seq::inputs::ByteCount;
///
/// let bytes = ByteCount::default();
/// bytes.counted(&b">a\nMKV\n"[..]).read_to_end(&mut Vec::new())?;
/// assert_eq!(bytes.get(), 7);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ByteCount(Arc<AtomicU64>);

impl ByteCount {
    /// Bytes so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A source whose bytes are counted as they are read.
    pub fn counted<R: Read>(&self, source: R) -> impl Read + use<R> {
        Counted {
            source,
            bytes: self.clone(),
        }
    }
}

struct Counted<R> {
    source: R,
    bytes: ByteCount,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.bytes.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
