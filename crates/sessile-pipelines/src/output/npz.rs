//! NumPy's archive of arrays, one per column.
//!
//! A column of one length in all rows is an array with a row per record. Where the first dimension
//! differs, the arrays are laid end to end and `COLUMN_offsets` says where each begins, as the
//! device gets them; where more differ, `COLUMN_shapes` has the dimensions, too.

use std::io::{self, Read, Write};

use super::destination::Destination;
use super::format::Definition;
use super::npy::header;
use super::spool::Spool;
use super::zip::{Archive, Entry};
use super::{Cell, ColumnKind, Finished, Row, RowWriter, Schema, columns_refusal};

/// NumPy's archive.
pub(super) const FORMAT: Definition = Definition {
    name: "npz",
    extensions: &["npz"],
    is_text: false,
    needs_file: false,
    beside: None,
    refuses: |schema| columns_refusal("npz", schema),
    open: |out, schema| Ok(Box::new(Npz::new(out.plain()?, schema)?)),
};

/// Writes rows as NumPy's `.npz`.
pub struct Npz {
    out: Destination,
    ids: Texts,
    columns: Vec<(String, Array)>,
    rows: u64,
}

/// The array of a column while it is gathered.
enum Array {
    Text(Texts),
    /// Format and inner dimensions.
    Even(&'static str, Vec<usize>, Spool),
    Uneven(Box<Uneven>),
}

/// Arrays of different lengths, end to end.
struct Uneven {
    /// The dimensions that all have in common; `None` when more than the first differ.
    inner: Option<Vec<usize>>,
    rank: usize,
    /// Elements of the first dimension so far.
    length: u64,
    data: Spool,
    offsets: Spool,
    shapes: Spool,
}

/// Text, until the longest is known: NumPy gives all the same length.
struct Texts {
    data: Spool,
    longest: usize,
}

impl Npz {
    /// Writes to `out`.
    ///
    /// # Errors
    ///
    /// When no temporary file can be made beside it.
    pub fn new(out: Destination, schema: &Schema) -> io::Result<Self> {
        let folder = out.folder();
        let spool = || Spool::new(&folder);
        let mut columns = Vec::new();
        for column in &schema.columns {
            let array = match &column.kind {
                ColumnKind::Text => Array::Text(Texts::new(spool()?)),
                ColumnKind::Integer => Array::Even("<i8", vec![], spool()?),
                ColumnKind::Flag => Array::Even("|b1", vec![], spool()?),
                ColumnKind::Number => Array::Even("<f8", vec![], spool()?),
                ColumnKind::Numbers(names) => Array::Even("<f8", vec![names.len()], spool()?),
                ColumnKind::Tensor(shape) => match shape.iter().copied().collect() {
                    Some(shape) => Array::Even("<f4", shape, spool()?),
                    None => Array::Uneven(Box::new(Uneven {
                        inner: shape[1..].iter().copied().collect(),
                        rank: shape.len(),
                        length: 0,
                        data: spool()?,
                        offsets: spool()?,
                        shapes: spool()?,
                    })),
                },
                // `FORMAT` refuses them.
                ColumnKind::Integers | ColumnKind::Fields | ColumnKind::Single => {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
            };
            columns.push((column.name.clone(), array));
        }
        Ok(Npz {
            ids: Texts::new(spool()?),
            columns,
            rows: 0,
            out,
        })
    }
}

impl RowWriter for Npz {
    fn write(&mut self, row: &Row) -> io::Result<()> {
        self.ids.push(&row.id)?;
        for ((_, array), cell) in self.columns.iter_mut().zip(&row.cells) {
            match (array, cell) {
                (Array::Text(texts), Cell::Text(text)) => texts.push(text)?,
                (Array::Even(_, _, data), Cell::Integer(number)) => {
                    data.write_all(&number.to_le_bytes())?;
                }
                (Array::Even(_, _, data), Cell::Flag(flag)) => {
                    data.write_all(&[u8::from(*flag)])?;
                }
                (Array::Even(_, _, data), Cell::Number(number)) => {
                    data.write_all(&number.to_le_bytes())?;
                }
                (Array::Even(_, _, data), Cell::Numbers(numbers)) => {
                    data.write_all(&super::f64_bytes(numbers))?;
                }
                (Array::Even(_, _, data), Cell::Tensor(tensor)) => {
                    super::write_f32(data, &tensor.data)?;
                }
                (Array::Uneven(uneven), Cell::Tensor(tensor)) => uneven.push(tensor)?,
                // NumPy's arrays have no other way to lack a value.
                (Array::Text(texts), Cell::Missing) => texts.push("")?,
                (Array::Even("<f8", inner, data), Cell::Missing) if inner.is_empty() => {
                    data.write_all(&f64::NAN.to_le_bytes())?;
                }
                _ => return Err(io::ErrorKind::InvalidInput.into()),
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<Finished> {
        let mut archive = Archive::new(self.out);
        self.ids.write("id", self.rows, &mut archive)?;
        for (name, array) in self.columns {
            match array {
                Array::Text(texts) => texts.write(&name, self.rows, &mut archive)?,
                Array::Even(dtype, inner, mut data) => {
                    entry(
                        &name,
                        header(dtype, self.rows, &inner),
                        &mut data,
                        &mut archive,
                    )?;
                }
                Array::Uneven(uneven) => uneven.write(&name, self.rows, &mut archive)?,
            }
        }
        archive.finish()?.finish()?;
        Ok(Finished::default())
    }
}

fn entry(
    name: &str,
    header: Vec<u8>,
    data: &mut Spool,
    archive: &mut Archive<Destination>,
) -> io::Result<()> {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&header);
    checksum.combine(&data.checksum());
    archive.begin(Entry {
        name: format!("{name}.npy"),
        bytes: header.len() as u64 + data.bytes(),
        checksum: checksum.finalize(),
    })?;
    archive.out.write_all(&header)?;
    data.copy_to(&mut archive.out)
}

impl Uneven {
    fn push(&mut self, tensor: &sessile_device::HostTensor) -> io::Result<()> {
        self.offsets.write_all(&self.length.to_le_bytes())?;
        self.length += match self.inner {
            Some(_) => tensor.shape.first().map_or(0, |&length| length as u64),
            None => tensor.data.len() as u64,
        };
        for &length in &tensor.shape {
            self.shapes.write_all(&(length as u64).to_le_bytes())?;
        }
        super::write_f32(&mut self.data, &tensor.data)
    }

    fn write(
        mut self,
        name: &str,
        rows: u64,
        archive: &mut Archive<Destination>,
    ) -> io::Result<()> {
        let inner = self.inner.clone().unwrap_or_default();
        entry(
            name,
            header("<f4", self.length, &inner),
            &mut self.data,
            archive,
        )?;
        self.offsets.write_all(&self.length.to_le_bytes())?;
        let offsets = header("<i8", rows + 1, &[]);
        entry(
            &format!("{name}_offsets"),
            offsets,
            &mut self.offsets,
            archive,
        )?;
        if self.inner.is_none() {
            let shapes = header("<i8", rows, &[self.rank]);
            entry(&format!("{name}_shapes"), shapes, &mut self.shapes, archive)?;
        }
        Ok(())
    }
}

impl Texts {
    fn new(data: Spool) -> Self {
        Texts { data, longest: 1 }
    }

    fn push(&mut self, text: &str) -> io::Result<()> {
        self.longest = self.longest.max(text.chars().count());
        self.data.write_all(&(text.len() as u64).to_le_bytes())?;
        self.data.write_all(text.as_bytes())
    }

    /// As an array of strings of UTF-32, each as long as the longest.
    fn write(
        mut self,
        name: &str,
        rows: u64,
        archive: &mut Archive<Destination>,
    ) -> io::Result<()> {
        let header = header(&format!("<U{}", self.longest), rows, &[]);
        // Once for the checksum, once for the archive.
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&header);
        self.each(rows, |text| {
            checksum.update(text);
            Ok(())
        })?;
        archive.begin(Entry {
            name: format!("{name}.npy"),
            bytes: header.len() as u64 + rows * self.longest as u64 * 4,
            checksum: checksum.finalize(),
        })?;
        archive.out.write_all(&header)?;
        self.each(rows, |text| archive.out.write_all(text))
    }

    fn each(&mut self, rows: u64, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut input = self.data.reader()?;
        let mut text = Vec::new();
        let mut wide = Vec::new();
        for _ in 0..rows {
            let mut length = [0; 8];
            input.read_exact(&mut length)?;
            // What this process wrote itself.
            text.resize(u64::from_le_bytes(length) as usize, 0);
            input.read_exact(&mut text)?;
            wide.clear();
            for character in String::from_utf8_lossy(&text).chars() {
                wide.extend_from_slice(&u32::from(character).to_le_bytes());
            }
            wide.resize(self.longest * 4, 0);
            take(&wide)?;
        }
        Ok(())
    }
}
