//! What is to be computed: inputs that belong together and the files for their results.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sessile_seq::inputs::Format;

use super::format::RecordFormat;
use crate::error::{PipelineError, PipelineErrorKind};

/// Inputs that belong together and where their results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its name, for messages.
    pub name: String,
    /// FASTA files, folders, patterns, or `-`: the sequences.
    pub fasta: Vec<PathBuf>,
    /// GenBank files: the sequences, or only their annotation when there is FASTA.
    pub genbank: Vec<PathBuf>,
    /// The files to write, or `-`.
    pub outputs: Vec<(PathBuf, RecordFormat)>,
    /// A file for the list of records without a result.
    pub failures: Option<PathBuf>,
}

/// Sheets are a line for each file.
const MAX_SHEET_BYTES: u64 = 64 << 20;

/// Reads a sample sheet: lines of `sample,path` (or separated by tabs), with a header or without.
/// Lines of one sample belong together; a file whose name ends like GenBank's is GenBank, any other
/// FASTA. A path is taken from the folder of the sheet. The results of a sample are
/// `OUTPUT/SAMPLE.FORMAT`, and `OUTPUT/SAMPLE.failures.jsonl` lists what failed.
///
/// # Errors
///
/// `Input` when it can not be read, `Usage` for a line that is none, with its number.
pub fn read_sample_sheet(
    sheet: &Path,
    output: &Path,
    formats: &[RecordFormat],
) -> Result<Vec<Sample>, PipelineError> {
    let place = sheet.display();
    let unreadable = |what: String| {
        let message = format!("can not read {place}: {what}");
        PipelineError::new(PipelineErrorKind::Input, message)
    };
    let metadata = std::fs::metadata(sheet).map_err(|error| unreadable(error.to_string()))?;
    if metadata.len() > MAX_SHEET_BYTES {
        let bytes = metadata.len();
        return Err(unreadable(format!(
            "{bytes} bytes are too many for a sample sheet"
        )));
    }
    let text = std::fs::read_to_string(sheet).map_err(|error| unreadable(error.to_string()))?;
    let folder = sheet.parent().unwrap_or(Path::new(""));
    let mut samples: Vec<Sample> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| {
            let message = format!("{place}, line {}: {what}", number + 1);
            PipelineError::new(PipelineErrorKind::Usage, message).with_hint(
                "a line is a sample's name and the path of a FASTA or GenBank file: `name,path`",
            )
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
            return Err(wrong("the name can not be that of a file"));
        }
        let is_genbank = Format::GenBank.matches_name(path);
        let path = folder.join(path);
        let index = *known.entry(name.to_owned()).or_insert_with(|| {
            let file = |extension: &str| output.join(format!("{name}.{extension}"));
            let outputs = formats
                .iter()
                .map(|&format| (file(format.extension()), format));
            samples.push(Sample {
                name: name.to_owned(),
                fasta: Vec::new(),
                genbank: Vec::new(),
                outputs: outputs.collect(),
                failures: Some(file("failures.jsonl")),
            });
            samples.len() - 1
        });
        let sample = &mut samples[index];
        match is_genbank {
            true => sample.genbank.push(path),
            false => sample.fasta.push(path),
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
        let formats = ["json".parse().unwrap(), "tsv.gz".parse().unwrap()];
        let read = |text: &str| {
            std::fs::write(&sheet, text).unwrap();
            read_sample_sheet(&sheet, Path::new("out"), &formats)
        };
        let samples = read("sample,path\n# two\nb,x.fa\na\t/y.gbk.gz\n\nb,z.gbff\n").unwrap();
        assert_eq!(samples.len(), 2);
        assert_eq!(samples[0].fasta, [folder.path().join("x.fa")]);
        assert_eq!(samples[0].genbank, [folder.path().join("z.gbff")]);
        assert_eq!(samples[1].genbank, [Path::new("/y.gbk.gz")]);
        let outputs: Vec<_> = samples[1].outputs.iter().map(|(path, _)| path).collect();
        assert_eq!(
            outputs,
            [Path::new("out/a.json"), Path::new("out/a.tsv.gz")]
        );
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
