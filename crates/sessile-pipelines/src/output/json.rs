//! JSON: an object per record, keys in a fixed order, a line each (JSON Lines) or all in a list.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;
use sessile_device::HostTensor;

use super::compressed::Compressed;
use super::format::Definition;
use super::{Cell, ColumnKind, Finished, Presence, Row, RowWriter, Schema};

/// JSON Lines.
pub(super) const LINES: Definition = Definition {
    name: "jsonl",
    extensions: &["jsonl", "ndjson"],
    is_text: true,
    needs_file: false,
    beside: None,
    refuses: |_| None,
    open: |out, schema| Ok(Box::new(Json::new(out, schema, JsonLayout::Lines))),
};

/// One JSON document.
pub(super) const LIST: Definition = Definition {
    name: "json",
    extensions: &["json"],
    open: |out, schema| Ok(Box::new(Json::new(out, schema, JsonLayout::List))),
    ..LINES
};

/// How objects stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonLayout {
    /// An object a line.
    Lines,
    /// One list, an object a line in it.
    List,
}

/// Writes rows as JSON.
///
/// The key `id` comes first, then one per column. A vector is a list of numbers, a matrix a list of
/// rows, several named numbers are an object. Numbers are the shortest decimals that read back to
/// the same value. Fields of the input stand as they were written there, in the place of `id`.
pub struct Json {
    out: Compressed,
    layout: JsonLayout,
    schema: Schema,
    line: Vec<u8>,
    is_begun: bool,
}

impl Json {
    /// Writes to `out`.
    pub fn new(out: Compressed, schema: &Schema, layout: JsonLayout) -> Self {
        Json {
            out,
            layout,
            schema: schema.clone(),
            line: Vec::new(),
            is_begun: false,
        }
    }
}

impl RowWriter for Json {
    fn write(&mut self, row: &Row) -> io::Result<()> {
        self.line.clear();
        match (self.layout, self.is_begun) {
            (JsonLayout::Lines, _) => {}
            (JsonLayout::List, false) => self.line.extend_from_slice(b"[\n"),
            (JsonLayout::List, true) => self.line.extend_from_slice(b",\n"),
        }
        self.is_begun = true;
        let schema = &self.schema;
        serde_json::to_writer(&mut self.line, &Line { row, schema })?;
        if self.layout == JsonLayout::Lines {
            self.line.push(b'\n');
        }
        self.out.write_all(&self.line)
    }

    fn finish(mut self: Box<Self>) -> io::Result<Finished> {
        match (self.layout, self.is_begun) {
            (JsonLayout::Lines, _) => {}
            (JsonLayout::List, false) => self.out.write_all(b"[]\n")?,
            (JsonLayout::List, true) => self.out.write_all(b"\n]\n")?,
        }
        self.out.finish()?;
        Ok(Finished::default())
    }
}

struct Line<'a> {
    row: &'a Row,
    schema: &'a Schema,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.schema.has_fields() {
            map.serialize_entry(&self.schema.id, &self.row.id)?;
        }
        for (column, cell) in self.schema.columns.iter().zip(&self.row.cells) {
            match (cell, column.presence) {
                (Cell::Fields(fields), _) => {
                    for (name, value) in fields {
                        map.serialize_entry(name, &raw(value)?)?;
                    }
                }
                (Cell::Missing, Presence::Optional) => {}
                _ => {
                    let kind = &column.kind;
                    map.serialize_entry(&column.name, &Value { kind, cell })?;
                }
            }
        }
        map.end()
    }
}

/// JSON text as it is.
fn raw<E: serde::ser::Error>(text: &str) -> Result<&RawValue, E> {
    serde_json::from_str(text).map_err(E::custom)
}

/// Fields as a JSON object, for formats that have them in one column.
pub(super) fn object(fields: &[(String, String)]) -> io::Result<String> {
    struct Object<'a>(&'a [(String, String)]);
    impl Serialize for Object<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(self.0.len()))?;
            for (name, value) in self.0 {
                map.serialize_entry(name, &raw::<S::Error>(value)?)?;
            }
            map.end()
        }
    }
    Ok(serde_json::to_string(&Object(fields))?)
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
            (Cell::Single(number), _) => number.serialize(serializer),
            (Cell::Numbers(numbers), ColumnKind::Numbers(names)) => {
                serializer.collect_map(names.iter().zip(numbers))
            }
            (Cell::Numbers(numbers), _) => numbers.serialize(serializer),
            (Cell::Tensor(tensor), _) => Nested::of(tensor).serialize(serializer),
            (Cell::Integers(numbers), _) => numbers.serialize(serializer),
            (Cell::Fields(_) | Cell::Missing, _) => serializer.serialize_none(),
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
