//! What records become: documents in JSON, or rows with an ORF each, in any format for rows.

use super::document::{Entropies, Layout};
use super::genome::{FoundOrf, Genome};
use crate::output::{Cell, Column, ColumnKind, Format, Presence, Row, Schema};

/// How documents stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// In a list, indented by two blanks.
    List,
    /// One a line.
    Line,
}

/// What is made of every record.
#[derive(Clone, Debug, Default)]
pub(super) struct Forms {
    pub(super) documents: Vec<Document>,
    pub(super) rows: bool,
}

impl Document {
    /// What files of this format hold; none where they hold rows.
    pub(super) fn of(format: Format) -> Option<Self> {
        match format.name() {
            "json" => Some(Document::List),
            "jsonl" => Some(Document::Line),
            _ => None,
        }
    }

    /// What stands before the first record.
    pub(super) fn header(self) -> &'static str {
        match self {
            Document::List => "[",
            Document::Line => "",
        }
    }

    /// What stands before a record.
    pub(super) fn separator(self, is_first: bool) -> &'static str {
        match self {
            Document::List if is_first => "\n",
            Document::List => ",\n",
            Document::Line => "",
        }
    }

    /// What stands behind the last record.
    pub(super) fn footer(self, is_empty: bool) -> &'static str {
        match self {
            Document::List if is_empty => "]\n",
            Document::List => "\n]\n",
            Document::Line => "",
        }
    }

    /// A record, without what stands around it.
    pub(super) fn text(self, genome: &Genome, layout: &Layout) -> serde_json::Result<Vec<u8>> {
        match self {
            Document::List => indented(&layout.document(genome)),
            Document::Line => {
                let mut line = serde_json::to_vec(&layout.document(genome))?;
                line.push(b'\n');
                Ok(line)
            }
        }
    }

    /// The same from its text in a list.
    pub(super) fn of_list(self, text: &[u8]) -> Vec<u8> {
        match self {
            Document::List => text.to_vec(),
            Document::Line => one_line(text),
        }
    }
}

/// As it stands in a list: the list of one record, without the list's brackets.
pub(super) fn indented(record: &impl serde::Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(&[record])?;
    text.truncate(text.len().saturating_sub("\n]".len()));
    text.drain(..text.len().min("[\n".len()));
    Ok(text)
}

/// Indented JSON without its blanks, which stand in strings only.
fn one_line(text: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(text.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for &byte in text {
        if in_string || !matches!(byte, b' ' | b'\n') {
            line.push(byte);
        }
        if byte == b'"' && !is_escaped {
            in_string = !in_string;
        }
        is_escaped = byte == b'\\' && !is_escaped;
    }
    line.push(b'\n');
    line
}

/// The columns of the rows. Without an annotation nobody knows whether an ORF is annotated.
pub(super) fn schema() -> Schema {
    let column = |name: &str, kind| Column::new(name, kind);
    let measured = |name| column(name, ColumnKind::Number).with_presence(Presence::Nullable);
    let columns = vec![
        column("orf_id", ColumnKind::Text),
        column("start", ColumnKind::Integer),
        column("end", ColumnKind::Integer),
        column("strand", ColumnKind::Text),
        column("frame", ColumnKind::Integer),
        column("dna_length", ColumnKind::Integer),
        column("protein_length", ColumnKind::Integer),
        column("table_id", ColumnKind::Integer),
        column("has_start_codon", ColumnKind::Flag),
        column("has_stop_codon", ColumnKind::Flag),
        column("in_genbank", ColumnKind::Flag).with_presence(Presence::Nullable),
        measured("dna_entropy"),
        measured("protein_entropy"),
        measured("three_di_entropy"),
        measured("twelve_state_entropy"),
        measured("three_di_twelve_state_mutual_information"),
    ];
    Schema::new(columns).with_id("input_id")
}

/// The row of an ORF.
pub(super) fn row(orf: FoundOrf<'_>, entropies: &Entropies) -> Row {
    let number = |number: usize| Cell::Integer(number as i64);
    let bits = |value: Option<f64>| value.map_or(Cell::Missing, Cell::Number);
    Row {
        id: orf.genome().id().to_owned(),
        cells: vec![
            Cell::Text(orf.id()),
            number(orf.start()),
            number(orf.end()),
            Cell::Text(orf.frame().strand().to_string()),
            Cell::Integer(orf.frame().number().into()),
            number(orf.nucleotides().len()),
            number(orf.residues().len()),
            Cell::Integer(orf.genome().code().id().into()),
            Cell::Flag(orf.has_start()),
            Cell::Flag(orf.has_stop()),
            orf.annotated().map_or(Cell::Missing, Cell::Flag),
            bits(entropies.dna),
            bits(entropies.protein),
            bits(entropies.three_di),
            bits(entropies.twelve_state),
            bits(entropies.shared),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_list_without_its_blanks() {
        let record = serde_json::json!({
            "a \" b\\": ["x  y", "\\", {}, []],
            "c": { "d": 0.1, "e\n": null },
        });
        let list = indented(&record).unwrap();
        let mut line = serde_json::to_vec(&record).unwrap();
        line.push(b'\n');
        assert_eq!(Document::Line.of_list(&list), line);
    }
}
