//! Formats of results.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use super::destination::{Destination, OutputPlace};
use super::hdf5::Hdf5;
use super::jsonl::JsonLines;
use super::npy::Npy;
use super::npz::Npz;
use super::parquet::Parquet;
use super::safetensors::Safetensors;
use super::{ColumnKind, RowWriter, Schema};
use crate::error::{PipelineError, PipelineErrorKind};

/// A format of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON Lines: an object per record.
    #[default]
    Jsonl,
    /// Apache Parquet, compressed with Zstandard: a row per record.
    Parquet,
    /// HDF5: a group per column, in it a dataset per record.
    Hdf5,
    /// safetensors: a tensor per column and record.
    Safetensors,
    /// One NumPy array, a row per record; the other columns go into a table beside it.
    Npy,
    /// An archive of NumPy arrays, one per column.
    Npz,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 6] = [
        Format::Jsonl,
        Format::Parquet,
        Format::Hdf5,
        Format::Safetensors,
        Format::Npy,
        Format::Npz,
    ];

    /// The name that users know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Parquet => "parquet",
            Format::Hdf5 => "hdf5",
            Format::Safetensors => "safetensors",
            Format::Npy => "npy",
            Format::Npz => "npz",
        }
    }

    /// The extensions of files in this format.
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Jsonl => &["jsonl", "ndjson"],
            Format::Parquet => &["parquet", "pq"],
            Format::Hdf5 => &["h5", "hdf5"],
            Format::Safetensors => &["safetensors"],
            Format::Npy => &["npy"],
            Format::Npz => &["npz"],
        }
    }

    /// The format that a file's extension names; JSON Lines for names without one and for
    /// standard output.
    ///
    /// # Errors
    ///
    /// `Usage` for an extension that is none of a format.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::path::Path;
    /// use sessile_pipelines::output::Format;
    /// assert_eq!(Format::of(Path::new("out/vectors.h5"))?, Format::Hdf5);
    /// assert!(Format::of(Path::new("vectors.csv")).is_err());
    /// # Ok::<(), sessile_pipelines::PipelineError>(())
    /// ```
    pub fn of(path: &Path) -> Result<Self, PipelineError> {
        let Some(extension) = extension(path) else {
            return Ok(Format::default());
        };
        let of_extension = |format: &Format| format.extensions().contains(&extension.as_str());
        let found = Format::ALL.into_iter().find(of_extension);
        found.ok_or_else(|| {
            unsupported(path, &extension, &format!("use {}", names()))
                .with_hint("name the file so, or choose with --format")
        })
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
        if !is_file && matches!(self, Format::Hdf5 | Format::Npy) {
            return refused(
                &format!("{self} can not be written as a stream"),
                "name a file, or use jsonl or parquet",
            );
        }
        let arrays = schema.columns.iter().filter(|column| column.is_array());
        if matches!(self, Format::Hdf5 | Format::Safetensors) && arrays.count() == 0 {
            return refused(
                &format!("{self} holds arrays, and these results have none"),
                "use jsonl or parquet",
            );
        }
        if self == Format::Npy && Npy::array(schema).is_none() {
            return refused(
                "npy holds one array of vectors of one length",
                "ask for one of mean, mean_all and cls, or use npz",
            );
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
        schema: &Schema,
    ) -> io::Result<Box<dyn RowWriter>> {
        Ok(match self {
            Format::Jsonl => Box::new(JsonLines::new(destination, schema)),
            Format::Parquet => Box::new(Parquet::new(destination, schema)?),
            Format::Hdf5 => Box::new(Hdf5::new(destination, schema)?),
            Format::Safetensors => Box::new(Safetensors::new(destination, schema)?),
            Format::Npy => Box::new(Npy::new(destination, schema)?),
            Format::Npz => Box::new(Npz::new(destination, schema)?),
        })
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

/// The endings of JSON Lines: what jobs write that have no other format.
pub const JSON_LINES: &[&str] = Format::Jsonl.extensions();

/// What follows the last dot of a file's name, in lower case.
fn extension(path: &Path) -> Option<String> {
    if OutputPlace::of(path) != OutputPlace::File {
        return None;
    }
    let extension = path.extension()?.to_string_lossy();
    Some(extension.to_lowercase())
}

fn unsupported(path: &Path, extension: &str, what: &str) -> PipelineError {
    let json = match extension {
        "json" => "; rows are written as JSON Lines, not as one JSON document",
        _ => "",
    };
    PipelineError::new(
        PipelineErrorKind::Usage,
        format!(
            "{}: unsupported output format `.{extension}` ({what}{json})",
            path.display()
        ),
    )
}

fn names() -> String {
    Format::ALL.map(Format::name).join(", ")
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

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Format::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| ParseFormatError(text.to_owned()))
    }
}
