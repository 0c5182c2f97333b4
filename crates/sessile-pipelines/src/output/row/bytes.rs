//! A row's cells as bytes, for the run journal.
//!
//! Little-endian, one cell after the other: text with its length before it, numbers as they are,
//! tensors with their dimensions before them. What a cell is follows from the schema; where a value
//! may be missing, a byte before it says whether it is there.

use sessile_device::HostTensor;

use super::{Cell, Row};
use crate::output::{Column, ColumnKind, Presence, Schema};

impl Row {
    /// The cells as bytes; [`Row::from_bytes`] reads them.
    pub fn to_bytes(&self, schema: &Schema) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (cell, column) in self.cells.iter().zip(&schema.columns) {
            if column.presence != Presence::Always {
                bytes.push(u8::from(*cell != Cell::Missing));
            }
            match cell {
                Cell::Missing => {}
                Cell::Text(text) => push_text(&mut bytes, text),
                Cell::Integers(numbers) => {
                    bytes.extend_from_slice(&(numbers.len() as u64).to_le_bytes());
                    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
                }
                Cell::Fields(fields) => {
                    bytes.extend_from_slice(&(fields.len() as u64).to_le_bytes());
                    for (name, value) in fields {
                        push_text(&mut bytes, name);
                        push_text(&mut bytes, value);
                    }
                }
                Cell::Integer(number) => bytes.extend_from_slice(&number.to_le_bytes()),
                Cell::Flag(flag) => bytes.push(u8::from(*flag)),
                Cell::Number(number) => bytes.extend_from_slice(&number.to_le_bytes()),
                Cell::Single(number) => bytes.extend_from_slice(&number.to_le_bytes()),
                Cell::Numbers(numbers) => {
                    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
                }
                Cell::Tensor(tensor) => {
                    for &length in &tensor.shape {
                        bytes.extend_from_slice(&(length as u64).to_le_bytes());
                    }
                    bytes.reserve(tensor.data.len() * size_of::<f32>());
                    bytes.extend(tensor.data.iter().flat_map(|value| value.to_le_bytes()));
                }
            }
        }
        bytes
    }

    /// A row of this schema from its bytes; `None` when they are not those of such a row.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_pipelines::output::{Cell, Column, ColumnKind, Row, Schema};
    ///
    /// let schema = Schema::new(vec![Column::new("length", ColumnKind::Integer)]);
    /// let row = Row { id: "a".to_owned(), cells: vec![Cell::Integer(3)] };
    /// let bytes = row.to_bytes(&schema);
    /// assert_eq!(Row::from_bytes("a".to_owned(), &bytes, &schema), Some(row));
    /// assert_eq!(Row::from_bytes("a".to_owned(), &[1, 2], &schema), None);
    /// ```
    pub fn from_bytes(id: String, bytes: &[u8], schema: &Schema) -> Option<Self> {
        let mut rest = bytes;
        let cells = schema
            .columns
            .iter()
            .map(|column| cell(column, &mut rest))
            .collect::<Option<Vec<Cell>>>()?;
        rest.is_empty().then_some(Row { id, cells })
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn cell(column: &Column, rest: &mut &[u8]) -> Option<Cell> {
    if column.presence != Presence::Always {
        match take::<1>(rest)? {
            [0] => return Some(Cell::Missing),
            [1] => {}
            _ => return None,
        }
    }
    Some(match &column.kind {
        ColumnKind::Text => Cell::Text(text(rest)?),
        ColumnKind::Integers => {
            let count = count(rest, size_of::<i64>())?;
            let numbers = (0..count).map(|_| take(rest).map(i64::from_le_bytes));
            Cell::Integers(numbers.collect::<Option<_>>()?)
        }
        ColumnKind::Fields => {
            // A name and a value take their lengths at least.
            let count = count(rest, 2 * size_of::<u64>())?;
            let fields = (0..count).map(|_| Some((text(rest)?, text(rest)?)));
            Cell::Fields(fields.collect::<Option<_>>()?)
        }
        ColumnKind::Integer => Cell::Integer(i64::from_le_bytes(take(rest)?)),
        ColumnKind::Flag => match take::<1>(rest)? {
            [0] => Cell::Flag(false),
            [1] => Cell::Flag(true),
            _ => return None,
        },
        ColumnKind::Number => Cell::Number(f64::from_le_bytes(take(rest)?)),
        ColumnKind::Single => Cell::Single(f32::from_le_bytes(take(rest)?)),
        ColumnKind::Numbers(names) => Cell::Numbers(
            names
                .iter()
                .map(|_| take(rest).map(f64::from_le_bytes))
                .collect::<Option<Vec<f64>>>()?,
        ),
        ColumnKind::Tensor(shape) => Cell::Tensor(tensor(shape, rest)?),
    })
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(u64::from_le_bytes(take(rest)?)).ok()?;
    let (text, left) = rest.split_at_checked(length)?;
    *rest = left;
    String::from_utf8(text.to_vec()).ok()
}

/// A number of things of at least so many bytes each, if the bytes can hold them.
fn count(rest: &mut &[u8], bytes: usize) -> Option<usize> {
    let count = usize::try_from(u64::from_le_bytes(take(rest)?)).ok()?;
    (count <= rest.len() / bytes).then_some(count)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*bytes)
}

/// A tensor, if its dimensions are those of the column and its values are there.
fn tensor(wanted: &[Option<usize>], rest: &mut &[u8]) -> Option<HostTensor> {
    let mut shape = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let length = usize::try_from(u64::from_le_bytes(take(rest)?)).ok()?;
        if wanted.is_some_and(|wanted| wanted != length) {
            return None;
        }
        shape.push(length);
    }
    let bytes = shape
        .iter()
        .try_fold(size_of::<f32>(), |bytes, &length| bytes.checked_mul(length))?;
    let (values, left) = rest.split_at_checked(bytes)?;
    *rest = left;
    let (values, _) = values.as_chunks::<4>();
    let data = values
        .iter()
        .map(|&value| f32::from_le_bytes(value))
        .collect();
    Some(HostTensor::new(shape, data))
}
