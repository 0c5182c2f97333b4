//! Writing FASTA.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use super::Record;

/// Writes records as FASTA.
///
/// Nothing is buffered here: give it a `BufWriter` for a file.
///
/// # Examples
///
/// ```
/// use std::num::NonZeroUsize;
/// use sessile_seq::fasta::Writer;
///
/// let mut writer = Writer::new(Vec::new()).wrapped_at(NonZeroUsize::new(4));
/// writer.write("a", b"ACGTACG")?;
/// assert_eq!(writer.into_inner(), b">a\nACGT\nACG\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    width: Option<NonZeroUsize>,
}

impl<W: Write> Writer<W> {
    /// A writer that puts every sequence on one line.
    pub fn new(inner: W) -> Self {
        Self { inner, width: None }
    }

    /// Wraps sequences at `width` symbols, or not at all.
    ///
    /// Biopython's `SeqIO.write` wraps at 60.
    pub fn wrapped_at(mut self, width: Option<NonZeroUsize>) -> Self {
        self.width = width;
        self
    }

    /// Writes one record; `header` is the whole header line without `>`.
    ///
    /// A wrapped empty sequence has no line, an unwrapped one an empty line.
    ///
    /// # Errors
    ///
    /// - `InvalidInput` when the header holds a line break, which would start a new line of the
    ///   file; nothing is written.
    /// - When the writer below fails.
    pub fn write(&mut self, header: &str, sequence: &[u8]) -> io::Result<()> {
        if header.contains(['\n', '\r']) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a FASTA header cannot hold a line break",
            ));
        }
        self.inner.write_all(b">")?;
        self.inner.write_all(header.as_bytes())?;
        self.inner.write_all(b"\n")?;
        match self.width {
            None => self.write_line(sequence),
            Some(width) => sequence
                .chunks(width.get())
                .try_for_each(|line| self.write_line(line)),
        }
    }

    /// Writes a record with its description.
    ///
    /// # Errors
    ///
    /// As [`Writer::write`].
    pub fn write_record(&mut self, record: &Record) -> io::Result<()> {
        self.write(&record.header(), &record.sequence)
    }

    /// Flushes the writer below.
    ///
    /// # Errors
    ///
    /// When the writer below fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    /// The writer below.
    pub fn into_inner(self) -> W {
        self.inner
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.inner.write_all(line)?;
        self.inner.write_all(b"\n")
    }
}
