//! A table in TSV or Parquet: one definition of its columns for both.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float32Builder, StringBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::super::number::ShortFloat;
use crate::output::WholeFile;

/// Formats of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableFormat {
    /// Text, fields separated by tabs.
    #[default]
    Tsv,
    /// Apache Parquet.
    Parquet,
}

impl TableFormat {
    /// The ending of a file.
    pub fn extension(self) -> &'static str {
        match self {
            TableFormat::Tsv => "tsv",
            TableFormat::Parquet => "parquet",
        }
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A count that may not be known.
    Count,
    Score,
    Flag,
    /// A score or a verdict that there may not be.
    ScoreIfAny,
    FlagIfAny,
}

/// A column's name and what it holds.
pub(super) type Column = (&'static str, Kind);

/// A field of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Count(Option<u64>),
    Score(f32),
    Flag(bool),
    None,
}

/// Rows that are held before they go to a Parquet file.
const BATCH_ROWS: usize = 1 << 13;

/// Rows of a row group: some megabytes.
const GROUP_ROWS: usize = 1 << 17;

/// A table while it is written.
pub(super) enum Table {
    Tsv(WholeFile),
    Parquet(Box<ParquetTable>),
}

impl Table {
    /// Begins `NAME.tsv` or `NAME.parquet`.
    pub(super) fn create(
        folder: &Path,
        name: &str,
        columns: &[Column],
        format: TableFormat,
    ) -> io::Result<Self> {
        let path = folder.join(format!("{name}.{}", format.extension()));
        let mut file = WholeFile::create_locked(&path, TEMPORARY)?;
        match format {
            TableFormat::Tsv => {
                let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
                writeln!(file, "{}", names.join("\t"))?;
                Ok(Table::Tsv(file))
            }
            TableFormat::Parquet => {
                let table = ParquetTable::new(file, columns).map_err(failed)?;
                Ok(Table::Parquet(Box::new(table)))
            }
        }
    }

    pub(super) fn row(&mut self, values: &[Value<'_>]) -> io::Result<()> {
        match self {
            Table::Tsv(file) => {
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        file.write_all(b"\t")?;
                    }
                    match value {
                        Value::Text(text) => file.write_all(text.as_bytes())?,
                        Value::None | Value::Count(None) => {}
                        Value::Count(Some(count)) => write!(file, "{count}")?,
                        Value::Score(score) => write!(file, "{}", ShortFloat(*score))?,
                        Value::Flag(flag) => write!(file, "{flag}")?,
                    }
                }
                file.write_all(b"\n")
            }
            Table::Parquet(table) => table.row(values).map_err(failed),
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Table::Tsv(file) => file.finish(),
            Table::Parquet(mut table) => {
                table.write().map_err(failed)?;
                table.writer.into_inner().map_err(failed)?.finish()
            }
        }
    }
}

/// The key of temporary files: runs into one folder take turns.
pub(in crate::viral) const TEMPORARY: &str = "viral";

pub(super) struct ParquetTable {
    writer: ArrowWriter<WholeFile>,
    schema: Arc<Schema>,
    columns: Vec<Builder>,
    rows: usize,
}

enum Builder {
    Text(StringBuilder),
    Count(UInt64Builder),
    Score(Float32Builder),
    Flag(BooleanBuilder),
}

impl ParquetTable {
    fn new(file: WholeFile, columns: &[Column]) -> Result<Self, ParquetError> {
        let fields: Vec<Field> = columns
            .iter()
            .map(|&(name, kind)| match kind {
                Kind::Text => Field::new(name, DataType::Utf8, false),
                Kind::Count => Field::new(name, DataType::UInt64, true),
                Kind::Score => Field::new(name, DataType::Float32, false),
                Kind::Flag => Field::new(name, DataType::Boolean, false),
                Kind::ScoreIfAny => Field::new(name, DataType::Float32, true),
                Kind::FlagIfAny => Field::new(name, DataType::Boolean, true),
            })
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_created_by(concat!("sessile ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        Ok(ParquetTable {
            writer: ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?,
            schema,
            columns: columns
                .iter()
                .map(|(_, kind)| match kind {
                    Kind::Text => Builder::Text(StringBuilder::new()),
                    Kind::Count => Builder::Count(UInt64Builder::new()),
                    Kind::Score | Kind::ScoreIfAny => Builder::Score(Float32Builder::new()),
                    Kind::Flag | Kind::FlagIfAny => Builder::Flag(BooleanBuilder::new()),
                })
                .collect(),
            rows: 0,
        })
    }

    fn row(&mut self, values: &[Value<'_>]) -> Result<(), ParquetError> {
        for (column, value) in self.columns.iter_mut().zip(values) {
            match (column, value) {
                (Builder::Text(column), Value::Text(text)) => column.append_value(text),
                (Builder::Count(column), Value::Count(count)) => column.append_option(*count),
                (Builder::Score(column), Value::Score(score)) => column.append_value(*score),
                (Builder::Flag(column), Value::Flag(flag)) => column.append_value(*flag),
                (Builder::Score(column), Value::None) => column.append_null(),
                (Builder::Flag(column), Value::None) => column.append_null(),
                _ => return Err(ParquetError::General("a value of another kind".to_owned())),
            }
        }
        self.rows += 1;
        if self.rows >= BATCH_ROWS {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let columns: Vec<ArrayRef> = self
            .columns
            .iter_mut()
            .map(|column| match column {
                Builder::Text(column) => Arc::new(column.finish()) as ArrayRef,
                Builder::Count(column) => Arc::new(column.finish()),
                Builder::Score(column) => Arc::new(column.finish()),
                Builder::Flag(column) => Arc::new(column.finish()),
            })
            .collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.writer.write(&batch)
    }
}

/// What went wrong beneath, where it was a matter of files: a full disk must be told as one.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float32Type, UInt64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn both_formats_hold_the_same_rows() {
        let folder = tempfile::tempdir().unwrap();
        let columns = [
            ("name", Kind::Text),
            ("count", Kind::Count),
            ("score", Kind::Score),
            ("flag", Kind::Flag),
        ];
        for format in [TableFormat::Tsv, TableFormat::Parquet] {
            let mut table = Table::create(folder.path(), "t", &columns, format).unwrap();
            for row in 0..20_000_u32 {
                let name = format!("row{row}");
                let count = (row % 3 > 0).then_some(u64::from(row));
                let score = row as f32 / 20_000.0;
                let values = [
                    Value::Text(&name),
                    Value::Count(count),
                    Value::Score(score),
                    Value::Flag(row % 2 == 0),
                ];
                table.row(&values).unwrap();
            }
            table.finish().unwrap();
        }
        let text = std::fs::read_to_string(folder.path().join("t.tsv")).unwrap();
        let file = std::fs::File::open(folder.path().join("t.parquet")).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let mut again = "name\tcount\tscore\tflag\n".to_owned();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let names = batch.column(0).as_string::<i32>();
            let counts = batch.column(1).as_primitive::<UInt64Type>();
            let scores = batch.column(2).as_primitive::<Float32Type>();
            let flags = batch.column(3).as_boolean();
            for row in 0..batch.num_rows() {
                let count = counts.iter().nth(row).flatten();
                let count = count.map_or_else(String::new, |count| count.to_string());
                let score = ShortFloat(scores.value(row));
                again += &format!(
                    "{}\t{count}\t{score}\t{}\n",
                    names.value(row),
                    flags.value(row)
                );
            }
        }
        assert!(again == text);
    }
}
