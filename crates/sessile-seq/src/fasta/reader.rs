//! The streaming FASTA reader: one record in memory, everything else in a fixed buffer.

use std::io::{self, Read};
use std::path::Path;

use memchr::memchr;

use super::Record;
use crate::compression::{BehindTheEnd, BoxRead};
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::{ByteCount, Census, Input};
use crate::text::Text;

/// The longest record that a reader takes unless told otherwise: 4 Gi symbols.
pub const DEFAULT_MAX_RESIDUES: u64 = 4 << 30;

/// The longest header line, in bytes.
pub const MAX_HEADER_BYTES: usize = 1 << 20;

const BUFFER_BYTES: usize = 128 << 10;

/// Reads FASTA records one after the other.
///
/// The iterator gives every record or the error that it has; see [`crate::fasta`] for what is an
/// error. [`Reader::read`] does the same into a record that is used again.
///
/// # Examples
///
/// ```
/// use sessile_seq::fasta::Reader;
///
/// let text = b">a first\r\nACG\r\nT\r\n>broken\n>b\nGG\n";
/// let (good, bad): (Vec<_>, Vec<_>) = Reader::new(&text[..]).partition(|r| r.is_ok());
/// let good: Vec<_> = good.into_iter().map(|r| r.unwrap()).collect();
/// assert_eq!(good[0].sequence, b"ACGT");
/// assert_eq!((good[1].id.as_str(), good[1].ordinal, good[1].line), ("b", 3, 5));
/// assert_eq!(bad.len(), 1);
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    source: Text<R>,
    name: Option<String>,
    max_residues: u64,
    buffer: Box<[u8]>,
    position: usize,
    filled: usize,
    /// The line that `position` is in, from 1.
    line: u64,
    at_line_start: bool,
    started: bool,
    finished: bool,
    ordinal: u64,
    header: Vec<u8>,
    /// What is wrong behind the last record.
    behind_the_end: Option<io::Error>,
    census: Option<Census>,
}

/// What spoils the sequence that is being read.
#[derive(Clone, Copy)]
enum Flaw {
    Byte { byte: u8, line: u64 },
    TooLong { line: u64 },
}

impl Reader<BoxRead> {
    /// Opens a file, plain or compressed (found by its content).
    ///
    /// # Errors
    ///
    /// When the file does not exist or cannot be opened.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// for record in sessile_seq::fasta::Reader::open("proteins.faa.gz")? {
    ///     let record = record?;
    ///     assert!(!record.sequence.is_empty());
    /// }
    /// # Ok::<(), sessile_seq::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_input(&Input::File(path.as_ref().to_owned()))
    }

    /// Opens an input that [`crate::inputs::expand`] found.
    ///
    /// # Errors
    ///
    /// As [`Input::open`].
    pub fn from_input(input: &Input) -> Result<Self> {
        Self::from_counted(input, &ByteCount::default())
    }

    /// The same; `bytes` counts what is read of it.
    ///
    /// # Errors
    ///
    /// As [`Input::open`].
    pub fn from_counted(input: &Input, bytes: &ByteCount) -> Result<Self> {
        Ok(Self::new(input.open_counted(bytes)?).named(input.name()))
    }
}

impl<R: Read> Reader<R> {
    /// Reads text from `source`, which needs no buffer of its own.
    pub fn new(source: R) -> Self {
        Self {
            source: Text::new(source),
            name: None,
            max_residues: DEFAULT_MAX_RESIDUES,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            position: 0,
            filled: 0,
            line: 1,
            at_line_start: true,
            started: false,
            finished: false,
            ordinal: 0,
            header: Vec::new(),
            behind_the_end: None,
            census: None,
        }
    }

    /// Names the source in errors.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name of the source, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Refuses records of more than `limit` symbols, so that no input can exhaust the memory.
    ///
    /// A record above it is an error for that record; it is read over without being kept.
    pub fn max_residues(mut self, limit: u64) -> Self {
        self.max_residues = limit;
        self
    }

    /// Has `census` note what is met.
    pub fn counted_by(mut self, census: &Census) -> Self {
        self.census = Some(census.clone());
        self
    }

    /// The number of records met so far, failed ones included.
    pub fn records_met(&self) -> u64 {
        self.ordinal
    }

    /// Reads the next record into `record`, whose memory is used again.
    ///
    /// Returns `false` at the end. After an error the content of `record` means nothing.
    ///
    /// # Errors
    ///
    /// - Record errors (see [`crate::fasta`]); the next call goes on behind the record.
    /// - File errors: not FASTA, a truncated or damaged file, an error of the operating system. The
    ///   next call returns `false`.
    pub fn read(&mut self, record: &mut Record) -> Result<bool> {
        record.clear();
        if self.finished {
            return Ok(false);
        }
        let outcome = self.read_next(record);
        match &outcome {
            Ok(true) => {
                if let Some(census) = &self.census {
                    census.record(&record.id, self.name(), record.ordinal, record.line);
                }
            }
            Ok(false) => {
                self.finished = true;
                if let Some(census) = self.census.as_ref().filter(|_| self.ordinal == 0) {
                    census.no_record(self.name().unwrap_or("the input"));
                }
            }
            Err(error) => self.finished = !error.is_record_error(),
        }
        outcome.map_err(|error| match &self.name {
            Some(name) => error.in_file(name),
            None => error,
        })
    }

    fn read_next(&mut self, record: &mut Record) -> Result<bool> {
        if !self.started {
            self.find_first_header()?;
            self.started = true;
        }
        // Here the buffer stands at the `>` of a header, or the file is at its end.
        if !self.has_more()? {
            return match self.behind_the_end.take() {
                None => Ok(false),
                Some(error) => Err(Error::reading(error)),
            };
        }
        self.ordinal += 1;
        record.ordinal = self.ordinal;
        record.line = self.line;
        let header = self.read_header(record);
        if let Err(error) = &header
            && !error.is_record_error()
        {
            return header.map(|()| true);
        }
        let flaw = self.read_sequence(&mut record.sequence)?;
        header?;
        let spoilt = match flaw {
            Some(Flaw::Byte { byte, line }) => {
                Some((ErrorKind::InvalidByte, invalid_byte(byte), line))
            }
            Some(Flaw::TooLong { line }) => Some((
                ErrorKind::RecordTooLong,
                format!("the record has more than {} symbols", self.max_residues),
                line,
            )),
            None if record.sequence.is_empty() => Some((
                ErrorKind::EmptyRecord,
                "the record has no sequence".to_owned(),
                record.line,
            )),
            None => None,
        };
        match spoilt {
            None => Ok(true),
            Some((kind, message, line)) => Err(Error::new(kind, message)
                .in_record(record.ordinal, &record.id)
                .at_line(line)
                .for_record_only()),
        }
    }

    /// Moves to the first `>`; anything but blanks and comments before it means another format.
    fn find_first_header(&mut self) -> Result<()> {
        while self.has_more()? {
            if self.at_line_start && self.takes_mark()? {
                continue;
            }
            match self.buffer[self.position] {
                b'>' if self.at_line_start => return Ok(()),
                b';' if self.at_line_start => self.skip_line()?,
                b'\n' => self.take_line_end(),
                b' ' | b'\t' => {
                    self.position += 1;
                    self.at_line_start = false;
                }
                _ => return Err(self.not_fasta()),
            }
        }
        Ok(())
    }

    fn not_fasta(&mut self) -> Error {
        // Enough to know other formats by, where there is as much.
        const TELLING_BYTES: usize = 5;
        while self.filled - self.position < TELLING_BYTES
            && self.filled < self.buffer.len()
            && self.refill().unwrap_or(false)
        {}
        let rest = &self.buffer[self.position..self.filled];
        let hint = match rest {
            [b'@', ..] => "this looks like FASTQ: convert it to FASTA first",
            [b'L', b'O', b'C', b'U', b'S', ..] => "this looks like GenBank: read it as GenBank",
            [b'I', b'D', b' ', ..] => "this looks like EMBL: convert it to FASTA first",
            [b'{' | b'[', ..] => "this looks like JSON",
            [b'P', b'K', 3, 4, ..] => "this looks like a zip archive: unpack it first",
            [byte, ..] if !byte.is_ascii_graphic() => "this looks like a binary file",
            _ => "a FASTA record begins with a line that starts with '>'",
        };
        Error::new(ErrorKind::Format, "not FASTA: text before the first '>'")
            .at_line(self.line)
            .hinting(hint)
    }

    /// Reads the header line at the `>`, whole, even when it is refused.
    fn read_header(&mut self, record: &mut Record) -> Result<()> {
        self.position += 1;
        self.header.clear();
        let mut too_long = false;
        while self.has_more()? {
            let rest = &self.buffer[self.position..self.filled];
            let end = memchr(b'\n', rest);
            let piece = &rest[..end.unwrap_or(rest.len())];
            if self.header.len() + piece.len() > MAX_HEADER_BYTES {
                too_long = true;
            } else if !too_long {
                self.header.extend_from_slice(piece);
            }
            self.position += piece.len();
            if end.is_some() {
                break;
            }
        }
        if self.position < self.filled {
            self.take_line_end();
        }
        parse_header(&self.header, too_long, record)
    }

    /// Reads sequence lines up to the next header or the end.
    fn read_sequence(&mut self, sequence: &mut Vec<u8>) -> Result<Option<Flaw>> {
        let mut flaw = None;
        while self.has_more()? {
            if self.at_line_start {
                if self.takes_mark()? {
                    continue;
                }
                match self.buffer[self.position] {
                    b'>' => break,
                    b';' => {
                        self.skip_line()?;
                        continue;
                    }
                    _ => {}
                }
            }
            let rest = &self.buffer[self.position..self.filled];
            let end = memchr(b'\n', rest);
            let piece = &rest[..end.unwrap_or(rest.len())];
            self.at_line_start = false;
            if flaw.is_none() {
                let line = self.line;
                if let Err(byte) = append(piece, sequence) {
                    flaw = Some(Flaw::Byte { byte, line });
                } else if sequence.len() as u64 > self.max_residues {
                    flaw = Some(Flaw::TooLong { line });
                }
                if flaw.is_some() {
                    // Drop the memory of a record that is read over.
                    *sequence = Vec::new();
                }
            }
            self.position += piece.len();
            if end.is_some() {
                self.take_line_end();
            }
        }
        Ok(flaw)
    }

    fn skip_line(&mut self) -> Result<()> {
        while self.has_more()? {
            let rest = &self.buffer[self.position..self.filled];
            if let Some(end) = memchr(b'\n', rest) {
                self.position += end;
                self.take_line_end();
                break;
            }
            self.position = self.filled;
        }
        Ok(())
    }

    /// Takes a byte order mark: files that were joined have it at the beginning of any line.
    fn takes_mark(&mut self) -> Result<bool> {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        if self.buffer[self.position] != MARK[0] {
            return Ok(false);
        }
        if self.position + MARK.len() > self.buffer.len() {
            self.buffer.copy_within(self.position..self.filled, 0);
            self.filled -= self.position;
            self.position = 0;
        }
        while self.filled - self.position < MARK.len() && self.refill()? {}
        let is_mark = self.buffer[self.position..self.filled].starts_with(MARK);
        if is_mark {
            self.position += MARK.len();
        }
        Ok(is_mark)
    }

    fn take_line_end(&mut self) {
        self.position += 1;
        self.line += 1;
        self.at_line_start = true;
    }

    /// Whether there is a byte at `position`, reading on when the buffer is used up.
    fn has_more(&mut self) -> Result<bool> {
        if self.position < self.filled {
            return Ok(true);
        }
        self.position = 0;
        self.filled = 0;
        self.refill()
    }

    fn refill(&mut self) -> Result<bool> {
        loop {
            match self.source.read(&mut self.buffer[self.filled..]) {
                Ok(count) => {
                    self.filled += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if BehindTheEnd::is_in(&error) => self.behind_the_end = Some(error),
                Err(error) => {
                    let error = Error::reading(error).at_line(self.line);
                    return Err(match self.ordinal {
                        0 => error,
                        ordinal => error.in_record(ordinal, ""),
                    });
                }
            }
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = Record::default();
        match self.read(&mut record) {
            Ok(true) => Some(Ok(record)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// Splits a header into identifier and description.
fn parse_header(header: &[u8], too_long: bool, record: &mut Record) -> Result<()> {
    let header = header.trim_ascii();
    let split = header.iter().position(u8::is_ascii_whitespace);
    let (id, description) = header.split_at(split.unwrap_or(header.len()));
    let refuse = |kind, message: &str, id: &str| {
        Err(Error::new(kind, message)
            .in_record(record.ordinal, id)
            .at_line(record.line)
            .for_record_only())
    };
    if too_long {
        let message = format!("the header is longer than {MAX_HEADER_BYTES} bytes");
        return refuse(ErrorKind::InvalidHeader, &message, "");
    }
    if id.is_empty() {
        return refuse(ErrorKind::MissingId, "the header has no identifier", "");
    }
    let Ok(id) = str::from_utf8(id) else {
        let message = "the identifier is not UTF-8";
        let readable = String::from_utf8_lossy(id);
        return refuse(ErrorKind::InvalidHeader, message, &readable);
    };
    if id.chars().any(char::is_control) {
        let message = "the identifier holds a control character";
        return refuse(ErrorKind::InvalidHeader, message, id);
    }
    record.id.push_str(id);
    record
        .description
        .push_str(&String::from_utf8_lossy(description.trim_ascii()));
    Ok(())
}

/// Appends one line (or a part of it) without blanks; the first byte that no sequence may hold is
/// the error.
fn append(piece: &[u8], sequence: &mut Vec<u8>) -> Result<(), u8> {
    // Without an early exit the compiler checks many bytes at once.
    let clean = piece
        .iter()
        .fold(true, |clean, byte| clean & byte.is_ascii_graphic());
    if clean {
        sequence.extend_from_slice(piece);
        return Ok(());
    }
    for &byte in piece {
        match byte {
            b' ' | b'\t' => {}
            _ if byte.is_ascii_graphic() => sequence.push(byte),
            _ => return Err(byte),
        }
    }
    Ok(())
}

fn invalid_byte(byte: u8) -> String {
    match byte {
        0 => "the sequence holds a NUL byte".to_owned(),
        _ => format!("the sequence holds the byte 0x{byte:02x}"),
    }
}
