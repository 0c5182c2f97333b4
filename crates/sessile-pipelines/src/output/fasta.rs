//! FASTA: the sequences of a result, here the structure states of proteins, as Foldseek reads them.

use std::io::{self, Write};

use super::compressed::Compressed;
use super::format::{Definition, Refusal};
use super::{Cell, Finished, Row, RowWriter, Schema};

/// FASTA.
pub(super) const FORMAT: Definition = Definition {
    name: "fasta",
    extensions: &["fasta", "fa"],
    is_text: true,
    needs_file: false,
    beside: None,
    refuses: refusal,
    open: |out, schema| {
        let column = column(schema).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Box::new(Fasta { out, column }))
    },
};

/// The column of the sequences.
const SEQUENCES: &str = "three_di";

fn column(schema: &Schema) -> Option<usize> {
    let mut columns = schema.columns.iter();
    columns.position(|column| column.name == SEQUENCES)
}

fn refusal(schema: &Schema) -> Option<Refusal> {
    column(schema).is_none().then(|| Refusal {
        reason: "fasta holds sequences, and these results have none".to_owned(),
        hint: "use jsonl, json, tsv, csv or parquet",
    })
}

/// Writes a header and a line of states for each row.
struct Fasta {
    out: Compressed,
    column: usize,
}

impl RowWriter for Fasta {
    fn write(&mut self, row: &Row) -> io::Result<()> {
        match row.cells.get(self.column) {
            Some(Cell::Text(states)) => writeln!(self.out, ">{}\n{states}", row.id),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn finish(self: Box<Self>) -> io::Result<Finished> {
        self.out.finish()?;
        Ok(Finished::default())
    }
}
