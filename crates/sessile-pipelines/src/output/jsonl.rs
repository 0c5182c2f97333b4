//! JSON Lines: a JSON object per record, keys in a fixed order.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use sessile_device::HostTensor;

use super::destination::Destination;
use super::{Cell, Column, ColumnKind, Finished, Row, RowWriter, Schema};

/// Writes rows as JSON Lines.
///
/// The key `id` comes first, then one per column. A vector is a list of numbers, a matrix a list of
/// rows, several named numbers are an object. Numbers are the shortest decimals that read back to
/// the same value.
pub struct JsonLines {
    out: Destination,
    schema: Schema,
    line: Vec<u8>,
}

impl JsonLines {
    /// Writes to `out`.
    pub fn new(out: Destination, schema: &Schema) -> Self {
        JsonLines {
            out,
            schema: schema.clone(),
            line: Vec::new(),
        }
    }
}

impl RowWriter for JsonLines {
    fn write(&mut self, row: &Row) -> io::Result<()> {
        self.line.clear();
        let columns = &self.schema.columns;
        serde_json::to_writer(&mut self.line, &Line { row, columns })?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    fn finish(self: Box<Self>) -> io::Result<Finished> {
        self.out.finish()?;
        Ok(Finished::default())
    }
}

struct Line<'a> {
    row: &'a Row,
    columns: &'a [Column],
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.row.id)?;
        for (column, cell) in self.columns.iter().zip(&self.row.cells) {
            let kind = &column.kind;
            map.serialize_entry(&column.name, &Value { kind, cell })?;
        }
        map.end()
    }
}

struct Value<'a> {
    kind: &'a ColumnKind,
    cell: &'a Cell,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.cell, self.kind) {
            (Cell::Text(text), _) => text.serialize(serializer),
            (Cell::Integer(number), _) => number.serialize(serializer),
            (Cell::Flag(flag), _) => flag.serialize(serializer),
            (Cell::Number(number), _) => number.serialize(serializer),
            (Cell::Numbers(numbers), ColumnKind::Numbers(names)) => {
                serializer.collect_map(names.iter().zip(numbers))
            }
            (Cell::Numbers(numbers), _) => numbers.serialize(serializer),
            (Cell::Tensor(tensor), _) => Nested::of(tensor).serialize(serializer),
        }
    }
}

/// A tensor as nested lists.
struct Nested<'a> {
    shape: &'a [usize],
    data: &'a [f32],
}

impl<'a> Nested<'a> {
    fn of(tensor: &'a HostTensor) -> Self {
        Nested {
            shape: &tensor.shape,
            data: &tensor.data,
        }
    }
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.shape {
            [] | [_] => self.data.serialize(serializer),
            [rows, inner @ ..] => {
                let stride = inner.iter().product::<usize>();
                let mut list = serializer.serialize_seq(Some(*rows))?;
                for row in 0..*rows {
                    let data = &self.data[row * stride..(row + 1) * stride];
                    list.serialize_element(&Nested { shape: inner, data })?;
                }
                list.end()
            }
        }
    }
}
