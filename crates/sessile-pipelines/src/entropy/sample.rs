//! What is to be computed: inputs that belong together and the files for their results.

use std::path::{Path, PathBuf};

use sessile_seq::inputs::Format;

use crate::error::PipelineError;
use crate::output::FileFormat;
use crate::sample_sheet::{self, NameOf, SheetSample};

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
    pub outputs: Vec<(PathBuf, FileFormat)>,
    /// A file for the list of records without a result.
    pub failures: Option<PathBuf>,
}

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
    formats: &[FileFormat],
) -> Result<Vec<Sample>, PipelineError> {
    let samples = sample_sheet::read(sheet, NameOf::File, "a FASTA or GenBank file")?;
    let sample = |sample: SheetSample| {
        let SheetSample { name, files } = sample;
        let file = |extension: &str| output.join(format!("{name}.{extension}"));
        let is_genbank = |path: &PathBuf| Format::GenBank.matches_name(&path.to_string_lossy());
        let (genbank, fasta) = files.into_iter().partition(is_genbank);
        let outputs = formats
            .iter()
            .map(|&format| (file(&format.extension()), format));
        Sample {
            fasta,
            genbank,
            outputs: outputs.collect(),
            failures: Some(file("failures.jsonl")),
            name,
        }
    };
    Ok(samples.into_iter().map(sample).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_their_kinds_of_files_and_their_outputs() {
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
        let error = read("../a,x\n").unwrap_err();
        assert!(error.to_string().contains("that of a file"), "{error}");
    }
}
