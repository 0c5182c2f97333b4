//! Sample sheets: which files are of which sample.
//!
//! A line is `sample,path` (or separated by a tab); a header, empty lines and lines that begin with
//! `#` are passed over. Lines of one name belong together, in the order of its first line.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use sessile_seq::inputs::Input;

use crate::error::{PipelineError, PipelineErrorKind};

/// Sheets are a line for each file.
const MAX_BYTES: u64 = 64 << 20;

/// What the results of a sample are, which get its name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NameOf {
    File,
    Folder,
}

/// A sample and its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SheetSample {
    pub(crate) name: String,
    pub(crate) files: Vec<PathBuf>,
}

/// Reads a sheet; paths are taken from its folder. `files` says what files they are, for a hint.
///
/// # Errors
///
/// `Input` when it can not be read, `Usage` for a line that is none, with its number, or when there
/// is no sample.
pub(crate) fn read(
    sheet: &Path,
    name_of: NameOf,
    files: &str,
) -> Result<Vec<SheetSample>, PipelineError> {
    let place = sheet.display();
    let text = text(sheet).map_err(|problem| {
        let message = format!("can not read {place}: {problem}");
        PipelineError::new(PipelineErrorKind::Input, message)
    })?;
    let folder = sheet.parent().unwrap_or(Path::new(""));
    let mut samples: Vec<SheetSample> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| {
            let message = format!("{place}, line {}: {what}", number + 1);
            PipelineError::new(PipelineErrorKind::Usage, message).with_hint(format!(
                "a line is a sample's name and the path of {files}: `name,path`"
            ))
        };
        let Some((name, path)) = line.split_once([',', '\t']) else {
            return Err(wrong("there is no comma or tab"));
        };
        let (name, path) = (name.trim(), path.trim());
        if samples.is_empty() && name == "sample" {
            continue;
        }
        if name.is_empty() || path.is_empty() {
            return Err(wrong("the name or the path is missing"));
        }
        if name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Err(wrong(match name_of {
                NameOf::File => "the name can not be that of a file",
                NameOf::Folder => "the name can not be that of a folder",
            }));
        }
        let index = *known.entry(name).or_insert(samples.len());
        if index == samples.len() {
            samples.push(SheetSample {
                name: name.to_owned(),
                files: Vec::new(),
            });
        }
        samples[index].files.push(folder.join(path));
    }
    if samples.is_empty() {
        let message = format!("{place} names no sample");
        return Err(PipelineError::new(PipelineErrorKind::Usage, message));
    }
    Ok(samples)
}

fn text(sheet: &Path) -> Result<String, String> {
    let source = Input::File(sheet.to_owned()).open();
    let source = source.map_err(|error| error.message().to_owned())?;
    let mut text = String::new();
    match source.take(MAX_BYTES + 1).read_to_string(&mut text) {
        Ok(bytes) if bytes as u64 > MAX_BYTES => {
            let most = MAX_BYTES >> 20;
            Err(format!(
                "more than {most} MiB are too many for a sample sheet"
            ))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_are_read_and_faults_have_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let sheet = folder.path().join("s.csv");
        let read = |text: &str| {
            std::fs::write(&sheet, text).unwrap();
            read(&sheet, NameOf::Folder, "a FASTA file")
        };
        let samples = read("sample,path\n# two\nb,x.fa\na\t/y.fa\n\nb,z.fa\n").unwrap();
        let sample = |name: &str, files: Vec<PathBuf>| SheetSample {
            name: name.to_owned(),
            files,
        };
        let here = |name: &str| folder.path().join(name);
        assert_eq!(
            samples,
            [
                sample("b", vec![here("x.fa"), here("z.fa")]),
                sample("a", vec![PathBuf::from("/y.fa")]),
            ]
        );
        // As spreadsheets save it.
        let windows = read("\u{feff}sample,path\r\nb,x.fa\r\n").unwrap();
        assert_eq!(windows, [sample("b", vec![here("x.fa")])]);
        let mac = read("b,x.fa\ra,/y.fa\r").unwrap();
        assert_eq!(mac.len(), 2);
        std::fs::write(&sheet, b"\xff\xfeb\0,\0x\0\n\0").unwrap();
        let error = super::read(&sheet, NameOf::Folder, "a FASTA file").unwrap_err();
        assert!(error.to_string().contains("UTF-16"), "{error}");
        for (text, words) in [
            ("a,x\nb\n", "line 2: there is no comma"),
            ("a,\n", "line 1: the name or the path"),
            ("../a,x\n", "line 1: the name can not be that of a folder"),
            ("", "names no sample"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
