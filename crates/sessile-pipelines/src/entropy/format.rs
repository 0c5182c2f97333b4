//! The forms in which records are written: JSON, JSON Lines, or a table with a row per ORF.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use super::document::{Layout, has_start, has_stop};
use super::genome::Genome;
use crate::error::{PipelineError, PipelineErrorKind};

/// What a file of records looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordForm {
    /// A list of records, indented by two blanks.
    Json,
    /// A record a line.
    JsonLines,
    /// A row for each ORF, fields separated by tabs, with a header.
    Tsv,
}

/// A form, compressed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFormat {
    /// What it looks like inside.
    pub form: RecordForm,
    /// Whether it is compressed with gzip.
    pub gzip: bool,
}

/// The columns of the table.
const COLUMNS: [&str; 17] = [
    "input_id",
    "orf_id",
    "start",
    "end",
    "strand",
    "frame",
    "dna_length",
    "protein_length",
    "table_id",
    "has_start_codon",
    "has_stop_codon",
    "in_genbank",
    "dna_entropy",
    "protein_entropy",
    "three_di_entropy",
    "twelve_state_entropy",
    "three_di_twelve_state_mutual_information",
];

impl RecordFormat {
    /// The format that the name of a file says, JSON when it says nothing.
    ///
    /// # Errors
    ///
    /// `Usage` for an extension that says something else.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::path::Path;
    /// use sessile_pipelines::entropy::{RecordForm, RecordFormat};
    ///
    /// let format = RecordFormat::of(Path::new("phages.jsonl.gz"))?;
    /// assert_eq!((format.form, format.gzip), (RecordForm::JsonLines, true));
    /// assert!(RecordFormat::of(Path::new("phages.xlsx")).is_err());
    /// # Ok::<(), sessile_pipelines::PipelineError>(())
    /// ```
    pub fn of(path: &Path) -> Result<Self, PipelineError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        let form = match plain.rsplit_once('.') {
            None => RecordForm::Json,
            Some((_, extension)) => {
                extension
                    .parse::<RecordFormat>()
                    .map_err(|error| {
                        PipelineError::new(
                            PipelineErrorKind::Usage,
                            format!("{}: {error}", path.display()),
                        )
                        .with_hint("name the format with --format")
                    })?
                    .form
            }
        };
        Ok(RecordFormat {
            form,
            gzip: name.ends_with(".gz"),
        })
    }

    /// The extension of files of this format, without the first dot.
    pub fn extension(self) -> &'static str {
        match (self.form, self.gzip) {
            (RecordForm::Json, false) => "json",
            (RecordForm::Json, true) => "json.gz",
            (RecordForm::JsonLines, false) => "jsonl",
            (RecordForm::JsonLines, true) => "jsonl.gz",
            (RecordForm::Tsv, false) => "tsv",
            (RecordForm::Tsv, true) => "tsv.gz",
        }
    }
}

impl fmt::Display for RecordFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// Not a format of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRecordFormatError(String);

impl fmt::Display for ParseRecordFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown format `{}` (json, jsonl, tsv, each with .gz if wanted)",
            self.0
        )
    }
}

impl std::error::Error for ParseRecordFormatError {}

impl FromStr for RecordFormat {
    type Err = ParseRecordFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim();
        let plain = name.strip_suffix(".gz");
        let form = match plain.unwrap_or(name) {
            "json" => RecordForm::Json,
            "jsonl" | "ndjson" => RecordForm::JsonLines,
            "tsv" => RecordForm::Tsv,
            _ => return Err(ParseRecordFormatError(text.to_owned())),
        };
        Ok(RecordFormat {
            form,
            gzip: plain.is_some(),
        })
    }
}

impl RecordForm {
    /// What stands before the first record.
    pub(super) fn header(self) -> String {
        match self {
            RecordForm::Json => "[".to_owned(),
            RecordForm::JsonLines => String::new(),
            RecordForm::Tsv => format!("{}\n", COLUMNS.join("\t")),
        }
    }

    /// What stands before a record.
    pub(super) fn separator(self, is_first: bool) -> &'static str {
        match self {
            RecordForm::Json if is_first => "\n",
            RecordForm::Json => ",\n",
            RecordForm::JsonLines | RecordForm::Tsv => "",
        }
    }

    /// What stands behind the last record.
    pub(super) fn footer(self, is_empty: bool) -> &'static str {
        match self {
            RecordForm::Json if is_empty => "]\n",
            RecordForm::Json => "\n]\n",
            RecordForm::JsonLines | RecordForm::Tsv => "",
        }
    }

    /// A record in this form, without what stands around it.
    pub(super) fn text(self, genome: &Genome, layout: &Layout) -> serde_json::Result<Vec<u8>> {
        match self {
            RecordForm::Json => indented(genome, layout),
            RecordForm::JsonLines => {
                let mut line = serde_json::to_vec(&layout.document(genome))?;
                line.push(b'\n');
                Ok(line)
            }
            RecordForm::Tsv => Ok(rows(genome, layout)),
        }
    }
}

/// As it stands in a list: the list of one record, without the list's brackets.
fn indented(genome: &Genome, layout: &Layout) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(&[layout.document(genome)])?;
    text.truncate(text.len().saturating_sub("\n]".len()));
    text.drain(..text.len().min("[\n".len()));
    Ok(text)
}

fn rows(genome: &Genome, layout: &Layout) -> Vec<u8> {
    let mut text = Vec::new();
    for orf in genome.orfs() {
        let entropies = layout.entropies(&orf);
        let bits = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        // Writing to memory does not fail.
        let _ = writeln!(
            text,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            genome.id(),
            orf.id(),
            orf.start(),
            orf.end(),
            orf.frame().strand(),
            orf.frame().number(),
            orf.nucleotides().len(),
            orf.residues().len(),
            genome.code().id(),
            has_start(orf.protein()),
            has_stop(orf.protein()),
            // Without an annotation nobody knows.
            orf.annotated().map_or("", |is_annotated| if is_annotated {
                "true"
            } else {
                "false"
            }),
            bits(entropies.dna),
            bits(entropies.protein),
            bits(entropies.three_di),
            bits(entropies.twelve_state),
            bits(entropies.shared),
        );
    }
    text
}
