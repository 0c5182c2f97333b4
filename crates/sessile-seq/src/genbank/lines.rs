//! Lines of bounded length, counted.

use std::io::{self, BufRead, BufReader, Read};

use memchr::memchr;

use crate::compression::BehindTheEnd;
use crate::text::Text;

/// The longest line that is kept, in bytes; GenBank's have 80.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

/// Bytes of a line, kept or not, from which on it is no line of text: whatever goes on so has no end.
const ENDLESS_BYTES: usize = 64 << 20;

/// Reads lines one after the other, with a way to look at one again.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: BufReader<Text<R>>,
    text: Vec<u8>,
    number: u64,
    held: bool,
    behind_the_end: Option<io::Error>,
}

/// One line, without its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// From 1.
    pub(super) number: u64,
    /// It was longer than [`MAX_LINE_BYTES`]; `text` is its beginning.
    pub(super) cut: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source: BufReader::with_capacity(128 << 10, Text::new(source)),
            text: Vec::new(),
            number: 0,
            held: false,
            behind_the_end: None,
        }
    }

    /// The number of the line that was read last.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Gives the line that was read last once more.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// What is wrong behind the last line, once.
    pub(super) fn behind_the_end(&mut self) -> Option<io::Error> {
        self.behind_the_end.take()
    }

    /// The next line, or `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        if !std::mem::take(&mut self.held) && !self.advance()? {
            return Ok(None);
        }
        let text = &self.text[..self.text.len().min(MAX_LINE_BYTES)];
        Ok(Some(Line {
            text: text.trim_ascii_end(),
            number: self.number,
            cut: self.text.len() > MAX_LINE_BYTES,
        }))
    }

    fn advance(&mut self) -> io::Result<bool> {
        self.text.clear();
        let mut begun = false;
        let mut length = 0;
        loop {
            let rest = match self.source.fill_buf() {
                Ok(rest) => rest,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if BehindTheEnd::is_in(&error) => {
                    self.behind_the_end = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            };
            if rest.is_empty() {
                break;
            }
            begun = true;
            let end = memchr(b'\n', rest);
            let piece = &rest[..end.unwrap_or(rest.len())];
            // One byte more than the longest line says that it was longer.
            let room = (MAX_LINE_BYTES + 1).saturating_sub(self.text.len());
            self.text.extend_from_slice(&piece[..piece.len().min(room)]);
            length += piece.len();
            if length > ENDLESS_BYTES {
                let message = format!("a line is longer than {} MiB", ENDLESS_BYTES >> 20);
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
            }
            let used = piece.len() + usize::from(end.is_some());
            self.source.consume(used);
            if end.is_some() {
                break;
            }
        }
        self.number += u64::from(begun);
        Ok(begun)
    }
}
