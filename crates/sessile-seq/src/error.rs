//! One error for the whole layer: what went wrong, in which file, record and line.
//!
//! A caller acts on [`Error::kind`] and on [`Error::is_record_error`]: a *record* error spoils one
//! record and the reader goes on behind it, a *file* error ends the file.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::compression::BehindTheEnd;
use crate::text::OtherEncoding;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for a program to act on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such file, or a pattern or folder without a file to read.
    NotFound,
    /// The operating system refused to read or write.
    Io,
    /// A compressed file ends before its data does.
    Truncated,
    /// Compressed data that cannot be decompressed.
    Corrupt,
    /// The input is not in the format that was asked for.
    Format,
    /// A record without any sequence.
    EmptyRecord,
    /// A record whose header holds no identifier.
    MissingId,
    /// A header that is too long or holds bytes that no identifier may have.
    InvalidHeader,
    /// A byte that cannot be part of a sequence.
    InvalidByte,
    /// A letter outside the alphabet that was asked for.
    UnexpectedSymbol,
    /// A record longer than the limit that the caller set.
    RecordTooLong,
    /// A record that breaks the rules of its format.
    InvalidRecord,
    /// A feature that its record cannot have, such as a CDS past the end.
    InvalidFeature,
    /// A translation table that NCBI does not define.
    UnknownGeneticCode,
    /// An argument that the operation does not accept.
    InvalidArgument,
}

/// An error with its place in the input.
///
/// `Display` prints one line in plain words; [`Error::hint`] says what to do about it.
///
/// # Examples
///
/// ```
/// use sessile_seq::fasta;
/// use sessile_seq::ErrorKind;
///
/// let mut reader = fasta::Reader::new(&b">a\n>b\nACGT\n"[..]).named("reads.fa");
/// let error = reader.next().unwrap().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::EmptyRecord);
/// assert_eq!(error.to_string(), "reads.fa: record 1 (a), line 1: the record has no sequence");
/// assert!(error.is_record_error());
/// ```
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    file: Option<String>,
    record: Option<u64>,
    id: Option<String>,
    line: Option<u64>,
    hint: Option<String>,
    record_only: bool,
    source: Option<io::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            file: None,
            record: None,
            id: None,
            line: None,
            hint: None,
            record_only: false,
            source: None,
        }))
    }

    /// An error of the operating system while doing `what`.
    pub(crate) fn io(what: &str, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        let cause = match source.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
            io::ErrorKind::StorageFull => "the disk is full".to_owned(),
            _ => source.to_string(),
        };
        let mut error = Self::new(kind, format!("{what}: {cause}"));
        error.0.source = Some(source);
        error
    }

    /// An error while reading data that may be compressed.
    ///
    /// A decoder's complaints carry no number of the operating system; that tells them apart.
    pub(crate) fn reading(source: io::Error) -> Self {
        if source.raw_os_error().is_some() {
            return Self::io("cannot read", source);
        }
        if OtherEncoding::is_in(&source) {
            return Self::new(ErrorKind::Format, source.to_string());
        }
        if BehindTheEnd::is_in(&source) {
            return Self::new(ErrorKind::Corrupt, source.to_string())
                .hinting("what comes before them was read; compress the file again without them");
        }
        let mut error = match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::new(
                ErrorKind::Truncated,
                "the compressed file ends before its data does",
            )
            .hinting("copy or download the file again"),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                Self::new(
                    ErrorKind::Corrupt,
                    format!("the compressed file is damaged: {source}"),
                )
                .hinting("copy or download the file again")
            }
            _ => Self::new(ErrorKind::Io, format!("cannot read: {source}")),
        };
        error.0.source = Some(source);
        error
    }

    pub(crate) fn in_file(mut self, file: &str) -> Self {
        self.0.file = Some(file.to_owned());
        self
    }

    pub(crate) fn in_record(mut self, ordinal: u64, id: &str) -> Self {
        self.0.record = Some(ordinal);
        self.0.id = (!id.is_empty()).then(|| id.to_owned());
        self
    }

    pub(crate) fn at_line(mut self, line: u64) -> Self {
        self.0.line = Some(line);
        self
    }

    pub(crate) fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn for_record_only(mut self) -> Self {
        self.0.record_only = true;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether only one record is lost: the reader can be asked for the next one.
    pub fn is_record_error(&self) -> bool {
        self.0.record_only
    }

    /// The file (or other source) as the caller named it.
    pub fn file(&self) -> Option<&str> {
        self.0.file.as_deref()
    }

    /// The number of the record in its file, from 1.
    pub fn record(&self) -> Option<u64> {
        self.0.record
    }

    /// The identifier of the record.
    pub fn record_id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    /// The line in the (decompressed) file, from 1.
    pub fn line(&self) -> Option<u64> {
        self.0.line
    }

    /// The description without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it is, as far as that is known: file, record and line, in words.
    pub fn place(&self) -> String {
        let inner = &*self.0;
        let mut place = Vec::new();
        if let Some(record) = inner.record {
            place.push(match &inner.id {
                Some(id) => format!("record {record} ({})", shorten(id).escape_debug()),
                None => format!("record {record}"),
            });
        }
        if let Some(line) = inner.line {
            place.push(format!("line {line}"));
        }
        let place = (!place.is_empty()).then(|| place.join(", "));
        let parts = inner.file.iter().cloned().chain(place);
        parts.collect::<Vec<_>>().join(": ")
    }

    /// What to do about it, where there is something to do.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

/// Cuts an identifier so that a hostile one cannot fill a terminal.
fn shorten(id: &str) -> String {
    const LONGEST: usize = 80;
    if id.chars().count() <= LONGEST {
        return id.to_owned();
    }
    id.chars().take(LONGEST - 1).chain(['…']).collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place().as_str() {
            "" => f.write_str(&self.0.message),
            place => write!(f, "{place}: {}", self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}
