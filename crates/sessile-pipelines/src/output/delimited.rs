//! Tables of text, a line per record: fields separated by tabs or commas, under a header.

use std::io;

use sessile_device::HostTensor;

use super::compressed::Compressed;
use super::format::{Definition, Refusal};
use super::{Cell, Column, ColumnKind, Finished, Row, RowWriter, Schema, ShortFloat, json};

/// Fields separated by tabs.
pub(super) const TSV: Definition = Definition {
    name: "tsv",
    extensions: &["tsv"],
    is_text: true,
    needs_file: false,
    beside: None,
    refuses: |schema| refusal("tsv", schema),
    open: |out, schema| Ok(Box::new(Delimited::new(out, schema, b'\t')?)),
};

/// Fields separated by commas.
pub(super) const CSV: Definition = Definition {
    name: "csv",
    extensions: &["csv"],
    refuses: |schema| refusal("csv", schema),
    open: |out, schema| Ok(Box::new(Delimited::new(out, schema, b',')?)),
    ..TSV
};

/// A table cannot have columns whose rows differ in length.
fn refusal(name: &str, schema: &Schema) -> Option<Refusal> {
    let hint = "leave that output out, or use jsonl, parquet, hdf5, safetensors or npz";
    Refusal::of_column(name, schema, |column| column_names(column).is_some(), hint)
}

/// Writes rows as TSV or CSV.
///
/// `id` comes first. A vector of one length is a column per number, `mean_0`, `mean_1`, …; several
/// named numbers are `likelihood.masked_mean`, …. Numbers are the shortest decimals that read back
/// to the same value. Fields are quoted where they must be (RFC 4180).
pub struct Delimited {
    table: csv::Writer<Compressed>,
    fields: Vec<String>,
}

impl Delimited {
    /// Writes to `out`, with `delimiter` between the fields.
    ///
    /// # Errors
    ///
    /// When the header can not be written, or a column has no place in a table.
    pub fn new(out: Compressed, schema: &Schema, delimiter: u8) -> io::Result<Self> {
        let mut table = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .from_writer(out);
        let mut names = vec![schema.id.clone()];
        for column in &schema.columns {
            names.extend(column_names(column).ok_or(io::ErrorKind::InvalidInput)?);
        }
        table.write_record(&names)?;
        Ok(Delimited {
            table,
            fields: Vec::with_capacity(names.len()),
        })
    }
}

/// The names that a column has in a table.
fn column_names(column: &Column) -> Option<Vec<String>> {
    let name = &column.name;
    match &column.kind {
        ColumnKind::Numbers(names) => {
            let names = names.iter().map(|inner| format!("{name}.{inner}"));
            Some(names.collect())
        }
        ColumnKind::Tensor(shape) => match shape.as_slice() {
            [Some(length)] => {
                let places = 0..*length;
                Some(places.map(|place| format!("{name}_{place}")).collect())
            }
            _ => None,
        },
        _ => Some(vec![name.clone()]),
    }
}

impl RowWriter for Delimited {
    fn write(&mut self, row: &Row) -> io::Result<()> {
        self.fields.clear();
        self.fields.push(row.id.clone());
        for cell in &row.cells {
            match cell {
                Cell::Text(text) => self.fields.push(text.clone()),
                Cell::Integer(number) => self.fields.push(number.to_string()),
                Cell::Flag(flag) => self.fields.push(flag.to_string()),
                Cell::Number(number) => self.fields.push(number.to_string()),
                Cell::Single(number) => self.fields.push(ShortFloat(*number).to_string()),
                Cell::Numbers(numbers) => {
                    self.fields.extend(numbers.iter().map(f64::to_string));
                }
                Cell::Tensor(HostTensor { data, .. }) => {
                    self.fields.extend(data.iter().map(f32::to_string));
                }
                Cell::Integers(numbers) => self.fields.push(spaced(numbers)),
                Cell::Fields(fields) => self.fields.push(json::object(fields)?),
                Cell::Missing => self.fields.push(String::new()),
            }
        }
        Ok(self.table.write_record(&self.fields)?)
    }

    fn finish(self: Box<Self>) -> io::Result<Finished> {
        let out = self.table.into_inner();
        out.map_err(csv::IntoInnerError::into_error)?.finish()?;
        Ok(Finished::default())
    }
}

/// Numbers with a space between each two.
fn spaced(numbers: &[i64]) -> String {
    let mut text = String::new();
    for number in numbers {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&number.to_string());
    }
    text
}
