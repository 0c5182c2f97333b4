//! Apache Parquet: a row per record, vectors as lists.
//!
//! Floats are split by byte and compressed with Zstandard; without that they hardly compress. Row
//! groups are small, so that little is held before it is written.

mod nested;

use std::io;
use std::sync::Arc;

use arrow_array::StructArray;
use arrow_array::builder::{Float64Builder, Int64Builder, ListBuilder};
use arrow_array::{ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array};
use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Fields};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::destination::Destination;
use super::format::Definition;
use super::{Cell, Column, ColumnKind, Finished, Presence, Row, RowWriter, Schema, json};

/// Apache Parquet.
pub(super) const FORMAT: Definition = Definition {
    name: "parquet",
    extensions: &["parquet", "pq"],
    is_text: false,
    needs_file: false,
    beside: None,
    refuses: |_| None,
    open: |out, schema| Ok(Box::new(Parquet::new(out.plain()?, schema)?)),
};

/// Bytes of rows that are handed over at a time.
const BATCH_BYTES: usize = 1 << 18;

/// Rows that are handed over at a time, at most.
const BATCH_ROWS: usize = 1 << 12;

/// Bytes of rows in a row group, before they are compressed.
const GROUP_BYTES: usize = 2 << 20;

/// Rows in a row group, at most.
const GROUP_ROWS: usize = 1 << 16;

/// Zstandard's level: higher ones gain less than 2 % on embeddings.
const ZSTD_LEVEL: i32 = 1;

/// Writes rows as Parquet.
///
/// `id` is a string; a vector of one length is a fixed-size list of floats, other tensors are lists
/// of lists, several named numbers a struct, fields of the input a string of JSON.
pub struct Parquet {
    writer: ArrowWriter<Destination>,
    fields: Arc<arrow_schema::Schema>,
    columns: Vec<Column>,
    batch: Vec<Row>,
    batch_bytes: usize,
    group_bytes: usize,
    group_rows: usize,
}

impl Parquet {
    /// Writes to `out`.
    ///
    /// # Errors
    ///
    /// When the beginning can not be written.
    pub fn new(out: Destination, schema: &Schema) -> io::Result<Self> {
        let mut fields = vec![Field::new(&schema.id, DataType::Utf8, false)];
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("sessile ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(
                ZstdLevel::try_new(ZSTD_LEVEL).map_err(failed)?,
            ))
            .set_dictionary_enabled(false);
        for column in &schema.columns {
            fields.push(field(column));
            for path in float_paths(column) {
                let path = ColumnPath::new(path);
                properties = properties
                    .set_column_encoding(path.clone(), Encoding::BYTE_STREAM_SPLIT)
                    .set_column_statistics_enabled(path, EnabledStatistics::None);
            }
        }
        let fields = Arc::new(arrow_schema::Schema::new(fields));
        let writer = ArrowWriter::try_new(out, Arc::clone(&fields), Some(properties.build()))
            .map_err(failed)?;
        Ok(Parquet {
            writer,
            fields,
            columns: schema.columns.clone(),
            batch: Vec::new(),
            batch_bytes: 0,
            group_bytes: 0,
            group_rows: 0,
        })
    }

    fn write_batch(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.batch);
        let ids: StringArray = rows.iter().map(|row| Some(row.id.as_str())).collect();
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(ids)];
        for (place, column) in self.columns.iter().enumerate() {
            arrays.push(array(column, &rows, place)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.fields), arrays)
            .map_err(|error| failed(error.into()))?;
        self.writer.write(&batch).map_err(failed)?;
        self.group_bytes += self.batch_bytes;
        self.group_rows += rows.len();
        self.batch_bytes = 0;
        if self.group_bytes >= GROUP_BYTES || self.group_rows >= GROUP_ROWS {
            self.writer.flush().map_err(failed)?;
            self.group_bytes = 0;
            self.group_rows = 0;
        }
        Ok(())
    }
}

impl RowWriter for Parquet {
    fn write(&mut self, row: &Row) -> io::Result<()> {
        self.batch_bytes += row.id.len() + row.cells.iter().map(cell_bytes).sum::<usize>();
        self.batch.push(row.clone());
        if self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_ROWS {
            self.write_batch()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<Finished> {
        self.write_batch()?;
        self.writer.into_inner().map_err(failed)?.finish()?;
        Ok(Finished::default())
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

fn cell_bytes(cell: &Cell) -> usize {
    match cell {
        Cell::Text(text) => text.len(),
        Cell::Integer(_) | Cell::Flag(_) | Cell::Number(_) | Cell::Single(_) => 8,
        Cell::Numbers(numbers) => 8 * numbers.len(),
        Cell::Tensor(tensor) => 4 * tensor.data.len(),
        Cell::Integers(numbers) => 8 * numbers.len(),
        Cell::Fields(fields) => {
            let bytes = fields.iter().map(|(name, value)| name.len() + value.len());
            bytes.sum()
        }
        Cell::Missing => 1,
    }
}

fn field(column: &Column) -> Field {
    let kind = match &column.kind {
        ColumnKind::Text => DataType::Utf8,
        ColumnKind::Integer => DataType::Int64,
        ColumnKind::Flag => DataType::Boolean,
        ColumnKind::Number => DataType::Float64,
        ColumnKind::Single => DataType::Float32,
        ColumnKind::Numbers(names) => DataType::Struct(number_fields(names)),
        ColumnKind::Tensor(shape) => nested::data_type(shape),
        ColumnKind::Integers => DataType::List(nested::integer()),
        ColumnKind::Fields => DataType::Utf8,
    };
    Field::new(&column.name, kind, column.presence != Presence::Always)
}

fn number_fields(names: &[String]) -> Fields {
    names
        .iter()
        .map(|name| Field::new(name, DataType::Float64, false))
        .collect()
}

/// Where the floats of a column lie in Parquet's tree of columns.
fn float_paths(column: &Column) -> Vec<Vec<String>> {
    let name = column.name.clone();
    match &column.kind {
        ColumnKind::Number | ColumnKind::Single => vec![vec![name]],
        ColumnKind::Numbers(names) => names
            .iter()
            .map(|inner| vec![name.clone(), inner.clone()])
            .collect(),
        ColumnKind::Tensor(shape) => {
            let mut path = vec![name];
            for _ in shape {
                path.extend(["list".to_owned(), nested::ELEMENT.to_owned()]);
            }
            vec![path]
        }
        _ => Vec::new(),
    }
}

/// The cells of one column.
fn array(column: &Column, rows: &[Row], place: usize) -> io::Result<ArrayRef> {
    let cells = rows.iter().map(|row| row.cells.get(place));
    let wrong = || io::Error::from(io::ErrorKind::InvalidInput);
    macro_rules! plain {
        ($array:ty, $cell:ident) => {{
            let values = cells.map(|cell| match cell {
                Some(Cell::$cell(value)) => Ok(Some(value.to_owned())),
                Some(Cell::Missing) if column.presence != Presence::Always => Ok(None),
                _ => Err(wrong()),
            });
            Arc::new(values.collect::<io::Result<$array>>()?)
        }};
    }
    Ok(match &column.kind {
        ColumnKind::Text => plain!(StringArray, Text),
        ColumnKind::Integer => plain!(Int64Array, Integer),
        ColumnKind::Flag => plain!(BooleanArray, Flag),
        ColumnKind::Number => plain!(Float64Array, Number),
        ColumnKind::Single => plain!(Float32Array, Single),
        ColumnKind::Numbers(names) => {
            let mut builders: Vec<Float64Builder> = Vec::new();
            builders.resize_with(names.len(), Float64Builder::new);
            for cell in cells {
                let Some(Cell::Numbers(numbers)) = cell else {
                    return Err(wrong());
                };
                for (builder, &number) in builders.iter_mut().zip(numbers) {
                    builder.append_value(number);
                }
            }
            let arrays = builders
                .iter_mut()
                .map(|builder| Arc::new(builder.finish()) as ArrayRef)
                .collect();
            let structs = StructArray::try_new(number_fields(names), arrays, None);
            Arc::new(structs.map_err(|error| failed(error.into()))?)
        }
        ColumnKind::Tensor(shape) => {
            let tensors = cells
                .map(|cell| match cell {
                    Some(Cell::Tensor(tensor)) => Ok(tensor),
                    _ => Err(wrong()),
                })
                .collect::<io::Result<Vec<_>>>()?;
            nested::array(shape, &tensors)?
        }
        ColumnKind::Integers => {
            let mut lists = ListBuilder::new(Int64Builder::new()).with_field(nested::integer());
            for cell in cells {
                match cell {
                    Some(Cell::Integers(numbers)) => {
                        lists.values().append_slice(numbers);
                        lists.append(true);
                    }
                    Some(Cell::Missing) if column.presence != Presence::Always => {
                        lists.append(false);
                    }
                    _ => return Err(wrong()),
                }
            }
            Arc::new(lists.finish())
        }
        ColumnKind::Fields => {
            let texts = cells.map(|cell| match cell {
                Some(Cell::Fields(fields)) => json::object(fields).map(Some),
                _ => Err(wrong()),
            });
            Arc::new(texts.collect::<io::Result<StringArray>>()?)
        }
    })
}
