//! safetensors: a tensor `COLUMN/ID` for every column and record.
//!
//! The format begins with a header that names all tensors, so they are kept aside until the end.
//! Described at <https://github.com/huggingface/safetensors#format>.

use std::io::{self, Write};

use serde_json::json;

use super::destination::Destination;
use super::format::Definition;
use super::key_index::KeyIndex;
use super::spool::Spool;
use super::{Cell, Finished, Row, RowWriter, Schema, array_refusal};

/// safetensors.
pub(super) const FORMAT: Definition = Definition {
    name: "safetensors",
    extensions: &["safetensors"],
    is_text: false,
    needs_file: false,
    beside: None,
    refuses: |schema| array_refusal("safetensors", schema),
    open: |out, schema| Ok(Box::new(Safetensors::new(out.plain()?, schema)?)),
};

/// The reference reader refuses longer headers.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The tensors begin at a multiple of this.
const ALIGNMENT: u64 = 8;

/// Bytes of an entry around its key, at most: format, three dimensions, two offsets.
const ENTRY_BYTES: u64 = 160;

/// Writes rows as safetensors.
///
/// Tensors are F32, several named numbers an F64 vector in the order of the names, a whole number
/// an I64 without dimensions, yes or no a BOOL, text the U8 vector of its UTF-8.
pub struct Safetensors {
    out: Destination,
    schema: Schema,
    data: Spool,
    index: KeyIndex,
    header_bytes: u64,
}

impl Safetensors {
    /// Writes to `out`.
    ///
    /// # Errors
    ///
    /// When no temporary file can be made beside it.
    pub fn new(out: Destination, schema: &Schema) -> io::Result<Self> {
        let folder = out.folder();
        Ok(Safetensors {
            data: Spool::new(&folder)?,
            index: KeyIndex::new(&folder),
            schema: schema.clone(),
            header_bytes: 0,
            out,
        })
    }

    fn tensor(&mut self, column: usize, id: &str, cell: &Cell) -> io::Result<()> {
        let begin = self.data.bytes();
        let (dtype, shape) = match cell {
            Cell::Text(text) => {
                self.data.write_all(text.as_bytes())?;
                ("U8", vec![text.len()])
            }
            Cell::Integer(number) => {
                self.data.write_all(&number.to_le_bytes())?;
                ("I64", vec![])
            }
            Cell::Flag(flag) => {
                self.data.write_all(&[u8::from(*flag)])?;
                ("BOOL", vec![])
            }
            Cell::Number(number) => {
                self.data.write_all(&number.to_le_bytes())?;
                ("F64", vec![])
            }
            Cell::Numbers(numbers) => {
                self.data.write_all(&super::f64_bytes(numbers))?;
                ("F64", vec![numbers.len()])
            }
            Cell::Tensor(tensor) => {
                super::write_f32(&mut self.data, &tensor.data)?;
                ("F32", tensor.shape.clone())
            }
            Cell::Missing => return Ok(()),
            // The schema has none: `FORMAT` refuses them.
            Cell::Single(_) | Cell::Integers(_) | Cell::Fields(_) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        };
        let end = self.data.bytes();
        let key = format!("{}/{id}", self.schema.columns[column].name);
        let value =
            json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, end] }).to_string();
        self.header_bytes += key.len() as u64 + ENTRY_BYTES;
        if self.header_bytes > 2 * MAX_HEADER_BYTES {
            return Err(too_many());
        }
        self.index.push(key.as_bytes(), value.as_bytes())
    }
}

fn too_many() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a header of more than 100 MB, which no reader of safetensors takes; use Parquet or HDF5 \
         for so many records",
    )
}

impl RowWriter for Safetensors {
    fn write(&mut self, row: &Row) -> io::Result<()> {
        // Wide numbers first, so that each lies at a multiple of its size.
        let is_narrow = |cell: &Cell| matches!(cell, Cell::Text(_) | Cell::Flag(_));
        for narrow in [false, true] {
            for (column, cell) in row.cells.iter().enumerate() {
                if is_narrow(cell) == narrow {
                    self.tensor(column, &row.id, cell)?;
                }
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<Finished> {
        let mut sorted = self.index.finish()?;
        // Keys in JSON may be longer than they are, so the header is made before it is measured.
        let mut header = Spool::new(&self.out.folder())?;
        header.write_all(br#"{"__metadata__":{"format":"np","writer":"sessile"}"#)?;
        let mut entries = sorted.read()?;
        while let Some(entry) = entries.next()? {
            let key = String::from_utf8_lossy(&entry.key);
            header.write_all(b",")?;
            serde_json::to_writer(&mut header, &key)?;
            header.write_all(b":")?;
            header.write_all(&entry.value)?;
        }
        header.write_all(b"}")?;
        let padded = header.bytes().next_multiple_of(ALIGNMENT);
        let padding = (padded - header.bytes()) as usize;
        header.write_all(&b"        "[..padding])?;
        if padded > MAX_HEADER_BYTES {
            return Err(too_many());
        }
        self.out.write_all(&padded.to_le_bytes())?;
        header.copy_to(&mut self.out)?;
        self.data.copy_to(&mut self.out)?;
        self.out.finish()?;
        Ok(Finished {
            renamed: sorted.renamed,
        })
    }
}
