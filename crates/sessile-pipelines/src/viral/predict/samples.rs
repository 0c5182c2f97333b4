//! What a run is to predict: inputs and where their results go.

use std::path::{Path, PathBuf};

use crate::error::{PipelineError, PipelineErrorKind};

/// Inputs that belong together and the folder for their results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its name, for messages.
    pub name: String,
    /// FASTA files, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// The folder of its results.
    pub output: PathBuf,
}

/// Sheets are a line for each file.
const MAX_SHEET_BYTES: u64 = 64 << 20;

/// Reads a sample sheet: lines of `sample,path` (or separated by tabs), with a header or without.
/// Lines of one sample belong together. A path is taken from the folder of the sheet; results of a
/// sample go to a folder of its name in `output`.
///
/// # Errors
///
/// `Input` when it can not be read, `Usage` for a line that is none, with its number.
pub fn read_sample_sheet(sheet: &Path, output: &Path) -> Result<Vec<Sample>, PipelineError> {
    let place = sheet.display();
    let unreadable = |what: String| {
        PipelineError::new(
            PipelineErrorKind::Input,
            format!("can not read {place}: {what}"),
        )
    };
    let size = std::fs::metadata(sheet)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if size > MAX_SHEET_BYTES {
        return Err(unreadable(format!(
            "{size} bytes are too many for a sample sheet"
        )));
    }
    let text = std::fs::read_to_string(sheet).map_err(|error| unreadable(error.to_string()))?;
    let folder = sheet.parent().unwrap_or(Path::new(""));
    let mut samples: Vec<Sample> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| {
            let message = format!("{place}, line {}: {what}", number + 1);
            PipelineError::new(PipelineErrorKind::Usage, message)
                .with_hint("a line is a sample's name and the path of a FASTA file: `name,path`")
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
            return Err(wrong("the name can not be that of a folder"));
        }
        let path = folder.join(path);
        match samples.iter_mut().find(|sample| sample.name == name) {
            Some(sample) => sample.inputs.push(path),
            None => {
                samples.push(Sample {
                    name: name.to_owned(),
                    inputs: vec![path],
                    output: output.join(name),
                });
            }
        }
    }
    if samples.is_empty() {
        let message = format!("{place} names no sample");
        return Err(PipelineError::new(PipelineErrorKind::Usage, message));
    }
    Ok(samples)
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
            read_sample_sheet(&sheet, Path::new("out"))
        };
        let samples = read("sample,path\n# two\nb,x.fa\na\t/y.fa\n\nb,z.fa\n").unwrap();
        assert_eq!(samples.len(), 2);
        assert_eq!(
            samples[0].inputs,
            [folder.path().join("x.fa"), folder.path().join("z.fa")]
        );
        assert_eq!(samples[0].output, Path::new("out/b"));
        assert_eq!(samples[1].inputs, [Path::new("/y.fa")]);
        for (text, words) in [
            ("a,x\nb\n", "line 2: there is no comma"),
            ("a,\n", "line 1: the name or the path"),
            ("../a,x\n", "line 1: the name can not"),
            ("", "names no sample"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
