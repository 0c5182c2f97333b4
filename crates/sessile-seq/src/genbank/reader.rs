//! The streaming GenBank reader: one record in memory.

use std::io::Read;
use std::path::Path;

use super::Record;
use super::lines::{Line, Lines};
use super::parts::{is_key, read_parts};
use crate::compression::BoxRead;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::{ByteCount, Census, Input};

/// The longest sequence that a reader takes unless told otherwise: 4 Gi bases.
pub const DEFAULT_MAX_BASES: u64 = 4 << 30;

/// Reads GenBank records one after the other; see [`crate::genbank`] for what is an error.
///
/// # Examples
///
/// ```
/// use sessile_seq::genbank::Reader;
///
/// let text = b"LOCUS       TOY 9 bp DNA linear SYN 01-JAN-2020
/// VERSION     TOY.1
/// FEATURES             Location/Qualifiers
///      CDS             1..9
///                      /translation=\"MK\"
/// ORIGIN
///         1 atgaaatag
/// //
/// ";
/// let record = Reader::new(&text[..]).next().unwrap()?;
/// assert_eq!((record.id.as_str(), &record.sequence[..]), ("TOY.1", &b"ATGAAATAG"[..]));
/// assert_eq!(record.cds[0].translation.as_deref(), Some("MK"));
/// # Ok::<(), sessile_seq::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    lines: Lines<R>,
    name: Option<String>,
    max_bases: u64,
    ordinal: u64,
    finished: bool,
    census: Option<Census>,
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
    /// for record in sessile_seq::genbank::Reader::open("phages.gbff.gz")? {
    ///     let record = record?;
    ///     assert!(record.cds.iter().all(|cds| !cds.location.spans().is_empty()));
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
            lines: Lines::new(source),
            name: None,
            max_bases: DEFAULT_MAX_BASES,
            ordinal: 0,
            finished: false,
            census: None,
        }
    }

    /// Names the source in errors.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Refuses records of more than `limit` bases, so that no input can exhaust the memory.
    pub fn max_bases(mut self, limit: u64) -> Self {
        self.max_bases = limit;
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

    fn read(&mut self) -> Result<Option<Record>> {
        if !self.find_locus()? {
            return match self.lines.behind_the_end() {
                None => Ok(None),
                Some(error) => Err(Error::reading(error)),
            };
        }
        self.ordinal += 1;
        let line = self.lines.number();
        let (ordinal, limit) = (self.ordinal, self.max_bases);
        let parts = read_parts(&mut self.lines, limit)
            .map_err(|error| Error::reading(error).in_record(ordinal, ""))?;
        let id = parts.id();
        let place = |error: Error| {
            let line = error.line().unwrap_or(line);
            error
                .in_record(ordinal, &id)
                .at_line(line)
                .for_record_only()
        };
        let mut record = parts.into_record().map_err(place)?;
        record.issues = record.issues.into_iter().map(place).collect();
        if record.id.is_empty() {
            let message = "the record has no name: VERSION, ACCESSION and LOCUS are empty";
            return Err(place(Error::new(ErrorKind::MissingId, message)));
        }
        record.ordinal = ordinal;
        record.line = line;
        if let Some(name) = &self.name {
            let issues = std::mem::take(&mut record.issues);
            record.issues = issues.into_iter().map(|e| e.in_file(name)).collect();
        }
        Ok(Some(record))
    }

    /// Stops before the next `LOCUS` line.
    ///
    /// NCBI's release files begin with lines of their own, which are read over. Text between two
    /// records is the rest of a record that lost its first line, and an error of its own.
    fn find_locus(&mut self) -> Result<bool> {
        let mut stray: Option<(u64, &'static str)> = None;
        loop {
            let read = self.lines.next().map_err(Error::reading)?;
            let Some(Line { text, number, .. }) = read else {
                break;
            };
            let is_locus = is_key(text, b"LOCUS");
            if text.trim_ascii().is_empty() {
                continue;
            }
            if is_locus && (stray.is_none() || self.ordinal == 0) {
                self.lines.hold();
                return Ok(true);
            }
            if is_locus || (text == b"//" && self.ordinal > 0) {
                if is_locus {
                    self.lines.hold();
                }
                break;
            }
            stray.get_or_insert((number, hint_for(text)));
            if self.ordinal == 0 && matches!(text.first(), Some(b'>' | b'@' | b'{' | b'[' | 0..=8))
            {
                break;
            }
        }
        let Some((number, hint)) = stray else {
            return Ok(false);
        };
        if self.ordinal == 0 {
            let message = "not GenBank: no line that starts with LOCUS";
            return Err(Error::new(ErrorKind::Format, message)
                .at_line(number)
                .hinting(hint));
        }
        self.ordinal += 1;
        Err(
            Error::new(ErrorKind::InvalidRecord, "the record has no LOCUS line")
                .in_record(self.ordinal, "")
                .at_line(number)
                .for_record_only(),
        )
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        match self.read() {
            Ok(Some(record)) => {
                if let Some(census) = &self.census {
                    let name = self.name.as_deref();
                    census.record(&record.id, name, record.ordinal, record.line);
                }
                Some(Ok(record))
            }
            Ok(None) => {
                self.finished = true;
                if let Some(census) = self.census.as_ref().filter(|_| self.ordinal == 0) {
                    census.no_record(self.name.as_deref().unwrap_or("the input"));
                }
                None
            }
            Err(error) => {
                self.finished = !error.is_record_error();
                Some(Err(match &self.name {
                    Some(name) => error.in_file(name),
                    None => error,
                }))
            }
        }
    }
}

fn hint_for(text: &[u8]) -> &'static str {
    match text.trim_ascii_start() {
        [b'>', ..] => "this looks like FASTA: read it as FASTA",
        [b'@', ..] => "this looks like FASTQ, which has no annotation",
        [b'I', b'D', b' ', ..] => "this looks like EMBL: convert it to GenBank first",
        [b'{' | b'[', ..] => "this looks like JSON",
        [b'P', b'K', 3, 4, ..] => "this looks like a zip archive: unpack it first",
        [byte, ..] if !byte.is_ascii() || byte.is_ascii_control() => {
            "this looks like a binary file"
        }
        _ => "a GenBank record begins with a line that starts with LOCUS",
    }
}
