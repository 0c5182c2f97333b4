//! What a run is to predict: inputs and where their results go.

use std::path::{Path, PathBuf};

use crate::error::PipelineError;
use crate::sample_sheet::{self, NameOf, SheetSample};

/// Inputs that belong together and the folder for their results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its name, for messages.
    pub name: String,
    /// FASTA files, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// The folder of its results.
    pub output: PathBuf,
    /// A file for the list of frames and records without a result, beside that in the folder.
    pub failures: Option<PathBuf>,
}

/// Reads a sample sheet: lines of `sample,path` (or separated by tabs), with a header or without.
/// Lines of one sample belong together. A path is taken from the folder of the sheet; results of a
/// sample go to a folder of its name in `output`.
///
/// # Errors
///
/// `Input` when it can not be read, `Usage` for a line that is none, with its number.
pub fn read_sample_sheet(sheet: &Path, output: &Path) -> Result<Vec<Sample>, PipelineError> {
    let samples = sample_sheet::read(sheet, NameOf::Folder, "a FASTA file")?;
    let sample = |sample: SheetSample| Sample {
        output: output.join(&sample.name),
        name: sample.name,
        inputs: sample.files,
        failures: None,
    };
    Ok(samples.into_iter().map(sample).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_their_inputs_and_a_folder_for_their_results() {
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
    }
}
