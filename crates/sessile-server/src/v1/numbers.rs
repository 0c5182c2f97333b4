//! Many numbers in an answer: as JSON, or packed as base64 of little-endian f32.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, Serializer};
use sessile_device::HostTensor;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

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

/// A vector or a matrix in an answer.
pub(crate) struct Numbers {
    tensor: HostTensor,
    format: EncodingFormat,
}

impl Numbers {
    pub(super) fn new(tensor: HostTensor, format: EncodingFormat) -> Self {
        Numbers { tensor, format }
    }

    pub(crate) fn into_tensor(self) -> HostTensor {
        self.tensor
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let HostTensor { shape, data } = &self.tensor;
        if self.format == EncodingFormat::Base64 {
            let bytes: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
            return serializer.serialize_str(&STANDARD.encode(bytes));
        }
        match shape[..] {
            [_, columns] => serializer.collect_seq(data.chunks(columns.max(1))),
            _ => data.serialize(serializer),
        }
    }
}

impl PartialSchema for Numbers {
    fn schema() -> RefOr<Schema> {
        let row = Vec::<f32>::schema();
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Little-endian 32-bit floats, row by row."));
        OneOfBuilder::new()
            .item(row.clone())
            .item(ArrayBuilder::new().items(row))
            .item(text)
            .description(Some("A vector, a matrix row by row, or base64."))
            .into()
    }
}

impl ToSchema for Numbers {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written() {
        let data = vec![1.0_f32, 2.5, -3.0, 0.1];
        let (vector, matrix) = (vec![4], vec![2, 2]);
        let cases = [
            (&vector, EncodingFormat::Float, "[1.0,2.5,-3.0,0.1]"),
            (&matrix, EncodingFormat::Float, "[[1.0,2.5],[-3.0,0.1]]"),
            (
                &matrix,
                EncodingFormat::Base64,
                "\"AACAPwAAIEAAAEDAzczMPQ==\"",
            ),
        ];
        for (shape, format, expected) in cases {
            let numbers = Numbers::new(HostTensor::new(shape.clone(), data.clone()), format);
            assert_eq!(serde_json::to_string(&numbers).unwrap(), expected);
        }
    }
}
