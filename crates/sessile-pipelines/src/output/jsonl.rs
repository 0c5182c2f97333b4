//! JSON Lines: a JSON object per record, keys in a fixed order.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use sessile_device::HostTensor;

use super::whole_file::Destination;
use super::{Likelihood, Row, RowWriter};

/// Writes rows as JSON Lines.
///
/// Keys: `id`, `length` (residues), `truncated`, then one per output. A vector is a list of
/// numbers, a matrix a list of rows. Numbers are the shortest decimals that read back to the same
/// f32.
pub struct JsonLines {
    out: Destination,
    line: Vec<u8>,
}

impl JsonLines {
    /// Writes to `out`.
    pub fn new(out: Destination) -> Self {
        JsonLines {
            out,
            line: Vec::new(),
        }
    }
}

impl RowWriter for JsonLines {
    fn write(&mut self, row: &Row) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, &Line(row))?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.out.finish()
    }
}

struct Line<'a>(&'a Row);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Line(row) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &row.id)?;
        map.serialize_entry("length", &row.length)?;
        map.serialize_entry("truncated", &row.truncated)?;
        for (name, tensor) in &row.tensors {
            map.serialize_entry(name.name(), &Nested::of(tensor))?;
        }
        if let Some(Likelihood {
            masked_mean,
            unmasked_mean,
            pseudo_perplexity,
        }) = row.likelihood
        {
            map.serialize_entry(
                "likelihood",
                &serde_json::json!({
                    "masked_mean": masked_mean,
                    "unmasked_mean": unmasked_mean,
                    "pseudo_perplexity": pseudo_perplexity,
                }),
            )?;
        }
        map.end()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputName;

    #[test]
    fn a_row_is_a_line_with_nested_lists() {
        let row = Row {
            id: "a \"b\"".to_owned(),
            length: 2,
            truncated: false,
            tensors: vec![
                (OutputName::Mean, HostTensor::new(vec![2], vec![0.1, -1.5])),
                (
                    OutputName::PerResidue,
                    HostTensor::new(vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]),
                ),
            ],
            likelihood: None,
        };
        let line = serde_json::to_string(&Line(&row)).unwrap();
        assert_eq!(
            line,
            r#"{"id":"a \"b\"","length":2,"truncated":false,"mean":[0.1,-1.5],"per_residue":[[1.0,2.0],[3.0,4.0]]}"#
        );
    }
}
