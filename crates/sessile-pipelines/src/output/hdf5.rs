//! HDF5: a group per array column, in it a dataset per record, named by its identifier.
//!
//! `file["mean"]["P12345"]` is that record's vector; its other columns are attributes of the
//! dataset. Written as of version 0 of the format's superblock, which every reader knows: datasets
//! are put down as they come, the groups' B-trees at the end. No dates are written, so the same rows
//! give the same bytes. Described in the HDF5 File Format Specification 3.0,
//! <https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html>.

mod group;
mod object;

use std::io::{self, Write};

use super::destination::Destination;
use super::format::Definition;
use super::key_index::KeyIndex;
use super::{Cell, Finished, Row, RowWriter, Schema, array_refusal};
use object::{ALIGNMENT, Attribute, Dataset, Number};

/// HDF5.
pub(super) const FORMAT: Definition = Definition {
    name: "hdf5",
    extensions: &["h5", "hdf5"],
    is_text: false,
    needs_file: true,
    beside: None,
    refuses: |schema| array_refusal("hdf5", schema),
    open: |out, schema| Ok(Box::new(Hdf5::new(out.plain()?, schema)?)),
};

/// Bytes of the superblock.
const SUPERBLOCK_BYTES: u64 = 96;

/// Writes rows as HDF5.
///
/// Tensors are 32-bit floats, several named numbers a vector of 64-bit floats in the order of the
/// names. Every dataset has the attributes `id` and one per column that is no array. What can not
/// stand in the name of a dataset is written there as in an address: a `/`, which would begin a
/// group, is `%2F`, a zero `%00`, the identifiers `.` and `..`, which are ways through groups, are
/// `%2E` and `%2E%2E`, and an empty one is `%`.
pub struct Hdf5 {
    out: Positioned,
    schema: Schema,
    /// By column; `None` for attributes.
    indices: Vec<Option<KeyIndex>>,
}

/// A destination that knows how far it is written.
struct Positioned {
    out: Destination,
    position: u64,
}

impl Positioned {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.position += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Every object begins at a multiple of 8.
    fn align(&mut self) -> io::Result<()> {
        let padding = self.position.next_multiple_of(ALIGNMENT) - self.position;
        self.put(&[0; ALIGNMENT as usize][..padding as usize])
    }
}

impl Hdf5 {
    /// Writes to `out`, which must be a file.
    ///
    /// # Errors
    ///
    /// When it can not be written.
    pub fn new(out: Destination, schema: &Schema) -> io::Result<Self> {
        let folder = out.folder();
        let mut out = Positioned { out, position: 0 };
        out.put(&[0; SUPERBLOCK_BYTES as usize])?;
        let indices = schema
            .columns
            .iter()
            .map(|column| column.is_array().then(|| KeyIndex::new(&folder)))
            .collect();
        Ok(Hdf5 {
            out,
            schema: schema.clone(),
            indices,
        })
    }

    fn attributes<'r>(&'r self, row: &'r Row) -> Vec<Attribute<'r>> {
        let id = Attribute {
            name: &self.schema.id,
            value: Number::Text(&row.id),
        };
        let others = self.schema.columns.iter().zip(&row.cells);
        let others = others.filter_map(|(column, cell)| {
            let value = match cell {
                Cell::Text(text) => Number::Text(text),
                Cell::Integer(number) => Number::Integer(*number),
                Cell::Flag(flag) => Number::Flag(*flag),
                Cell::Number(number) => Number::Float(*number),
                Cell::Numbers(_) | Cell::Tensor(_) | Cell::Missing => return None,
                // The schema has none: `FORMAT` refuses them.
                Cell::Single(_) | Cell::Integers(_) | Cell::Fields(_) => return None,
            };
            Some(Attribute {
                name: &column.name,
                value,
            })
        });
        std::iter::once(id).chain(others).collect()
    }
}

/// The name of the dataset of a record: one that `file["mean"][name]` finds.
fn dataset_name(id: &str) -> String {
    match id {
        "" => "%".to_owned(),
        "." | ".." => id.replace('.', "%2E"),
        _ => id.replace('/', "%2F").replace('\0', "%00"),
    }
}

impl RowWriter for Hdf5 {
    fn write(&mut self, row: &Row) -> io::Result<()> {
        let mut written = Vec::new();
        let attributes = self.attributes(row);
        for (column, cell) in row.cells.iter().enumerate() {
            let (shape, element_bytes, bytes) = match cell {
                Cell::Tensor(tensor) => {
                    let mut bytes = Vec::with_capacity(tensor.data.len() * 4);
                    super::write_f32(&mut bytes, &tensor.data)?;
                    (tensor.shape.clone(), 4, bytes)
                }
                Cell::Numbers(numbers) => (vec![numbers.len()], 8, super::f64_bytes(numbers)),
                _ => continue,
            };
            let dataset = Dataset {
                shape: &shape,
                element_bytes,
                attributes: &attributes,
            };
            written.push((column, dataset.header(bytes.len() as u64)?, bytes));
        }
        let name = dataset_name(&row.id);
        for (column, header, bytes) in written {
            self.out.align()?;
            let address = self.out.position;
            self.out.put(&header.at(address))?;
            self.out.put(&bytes)?;
            if let Some(index) = &mut self.indices[column] {
                index.push(name.as_bytes(), &address.to_le_bytes())?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<Finished> {
        let mut finished = Finished::default();
        let mut groups = KeyIndex::new(&self.out.out.folder());
        let names = self.schema.columns.iter().map(|column| &column.name);
        for (name, index) in names.zip(&mut self.indices) {
            if let Some(index) = index.take() {
                let mut members = index.finish()?;
                finished.renamed = finished.renamed.max(members.renamed);
                let group = group::write(&mut self.out, &mut members)?;
                groups.push(name.as_bytes(), &group.address.to_le_bytes())?;
            }
        }
        let root = group::write(&mut self.out, &mut groups.finish()?)?;
        self.out.align()?;
        let superblock = root.superblock(self.out.position);
        self.out.out.patch(0, &superblock)?;
        self.out.out.finish()?;
        Ok(finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identifier_becomes_a_name_that_can_be_found() {
        for (id, name) in [
            ("P12345", "P12345"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("...", "..."),
            ("a/b", "a%2Fb"),
            ("./a", ".%2Fa"),
            ("a\0b", "a%00b"),
            ("", "%"),
        ] {
            assert_eq!(dataset_name(id), name);
        }
    }
}
