//! Text as every reader takes it: UTF-8 without a byte order mark, each line ended by a line feed.
//!
//! Editors and spreadsheets put a byte order mark in front, Windows ends lines with CR LF, old Macs
//! and some instruments with CR alone, and one file may mix all three. Readers see none of it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use memchr::memchr;

/// Largest small file.
const MOST_FILE_BYTES: u64 = 64 << 20;

/// The longest byte order mark.
const MARK_BYTES: usize = 4;

/// A source without its byte order mark, with `\n` for every line end (`\n`, `\r\n` or `\r`).
///
/// UTF-16 and UTF-32, known by their byte order marks, are refused: the first read fails with
/// [`OtherEncoding`].
///
/// # Examples
///
/// ```
/// use std::io::Read;
/// use sessile_seq::text::Text;
///
/// let mut text = String::new();
/// Text::new(&b"\xef\xbb\xbf>a\r\nACGT\r>b\n"[..]).read_to_string(&mut text)?;
/// assert_eq!(text, ">a\nACGT\n>b\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Text<R> {
    source: R,
    /// The first bytes, which may be a byte order mark, and how many of them were read and given.
    head: [u8; MARK_BYTES],
    head_read: usize,
    head_given: usize,
    begun: bool,
    /// The last byte given stands for a carriage return: a line feed behind it belongs to it.
    behind_return: bool,
}

impl<R: Read> Text<R> {
    /// Reads `source` as text.
    pub fn new(source: R) -> Self {
        Self {
            source,
            head: [0; MARK_BYTES],
            head_read: 0,
            head_given: 0,
            begun: false,
            behind_return: false,
        }
    }

    /// Reads far enough to know the byte order mark.
    fn begin(&mut self) -> io::Result<()> {
        while self.head_read < MARK_BYTES {
            match self.source.read(&mut self.head[self.head_read..])? {
                0 => break,
                count => self.head_read += count,
            }
        }
        self.head_given = mark_bytes(&self.head[..self.head_read])?;
        self.begun = true;
        Ok(())
    }

    fn read_raw(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let head = &self.head[self.head_given..self.head_read];
        if head.is_empty() {
            return self.source.read(out);
        }
        let count = head.len().min(out.len());
        out[..count].copy_from_slice(&head[..count]);
        self.head_given += count;
        Ok(count)
    }

    /// Turns line ends into line feeds and returns how many bytes are left.
    fn end_lines(&mut self, bytes: &mut [u8]) -> usize {
        let mut from = 0;
        if std::mem::take(&mut self.behind_return) && bytes.first() == Some(&b'\n') {
            from = 1;
        }
        let mut to = 0;
        while let Some(length) = memchr(b'\r', &bytes[from..]) {
            bytes.copy_within(from..from + length, to);
            to += length;
            bytes[to] = b'\n';
            to += 1;
            from += length + 1;
            match bytes.get(from) {
                Some(b'\n') => from += 1,
                Some(_) => {}
                None => self.behind_return = true,
            }
        }
        if to < from {
            bytes.copy_within(from.., to);
        }
        to + bytes.len() - from
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.begin()?;
        }
        loop {
            let count = self.read_raw(out)?;
            let left = self.end_lines(&mut out[..count]);
            // A lone line feed behind a carriage return leaves nothing, which is not the end.
            if left > 0 || count == 0 {
                return Ok(left);
            }
        }
    }
}

/// A small file of text, such as settings, whole.
///
/// # Errors
///
/// When it cannot be read, is not UTF-8 or has more than 64 MiB: such a file is none of settings, and
/// a device has no end.
pub fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut source = Text::new(File::open(path)?).take(MOST_FILE_BYTES + 1);
    source.read_to_string(&mut text)?;
    if text.len() as u64 > MOST_FILE_BYTES {
        let most = MOST_FILE_BYTES >> 20;
        return Err(io::Error::other(format!("it has more than {most} MiB")));
    }
    Ok(text)
}

/// Text behind its byte order mark, for text that is in memory already.
///
/// # Errors
///
/// [`OtherEncoding`] for UTF-16 and UTF-32.
///
/// # Examples
///
/// ```
/// use sessile_seq::text::without_mark;
///
/// assert_eq!(without_mark(b"\xef\xbb\xbf{}").unwrap(), b"{}");
/// let error = without_mark(b"\xff\xfe{\0}\0").unwrap_err();
/// assert_eq!(error.to_string(), "the text is UTF-16; save it as UTF-8");
/// ```
pub fn without_mark(bytes: &[u8]) -> Result<&[u8], OtherEncoding> {
    let head = &bytes[..bytes.len().min(MARK_BYTES)];
    other_encoding(head).map_or_else(|| Ok(&bytes[utf8_mark(head)..]), Err)
}

fn mark_bytes(head: &[u8]) -> io::Result<usize> {
    match other_encoding(head) {
        None => Ok(utf8_mark(head)),
        Some(other) => Err(io::Error::new(io::ErrorKind::InvalidData, other)),
    }
}

fn utf8_mark(head: &[u8]) -> usize {
    if head.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    }
}

fn other_encoding(head: &[u8]) -> Option<OtherEncoding> {
    // UTF-32 first: its little-endian mark begins like that of UTF-16.
    match head {
        [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => Some(OtherEncoding("UTF-32")),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(OtherEncoding("UTF-16")),
        _ => None,
    }
}

/// Text in an encoding that is not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OtherEncoding(&'static str);

impl OtherEncoding {
    /// Whether this is why reading failed.
    pub(crate) fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl fmt::Display for OtherEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the text is {}; save it as UTF-8", self.0)
    }
}

impl std::error::Error for OtherEncoding {}
