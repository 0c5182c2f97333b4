//! Results on their way to files.
//!
//! Rows of one [`Schema`] go to a [`RowWriter`], which writes them as they come, in memory that does
//! not grow with their number. The same rows give the same bytes, whenever and wherever they are
//! written.

mod compressed;
mod delimited;
mod destination;
mod fasta;
mod file_format;
mod files;
mod format;
mod hdf5;
mod json;
mod key_index;
mod names;
mod npy;
mod npz;
mod parquet;
mod row;
mod safetensors;
mod schema;
mod short_float;
mod sources;
mod spool;
mod whole_file;
mod zip;

use std::io::{self, Write};

pub use compressed::{Compressed, Compression, ParseCompressionError};
pub use destination::{Destination, OutputPlace};
pub use file_format::FileFormat;
pub use files::{OutputFiles, Outputs, check_outputs};
pub use format::{Format, ParseFormatError, check_ending};
pub use names::{OutputName, ParseOutputNameError, output_set};
pub use row::{Cell, Row};
pub use schema::{Column, ColumnKind, Presence, Schema};
pub use short_float::ShortFloat;
pub use sources::Sources;
pub(crate) use sources::check_absent;
pub use whole_file::WholeFile;

/// Something that takes rows in their order.
pub trait RowWriter {
    /// Writes a row.
    ///
    /// # Errors
    ///
    /// When the output can not be written.
    fn write(&mut self, row: &Row) -> io::Result<()>;

    /// Writes what is left and gives the output its name.
    ///
    /// # Errors
    ///
    /// When the output can not be written, synced or named.
    fn finish(self: Box<Self>) -> io::Result<Finished>;
}

/// What became of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Keys that came more than once and got `#2`, `#3`, … behind them.
    pub renamed: u64,
}

/// What formats of arrays cannot hold: lists of whole numbers, single numbers of single precision, and
/// the input's own fields.
fn columns_refusal(format: &str, schema: &Schema) -> Option<format::Refusal> {
    let holds = |column: &Column| {
        let kind = &column.kind;
        !matches!(
            kind,
            ColumnKind::Integers | ColumnKind::Fields | ColumnKind::Single
        )
    };
    format::Refusal::of_column(
        format,
        schema,
        holds,
        "use jsonl, json, tsv, csv or parquet",
    )
}

/// What formats that are made for arrays cannot hold: rows without any as well.
fn array_refusal(format: &str, schema: &Schema) -> Option<format::Refusal> {
    if schema.columns.iter().any(Column::is_array) {
        return columns_refusal(format, schema);
    }
    Some(format::Refusal {
        reason: format!("{format} holds arrays, and these results have none"),
        hint: "use jsonl, json, tsv, csv or parquet",
    })
}

/// Values that are turned into bytes at a time.
const CHUNK_VALUES: usize = 1024;

fn write_f32(out: &mut impl Write, values: &[f32]) -> io::Result<()> {
    let mut bytes = [0; 4 * CHUNK_VALUES];
    for chunk in values.chunks(CHUNK_VALUES) {
        for (place, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(chunk) {
            *place = value.to_le_bytes();
        }
        out.write_all(&bytes[..4 * chunk.len()])?;
    }
    Ok(())
}

fn f64_bytes(values: &[f64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[cfg(test)]
mod tests;
