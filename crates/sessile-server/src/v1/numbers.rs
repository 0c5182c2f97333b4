//! Many numbers in an answer: as JSON, or packed as base64 of little-endian f32.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeSeq, Serializer};
use sessile_device::HostTensor;
use utoipa::ToSchema;

/// How numbers are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingFormat {
    /// As JSON numbers.
    #[default]
    Float,
    /// As base64 of little-endian 32-bit floats: a third of the size, and exact.
    Base64,
}

/// Numbers: a list, a list of lists, or base64.
#[derive(serde::Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the variants describe the API")]
pub(crate) enum Numbers {
    /// A vector.
    Vector(Vec<f32>),
    /// A matrix, row by row.
    Matrix(Vec<Vec<f32>>),
    /// Little-endian 32-bit floats, row by row.
    Base64(String),
}

/// A tensor of one or two dimensions on its way to JSON.
pub(super) struct Encoded<'a> {
    pub(super) data: &'a [f32],
    /// Numbers of a row; `None` for a vector.
    pub(super) columns: Option<usize>,
    pub(super) format: EncodingFormat,
}

impl<'a> Encoded<'a> {
    /// All numbers in one list.
    pub(super) fn vector(tensor: &'a HostTensor, format: EncodingFormat) -> Self {
        Encoded {
            data: &tensor.data,
            columns: None,
            format,
        }
    }

    /// A list per row.
    pub(super) fn matrix(tensor: &'a HostTensor, format: EncodingFormat) -> Self {
        Encoded {
            data: &tensor.data,
            columns: tensor.shape.last().copied(),
            format,
        }
    }
}

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.format == EncodingFormat::Base64 {
            let bytes: Vec<u8> = self
                .data
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            return serializer.serialize_str(&STANDARD.encode(bytes));
        }
        match self.columns {
            None => self.data.serialize(serializer),
            Some(columns) => {
                let rows = self.data.chunks(columns.max(1));
                let mut list = serializer.serialize_seq(Some(rows.len()))?;
                for row in rows {
                    list.serialize_element(row)?;
                }
                list.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written() {
        let data = [1.0_f32, 2.5, -3.0, 0.1];
        let cases = [
            (None, EncodingFormat::Float, "[1.0,2.5,-3.0,0.1]"),
            (Some(2), EncodingFormat::Float, "[[1.0,2.5],[-3.0,0.1]]"),
            (
                Some(2),
                EncodingFormat::Base64,
                "\"AACAPwAAIEAAAEDAzczMPQ==\"",
            ),
        ];
        for (columns, format, expected) in cases {
            let encoded = Encoded {
                data: &data,
                columns,
                format,
            };
            assert_eq!(serde_json::to_string(&encoded).unwrap(), expected);
        }
    }
}
