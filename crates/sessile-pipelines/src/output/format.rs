//! Formats of results: one table, in which each names its file endings and says what it cannot hold.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use super::compressed::{Compressed, Compression};
use super::destination::{Destination, OutputPlace};
use super::{ColumnKind, RowWriter, Schema};
use super::{delimited, fasta, hdf5, json, npy, npz, parquet, safetensors};
use crate::error::{PipelineError, PipelineErrorKind};

/// All formats, the default first. A new one is a file of its own and a line here.
const FORMATS: [Definition; 10] = [
    json::LINES,
    json::LIST,
    delimited::TSV,
    delimited::CSV,
    parquet::FORMAT,
    hdf5::FORMAT,
    safetensors::FORMAT,
    npy::FORMAT,
    npz::FORMAT,
    fasta::FORMAT,
];

/// What the table says of a format.
pub(super) struct Definition {
    /// The name that users know it by.
    pub(super) name: &'static str,
    /// The extensions of its files.
    pub(super) extensions: &'static [&'static str],
    /// Text, which may be compressed as a whole.
    pub(super) is_text: bool,
    /// Parts of the file are written again at the end, so that it cannot be a stream.
    pub(super) needs_file: bool,
    /// What the name of a file that is written beside it adds to its name.
    pub(super) beside: Option<&'static str>,
    /// Why rows of a schema cannot be written, and what to do.
    pub(super) refuses: fn(&Schema) -> Option<Refusal>,
    /// Begins to write.
    pub(super) open: fn(Compressed, &Schema) -> io::Result<Box<dyn RowWriter>>,
}

/// Why a format cannot hold the rows of a schema.
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) hint: &'static str,
}

impl Refusal {
    /// The first column that is none of `holds`.
    pub(super) fn of_column(
        format: &str,
        schema: &Schema,
        holds: impl Fn(&super::Column) -> bool,
        hint: &'static str,
    ) -> Option<Self> {
        let column = schema.columns.iter().find(|column| !holds(column))?;
        Some(Refusal {
            reason: format!("{format} cannot hold `{}`", column.name),
            hint,
        })
    }
}

/// A format of results.
#[derive(Clone, Copy)]
pub struct Format(&'static Definition);

impl Format {
    /// All formats.
    pub fn all() -> impl Iterator<Item = Format> {
        const TABLE: &[Definition] = &FORMATS;
        TABLE.iter().map(Format)
    }

    /// One JSON document.
    pub const JSON: Format = Format(&json::LIST);

    /// Fields separated by tabs.
    pub const TSV: Format = Format(&delimited::TSV);

    /// FASTA.
    pub const FASTA: Format = Format(&fasta::FORMAT);

    /// The name that users know it by.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// The extensions of files in this format.
    pub const fn extensions(self) -> &'static [&'static str] {
        self.0.extensions
    }

    /// What the name of a file that is written beside it adds to its name, if there is one.
    pub(super) const fn beside(self) -> Option<&'static str> {
        self.0.beside
    }

    /// The format whose files have this extension, in lower case.
    pub(super) fn of_extension(extension: &str) -> Option<Self> {
        Format::all().find(|format| format.extensions().contains(&extension))
    }

    /// Checks that this format can be compressed so.
    ///
    /// # Errors
    ///
    /// `Usage` when it is compressed inside.
    pub fn check_compression(
        self,
        path: &Path,
        compression: Compression,
    ) -> Result<(), PipelineError> {
        if self.0.is_text || compression == Compression::None {
            return Ok(());
        }
        let message = format!(
            "{}: {self} cannot be compressed with {compression}",
            path.display()
        );
        Err(PipelineError::new(PipelineErrorKind::Usage, message)
            .with_hint("leave the compression out, or use jsonl, json, tsv or csv"))
    }

    /// Checks that rows of this schema can be written to `path` in this format.
    ///
    /// # Errors
    ///
    /// `Usage` when not.
    pub fn check(self, path: &Path, schema: &Schema) -> Result<(), PipelineError> {
        let refused = |reason: &str, hint: &str| {
            let message = format!("{}: {reason}", path.display());
            Err(PipelineError::new(PipelineErrorKind::Usage, message).with_hint(hint))
        };
        let is_file = OutputPlace::of(path) == OutputPlace::File;
        if !is_file && self.0.needs_file {
            return refused(
                &format!("{self} cannot be written as a stream"),
                "name a file, or use jsonl or parquet",
            );
        }
        if let Some(Refusal { reason, hint }) = (self.0.refuses)(schema) {
            return refused(&reason, hint);
        }
        if schema
            .columns
            .iter()
            .any(|column| matches!(&column.kind, ColumnKind::Tensor(shape) if shape.is_empty()))
        {
            return refused("a column without dimensions", "make it a number");
        }
        Ok(())
    }

    /// Begins to write rows of `schema`.
    ///
    /// # Errors
    ///
    /// When a file can not be made.
    pub fn writer(
        self,
        destination: Destination,
        compression: Compression,
        schema: &Schema,
    ) -> io::Result<Box<dyn RowWriter>> {
        (self.0.open)(Compressed::new(destination, compression)?, schema)
    }
}

/// Refuses the name of a file that promises another format than what is written: `endings` are
/// those of it, and a name without an ending promises nothing.
///
/// # Errors
///
/// `Usage`.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use sessile_pipelines::output::check_ending;
/// assert!(check_ending(Path::new("rows.jsonl"), &["jsonl", "ndjson"]).is_ok());
/// assert!(check_ending(Path::new("rows.json"), &["jsonl", "ndjson"]).is_err());
/// ```
pub fn check_ending(path: &Path, endings: &[&str]) -> Result<(), PipelineError> {
    match extension(path) {
        Some(extension) if !endings.contains(&extension.as_str()) => {
            let allowed: Vec<String> = endings.iter().map(|ending| format!(".{ending}")).collect();
            let what = format!("name it {}", allowed.join(" or "));
            Err(unsupported(path, &extension, &what))
        }
        _ => Ok(()),
    }
}

/// What follows the last dot of a file's name, in lower case.
pub(super) fn extension(path: &Path) -> Option<String> {
    if OutputPlace::of(path) != OutputPlace::File {
        return None;
    }
    let extension = path.extension()?.to_string_lossy();
    Some(extension.to_lowercase())
}

pub(super) fn unsupported(path: &Path, extension: &str, what: &str) -> PipelineError {
    let path = path.display();
    let message = format!("{path}: unsupported output format `.{extension}` ({what})");
    PipelineError::new(PipelineErrorKind::Usage, message)
}

pub(super) fn names() -> String {
    let names: Vec<&str> = Format::all().map(Format::name).collect();
    names.join(", ")
}

impl Default for Format {
    /// JSON Lines.
    fn default() -> Self {
        const FIRST: &Definition = &FORMATS[0];
        Format(FIRST)
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Format {}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseFormatError(String);

impl fmt::Display for ParseFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown format `{}` ({})", self.0, names())
    }
}

impl std::error::Error for ParseFormatError {}

impl FromStr for Format {
    type Err = ParseFormatError;

    /// Takes names and extensions: `hdf5` and `h5`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Format::all()
            .find(|format| format.name() == text)
            .or_else(|| Format::of_extension(text))
            .ok_or_else(|| ParseFormatError(text.to_owned()))
    }
}
