//! Frames: the unit in which a journal is whole or not.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the body, little-endian as everything here |
//! | 4 | kind |
//! | 8 | number of the frame in the file, from 0 |
//! | length | body |
//! | 4 | CRC-32 of all of the above |
//!
//! The number makes bytes that another writer left behind, or that were written twice, no frame.

use std::io::{self, Read};

/// The first bytes of a journal; the last one counts the layouts of entries.
pub(super) const MAGIC: &[u8; 8] = b"SESSJNL2";

/// What the first bytes are in all versions.
pub(super) const FAMILY: &[u8] = b"SESSJNL";

const HEADER_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;

/// Bytes around the body.
pub(super) const AROUND_BYTES: u64 = (HEADER_BYTES + CHECKSUM_BYTES) as u64;

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With what the entries after it were computed.
    Fingerprint = 1,
    /// A record.
    Entry = 2,
    /// All records are there, the outputs are about to get their names.
    Finishing = 3,
}

/// Begins a frame at the end of `buffer`; the body follows, then [`end`] with what this returns.
pub(crate) fn begin(buffer: &mut Vec<u8>, kind: Kind, number: u64) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&(kind as u32).to_le_bytes());
    buffer.extend_from_slice(&number.to_le_bytes());
    start
}

/// Ends the frame that begins at `start`.
pub(crate) fn end(buffer: &mut Vec<u8>, start: usize) {
    // A body of 4 GiB can not come up: the runtime holds at most a few hundred MiB of answers.
    let length = (buffer.len() - start - HEADER_BYTES) as u32;
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32fast::hash(&buffer[start..]);
    buffer.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads frames until the first that is not whole.
pub(crate) struct Frames<R> {
    input: R,
    /// Bytes that the file has after the last whole frame; no length beyond it is believed.
    left: u64,
    number: u64,
    body: Vec<u8>,
}

impl<R: Read> Frames<R> {
    /// Frames of an input that has `left` bytes after its magic.
    pub(crate) fn new(input: R, left: u64) -> Self {
        Frames {
            input,
            left,
            number: 0,
            body: Vec::new(),
        }
    }

    /// The next frame, `None` where no whole frame follows.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Kind, &[u8])>> {
        let Some(left) = self.left.checked_sub(AROUND_BYTES) else {
            return Ok(None);
        };
        let mut header = [0; HEADER_BYTES];
        if !fill(&mut self.input, &mut header)? {
            return Ok(None);
        }
        let [a, b, c, d, e, f, g, h, number @ ..] = header;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        let kind = match u32::from_le_bytes([e, f, g, h]) {
            1 => Kind::Fingerprint,
            2 => Kind::Entry,
            3 => Kind::Finishing,
            _ => return Ok(None),
        };
        if length > left || u64::from_le_bytes(number) != self.number {
            return Ok(None);
        }
        self.body.clear();
        self.input
            .by_ref()
            .take(length)
            .read_to_end(&mut self.body)?;
        let mut checksum = [0; CHECKSUM_BYTES];
        if self.body.len() as u64 != length || !fill(&mut self.input, &mut checksum)? {
            return Ok(None);
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header);
        hasher.update(&self.body);
        if hasher.finalize() != u32::from_le_bytes(checksum) {
            return Ok(None);
        }
        self.left = left - length;
        self.number += 1;
        Ok(Some((kind, &self.body)))
    }

    /// Whole frames so far.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes after the last whole frame.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

/// Fills `bytes`; false when the input ends before.
pub(crate) fn fill(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
