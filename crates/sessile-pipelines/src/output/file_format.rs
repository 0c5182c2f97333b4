//! What a file's name says of its content: a format, and how it is compressed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::format::{extension, names, unsupported};
use super::{Compression, Format, OutputPlace, ParseFormatError};
use crate::error::PipelineError;

/// A format, compressed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFormat {
    /// What it looks like inside.
    pub format: Format,
    /// How it is compressed.
    pub compression: Compression,
}

impl FileFormat {
    /// What a file's name says; `default` for names without an extension and for streams.
    ///
    /// # Errors
    ///
    /// `Usage` for an extension that is none of a format.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::path::Path;
    /// use sessile_pipelines::output::{Compression, FileFormat, Format};
    ///
    /// let of = |name: &str| FileFormat::of(Path::new(name), Format::default());
    /// assert_eq!(of("out/vectors.h5")?.format.name(), "hdf5");
    /// let table = of("rows.tsv.gz")?;
    /// assert_eq!((table.format.name(), table.compression), ("tsv", Compression::Gzip));
    /// assert!(of("vectors.xlsx").is_err());
    /// # Ok::<(), sessile_pipelines::PipelineError>(())
    /// ```
    pub fn of(path: &Path, default: Format) -> Result<Self, PipelineError> {
        let (name, compression) = match OutputPlace::of(path) {
            OutputPlace::File => Compression::split(path),
            _ => (path, Compression::None),
        };
        let Some(extension) = extension(name) else {
            return Ok(FileFormat {
                format: default,
                compression,
            });
        };
        let format = Format::of_extension(&extension).ok_or_else(|| {
            unsupported(path, &extension, &format!("use {}", names()))
                .with_hint("give the file one of these extensions, or choose with --format")
        })?;
        Ok(FileFormat {
            format,
            compression,
        })
    }

    /// The extension of files of this format, without the first dot.
    pub fn extension(self) -> String {
        let format = self.format.extensions().first().copied();
        let parts = format.into_iter().chain(self.compression.extension());
        parts.collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.extension())
    }
}

impl FromStr for FileFormat {
    type Err = ParseFormatError;

    /// Takes the names of formats and their extensions, with that of a compression or without.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_pipelines::output::FileFormat;
    ///
    /// assert_eq!("tsv.gz".parse::<FileFormat>()?.extension(), "tsv.gz");
    /// assert_eq!("hdf5".parse::<FileFormat>()?.extension(), "h5");
    /// # Ok::<(), sessile_pipelines::output::ParseFormatError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, compression) = Compression::split(Path::new(text.trim()));
        Ok(FileFormat {
            format: name.to_string_lossy().parse()?,
            compression,
        })
    }
}
