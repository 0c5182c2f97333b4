//! NumPy's format of one array.
//!
//! Described at <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::io::{self, Write};

use super::destination::Destination;
use super::format::{Definition, Refusal};
use super::whole_file::WholeFile;
use super::{Cell, ColumnKind, Finished, Row, RowWriter, Schema, columns_refusal};

/// One NumPy array, a row per record.
pub(super) const FORMAT: Definition = Definition {
    name: "npy",
    extensions: &["npy"],
    is_text: false,
    needs_file: true,
    beside: Some(ROWS_SUFFIX),
    refuses: |schema| match Npy::array(schema) {
        Some(_) => columns_refusal("npy", schema),
        None => Some(Refusal {
            reason: "npy holds one array of vectors of one length".to_owned(),
            hint: "ask for one of mean, mean_all and cls, or use npz",
        }),
    },
    open: |out, schema| Ok(Box::new(Npy::new(out.plain()?, schema)?)),
};

/// What the name of the table beside an array adds to the array's.
const ROWS_SUFFIX: &str = ".rows.tsv";

/// The data of an array begins at a multiple of this.
const ALIGNMENT: usize = 64;

/// Digits that the number of rows may get when it is known.
const ROWS_DIGITS: usize = 20;

/// The header of an array whose first dimension is `rows`. Its length does not depend on `rows`.
pub(super) fn header(dtype: &str, rows: u64, inner: &[usize]) -> Vec<u8> {
    let inner: String = inner.iter().map(|length| format!(" {length},")).collect();
    let mut text =
        format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({rows},{inner}), }}");
    let longest = text.len() + ROWS_DIGITS - rows.to_string().len();
    // Magic, version, length of the text; the text ends with a line break.
    let total = (10 + longest + 1).next_multiple_of(ALIGNMENT);
    text.extend(std::iter::repeat_n(' ', total - 10 - 1 - text.len()));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(text.len() as u16).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header
}

/// Writes the one array of the rows as NumPy's `.npy`, and all other columns into a table
/// `NAME.rows.tsv` beside it, a line per row of the array.
pub struct Npy {
    out: Destination,
    rows_file: WholeFile,
    array: usize,
    inner: Vec<usize>,
    rows: u64,
}

impl Npy {
    /// The one array that rows of this schema have, if it has the same dimensions in all rows.
    pub(super) fn array(schema: &Schema) -> Option<(usize, Vec<usize>)> {
        let mut arrays = schema
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.is_array());
        let (place, column) = arrays.next()?;
        let ColumnKind::Tensor(shape) = &column.kind else {
            return None;
        };
        let inner = shape.iter().copied().collect::<Option<Vec<usize>>>()?;
        arrays.next().is_none().then_some((place, inner))
    }

    /// Writes to `out`.
    ///
    /// # Errors
    ///
    /// When the rows do not have one array, or the table beside it can not be made.
    pub fn new(mut out: Destination, schema: &Schema) -> io::Result<Self> {
        let (array, inner) =
            Npy::array(schema).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let Destination::File(file) = &out else {
            return Err(io::ErrorKind::NotSeekable.into());
        };
        let mut rows_file = file.beside(ROWS_SUFFIX)?;
        let mut names = vec!["id"];
        let others = schema.columns.iter().enumerate();
        let others = others.filter(|(place, _)| *place != array);
        names.extend(others.map(|(_, column)| column.name.as_str()));
        writeln!(rows_file, "{}", names.join("\t"))?;
        out.write_all(&header("<f4", 0, &inner))?;
        Ok(Npy {
            out,
            rows_file,
            array,
            inner,
            rows: 0,
        })
    }
}

impl RowWriter for Npy {
    fn write(&mut self, row: &Row) -> io::Result<()> {
        write!(self.rows_file, "{}", row.id)?;
        for (place, cell) in row.cells.iter().enumerate() {
            match cell {
                Cell::Tensor(tensor) if place == self.array => {
                    super::write_f32(&mut self.out, &tensor.data)?;
                }
                Cell::Text(text) => {
                    write!(
                        self.rows_file,
                        "\t{}",
                        text.replace(['\t', '\n', '\r'], " ")
                    )?;
                }
                Cell::Integer(number) => write!(self.rows_file, "\t{number}")?,
                Cell::Flag(flag) => write!(self.rows_file, "\t{flag}")?,
                Cell::Number(number) => write!(self.rows_file, "\t{number}")?,
                // The schema has one array.
                Cell::Tensor(_) | Cell::Numbers(_) => {}
                Cell::Missing | Cell::Single(_) | Cell::Integers(_) | Cell::Fields(_) => {
                    write!(self.rows_file, "\t")?;
                }
            }
        }
        writeln!(self.rows_file)?;
        self.rows += 1;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<Finished> {
        self.out.patch(0, &header("<f4", self.rows, &self.inner))?;
        self.rows_file.finish()?;
        self.out.finish()?;
        Ok(Finished::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_one_length_and_ends_aligned() {
        let inner = [320];
        let length = header("<f4", 0, &inner).len();
        assert_eq!(length % ALIGNMENT, 0);
        for rows in [1, 9_999_999, u64::MAX] {
            let header = header("<f4", rows, &inner);
            assert_eq!(header.len(), length);
            let text = String::from_utf8_lossy(&header[10..]).into_owned();
            assert!(text.contains(&format!("'shape': ({rows}, 320,)")), "{text}");
            assert!(text.ends_with('\n'));
        }
    }
}
