//! Text on its way to a file, compressed or not.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use flate2::write::GzEncoder;

use super::destination::Destination;

/// Zstandard's level: its own default.
const ZSTD_LEVEL: i32 = 3;

/// How a text output is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, without name and time: the same rows give the same bytes.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

    /// The name that users know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// The last extension of files that are compressed so.
    pub const fn extension(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some("gz"),
            Compression::Zstd => Some("zst"),
        }
    }

    /// What the last extension of a name says, and the name without it.
    pub fn split(path: &Path) -> (&Path, Self) {
        let last = path.extension().and_then(OsStr::to_str);
        let last = last.map(str::to_ascii_lowercase);
        let found = Compression::ALL.into_iter().find(|compression| {
            compression.extension().is_some() && compression.extension() == last.as_deref()
        });
        match (found, path.file_stem()) {
            (Some(compression), Some(stem)) => (Path::new(stem), compression),
            _ => (path, Compression::None),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseCompressionError(String);

impl fmt::Display for ParseCompressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown compression `{}` (none, gzip, zstd)", self.0)
    }
}

impl std::error::Error for ParseCompressionError {}

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Compression::ALL
            .into_iter()
            .find(|compression| compression.name() == text)
            .ok_or_else(|| ParseCompressionError(text.to_owned()))
    }
}

/// A destination behind a compression.
pub enum Compressed {
    /// As it is.
    Plain(Destination),
    /// Through gzip.
    Gzip(Box<GzEncoder<Destination>>),
    /// Through Zstandard.
    Zstd(Box<zstd::Encoder<'static, Destination>>),
}

impl Compressed {
    /// Writes to `out`.
    ///
    /// # Errors
    ///
    /// When the compression can not begin.
    pub fn new(out: Destination, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Compressed::Plain(out),
            Compression::Gzip => {
                let level = flate2::Compression::default();
                Compressed::Gzip(Box::new(GzEncoder::new(out, level)))
            }
            Compression::Zstd => Compressed::Zstd(Box::new(zstd::Encoder::new(out, ZSTD_LEVEL)?)),
        })
    }

    /// The destination itself, for formats that are compressed inside.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when it is behind a compression.
    pub(super) fn plain(self) -> io::Result<Destination> {
        match self {
            Compressed::Plain(out) => Ok(out),
            Compressed::Gzip(_) | Compressed::Zstd(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Writes what is left and gives a file its name.
    ///
    /// # Errors
    ///
    /// When the rest can not be written.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Compressed::Plain(out) => out,
            Compressed::Gzip(out) => out.finish()?,
            Compressed::Zstd(out) => out.finish()?,
        }
        .finish()
    }
}

impl Write for Compressed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressed::Plain(out) => out.write(bytes),
            Compressed::Gzip(out) => out.write(bytes),
            Compressed::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Compressed::Plain(out) => out.flush(),
            Compressed::Gzip(out) => out.flush(),
            Compressed::Zstd(out) => out.flush(),
        }
    }
}
