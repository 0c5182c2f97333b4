//! From what a user names (files, patterns, folders, `-`) to readable sources, in a stable order.

mod byte_count;
mod census;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::compression::{self, BoxRead};
use crate::error::{Error, ErrorKind, Result};
use crate::text::Text;

pub use byte_count::ByteCount;
pub use census::{Census, Repeated};

/// The name of standard input in messages.
const STDIN_NAME: &str = "standard input";

/// What a folder is searched for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Format {
    /// `.fa .fasta .fas .fna .ffn .faa .frn .mpfa .fsa`
    Fasta,
    /// `.gb .gbk .gbff .genbank`
    GenBank,
    /// `.json .jsonl .ndjson`: results that are read back.
    Json,
}

impl Format {
    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Fasta => &[
                "fa", "fasta", "fas", "fna", "ffn", "faa", "frn", "mpfa", "fsa",
            ],
            Self::GenBank => &["gb", "gbk", "gbff", "genbank"],
            Self::Json => &["json", "jsonl", "ndjson"],
        }
    }

    /// Whether a file name ends like this format, compressed or not.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::inputs::Format;
    ///
    /// assert!(Format::Fasta.matches_name("reads.FNA.gz"));
    /// assert!(!Format::Fasta.matches_name("notes.txt"));
    /// ```
    pub fn matches_name(self, name: &str) -> bool {
        const PACKED: [&str; 7] = [".gz", ".bgz", ".bz2", ".xz", ".zst", ".zstd", ".z"];
        let name = name.to_ascii_lowercase();
        let name = PACKED
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(&name);
        name.rsplit_once('.')
            .is_some_and(|(_, extension)| self.extensions().contains(&extension))
    }
}

/// One source to read.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Input {
    /// Standard input, named `-`.
    Stdin,
    /// A file, or anything else that can be opened and read, such as a pipe.
    File(PathBuf),
}

impl Input {
    /// The name for messages: the path as the user wrote it.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => STDIN_NAME.to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Opens the source as text: decompressed when its content says so, without a byte order mark,
    /// and with a line feed for every line end (see [`Text`]).
    ///
    /// # Errors
    ///
    /// When it does not exist, is a folder, or cannot be opened or read.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::inputs::Input;
    ///
    /// let error = Input::File("no-such-file.fa".into()).open().map(|_| ()).unwrap_err();
    /// assert_eq!(error.to_string(), "no-such-file.fa: cannot open: no such file");
    /// ```
    pub fn open(&self) -> Result<BoxRead> {
        self.open_counted(&ByteCount::default())
    }

    /// The same; `bytes` counts what is read, as it is stored.
    ///
    /// # Errors
    ///
    /// As [`Input::open`].
    pub fn open_counted(&self, bytes: &ByteCount) -> Result<BoxRead> {
        let opened = match self {
            Self::Stdin => compression::decompress(bytes.counted(io::stdin())),
            Self::File(path) => {
                open_file(path).and_then(|file| compression::decompress(bytes.counted(file)))
            }
        };
        match opened {
            Ok((plain, _)) => Ok(Box::new(Text::new(plain))),
            Err(error) => Err(Error::io("cannot open", error).in_file(&self.name())),
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // A folder can be opened on Unix; only reading it fails, with words that help nobody.
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok(file)
}

/// Finds the sources that `names` stand for, in the order given.
///
/// - `-` is standard input; it can be named once.
/// - A path that exists is that file, even when it holds `*`, `?` or `[`.
/// - A folder stands for the files in it (not below it) whose names end like `format`.
/// - Anything else with `*`, `?` or `[` is a pattern as in a shell; `**` reaches into sub-folders.
///
/// The files of one folder or pattern come sorted by path, byte by byte, on every system and in
/// every locale. A source that was found before is not read again.
///
/// # Errors
///
/// - [`ErrorKind::NotFound`]: no such file, or a pattern or folder without a file.
/// - [`ErrorKind::InvalidArgument`]: a pattern that cannot be understood, or `-` named twice.
/// - [`ErrorKind::Io`]: a folder that cannot be listed.
///
/// # Examples
///
/// ```
/// use sessile_seq::inputs::{self, Format, Input};
///
/// assert_eq!(inputs::expand(["-"], Format::Fasta)?, [Input::Stdin]);
/// assert!(inputs::expand(["no-such-file.fa"], Format::Fasta).is_err());
/// # Ok::<(), sessile_seq::Error>(())
/// ```
pub fn expand<I, S>(names: I, format: Format) -> Result<Vec<Input>>
where
    I: IntoIterator<Item = S>,
    S: AsRef<Path>,
{
    let mut inputs = Vec::new();
    let mut known = HashSet::new();
    for name in names {
        let path = name.as_ref();
        if path == Path::new("-") {
            if !known.insert(Input::Stdin) {
                let message = "standard input ('-') is named twice";
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            inputs.push(Input::Stdin);
            continue;
        }
        for file in files_of(path, format)? {
            let input = Input::File(file);
            if known.insert(input.clone()) {
                inputs.push(input);
            }
        }
    }
    Ok(inputs)
}

fn files_of(path: &Path, format: Format) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        return files_in_folder(path, format);
    }
    if path.exists() {
        return Ok(vec![path.to_owned()]);
    }
    match path.to_str() {
        Some(pattern) if pattern.contains(['*', '?', '[']) => files_matching(pattern),
        _ => Err(not_found(path, "no such file")),
    }
}

fn files_in_folder(folder: &Path, format: Format) -> Result<Vec<PathBuf>> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in folder.read_dir()? {
            let entry = entry?;
            let named_so = format.matches_name(&entry.file_name().to_string_lossy());
            if named_so && entry.path().is_file() {
                files.push(entry.path());
            }
        }
        Ok(files)
    };
    let mut files = list().map_err(|error| {
        Error::io("cannot list the folder", error).in_file(&folder.display().to_string())
    })?;
    if files.is_empty() {
        let hint = format!("looked for .{}", format.extensions().join(", ."));
        return Err(not_found(folder, "no file of this kind in this folder").hinting(hint));
    }
    files.sort();
    Ok(files)
}

fn files_matching(pattern: &str) -> Result<Vec<PathBuf>> {
    let paths = glob::glob(pattern).map_err(|error| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("not a file pattern: {error}"),
        )
        .in_file(pattern)
    })?;
    // A folder that may not be looked into cannot hold a file that the user means to read.
    let mut files: Vec<_> = paths.flatten().filter(|path| path.is_file()).collect();
    if files.is_empty() {
        return Err(not_found(
            Path::new(pattern),
            "no file matches this pattern",
        ));
    }
    files.sort();
    Ok(files)
}

fn not_found(path: &Path, message: &str) -> Error {
    Error::new(ErrorKind::NotFound, message).in_file(&path.display().to_string())
}
