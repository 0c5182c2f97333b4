//! Answers for programs: numbers as they are in memory, in the place of JSON. A client asks for them by
//! `Accept`: `application/octet-stream` (little-endian f32, or with `;dtype=f16` f16) or
//! `application/vnd.apache.arrow.stream`.

use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, UInt32Array};
use arrow_buffer::NullBuffer;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use half::f16;
use sessile_device::HostTensor;

use crate::failure::{Failure, FailureKind};

/// Numbers as they are.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// The stream format of Arrow.
pub(crate) const ARROW: &str = "application/vnd.apache.arrow.stream";

const DTYPE: HeaderName = HeaderName::from_static("x-sessile-dtype");
const SHAPE: HeaderName = HeaderName::from_static("x-sessile-shape");
const MODEL: HeaderName = HeaderName::from_static("x-sessile-model");

/// Most matrices of an answer in octets: each has its shape in a header, which clients bound.
const MOST_SHAPES: usize = 512;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Octets(Element),
    Arrow,
}

/// The numbers of an answer in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F16,
}

impl Format {
    /// What a client wants of a call that can, or cannot, answer in numbers alone.
    pub(crate) fn wanted(headers: &HeaderMap, has_numbers: bool) -> Result<Self, Failure> {
        let mut best: Option<(f32, Format)> = None;
        let values = headers.get_all(header::ACCEPT).iter();
        for range in values
            .filter_map(|value| value.to_str().ok()?.split(',').into())
            .flatten()
        {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut element) = (1.0, Element::F32);
            for part in parts {
                match part.split_once('=') {
                    Some(("q", text)) => quality = text.parse().unwrap_or(1.0),
                    Some(("dtype", "f16")) => element = Element::F16,
                    Some(("dtype", "f32")) | None => {}
                    Some(("dtype", other)) => {
                        let other = crate::service::shortened(other);
                        let message = format!("dtype `{other}` in Accept: there are f32 and f16");
                        return Err(Failure::new(FailureKind::NotAcceptable, message));
                    }
                    Some(_) => {}
                }
            }
            let format = match &*kind {
                OCTETS => Format::Octets(element),
                ARROW => Format::Arrow,
                "application/json" | "application/*" | "*/*" => Format::Json,
                _ => continue,
            };
            let is_possible = has_numbers || format == Format::Json;
            // Of those that it wants as much, the first; the rest stands for a wish that cannot be met.
            let rank = if is_possible { quality } else { -1.0 };
            if quality > 0.0 && best.is_none_or(|(before, _)| rank > before) {
                best = Some((rank, format));
            }
        }
        match best {
            Some((rank, _)) if rank < 0.0 => Err(Failure::new(
                FailureKind::NotAcceptable,
                "this call answers in JSON alone; numbers as they are come from /v1/embeddings, \
                 /v1/logits and /v1/contacts",
            )),
            Some((_, format)) => Ok(format),
            None => Ok(Format::Json),
        }
    }
}

/// The numbers of an answer: a vector or a matrix for each item, or why there is none.
pub(crate) struct Rows {
    /// What they are.
    pub(crate) name: &'static str,
    pub(crate) model: String,
    pub(crate) items: Vec<Result<HostTensor, Failure>>,
}

/// An answer that is no JSON: its bytes, and the headers that say what they are.
pub(crate) type Written = (Vec<u8>, Vec<(HeaderName, HeaderValue)>);

impl Rows {
    /// All numbers behind each other. An item without an answer is the failure of all: its numbers
    /// would be missing in the midst.
    pub(crate) fn octets(self, element: Element) -> Result<Written, Failure> {
        let mut tensors = Vec::with_capacity(self.items.len());
        for (index, item) in self.items.into_iter().enumerate() {
            tensors.push(item.map_err(|failure| failure.at(index))?);
        }
        let is_vectors = tensors.iter().all(|tensor| tensor.shape.len() == 1);
        if !is_vectors && tensors.len() > MOST_SHAPES {
            let message = format!(
                "{} matrices are more than {MOST_SHAPES} in one answer of {OCTETS}; ask for {ARROW}",
                tensors.len()
            );
            return Err(Failure::new(FailureKind::TooLarge, message).about("input"));
        }
        let shape = match tensors.first() {
            Some(first) if is_vectors => format!("{},{}", tensors.len(), first.data.len()),
            _ => {
                let shapes = tensors.iter().map(|tensor| {
                    let sides: Vec<_> = tensor.shape.iter().map(usize::to_string).collect();
                    sides.join(",")
                });
                shapes.collect::<Vec<_>>().join(";")
            }
        };
        let count: usize = tensors.iter().map(|tensor| tensor.data.len()).sum();
        let values = tensors.iter().flat_map(|tensor| &tensor.data);
        let (dtype, bytes) = match element {
            Element::F32 => {
                let mut bytes = Vec::with_capacity(count * 4);
                values.for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
                ("f32", bytes)
            }
            Element::F16 => {
                let mut bytes = Vec::with_capacity(count * 2);
                values.for_each(|&value| {
                    bytes.extend_from_slice(&f16::from_f32(value).to_le_bytes());
                });
                ("f16", bytes)
            }
        };
        let headers = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static(OCTETS)),
            (DTYPE, HeaderValue::from_static(dtype)),
            (SHAPE, text(&shape)),
            (MODEL, text(&self.model)),
        ];
        Ok((bytes, headers))
    }

    /// One batch of Arrow: `index`, the numbers under their name, and `error` where there are none.
    /// Vectors are lists of a fixed size; matrices are lists, row by row, with `columns` beside them.
    pub(crate) fn arrow(self) -> Result<Written, Failure> {
        let model = text(&self.model);
        let bytes = self.stream().map_err(|error| {
            let message = format!("the answer cannot be written: {error}");
            Failure::new(FailureKind::Internal, message)
        })?;
        let headers = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static(ARROW)),
            (MODEL, model),
        ];
        Ok((bytes, headers))
    }

    fn stream(self) -> Result<Vec<u8>, ArrowError> {
        let items = self.items.len();
        let mut errors = StringBuilder::new();
        let mut tensors = Vec::with_capacity(items);
        for item in self.items {
            match item {
                Ok(tensor) => {
                    errors.append_null();
                    tensors.push(Some(tensor));
                }
                Err(failure) => {
                    errors.append_value(&failure.message);
                    tensors.push(None);
                }
            }
        }
        let index = UInt32Array::from_iter_values((0..items).map(|index| index as u32));
        let mut columns: Vec<(&str, ArrayRef)> = vec![("index", Arc::new(index))];
        let first = tensors.iter().flatten().next();
        match first.map_or(&[][..], |tensor| &tensor.shape[..]) {
            [width] => {
                columns.push((self.name, Arc::new(vectors(*width, &tensors)?)));
            }
            _ => {
                let widths = tensors
                    .iter()
                    .map(|tensor| Some(*tensor.as_ref()?.shape.last()? as u32));
                columns.push(("columns", Arc::new(widths.collect::<UInt32Array>())));
                let mut lists = ListBuilder::new(Float32Builder::new());
                for tensor in &tensors {
                    lists.append_option(
                        tensor
                            .as_ref()
                            .map(|tensor| tensor.data.iter().copied().map(Some)),
                    );
                }
                columns.push((self.name, Arc::new(lists.finish())));
            }
        }
        columns.push(("error", Arc::new(errors.finish())));
        let fields = columns
            .iter()
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), *name != "index"));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        writer.write(&batch)?;
        writer.into_inner()
    }
}

fn vectors(width: usize, tensors: &[Option<HostTensor>]) -> Result<FixedSizeListArray, ArrowError> {
    let mut values = Vec::with_capacity(width * tensors.len());
    for tensor in tensors {
        match tensor {
            Some(tensor) => values.extend_from_slice(&tensor.data),
            None => values.resize(values.len() + width, 0.0),
        }
    }
    let field = Arc::new(Field::new("item", DataType::Float32, false));
    let there: NullBuffer = tensors.iter().map(Option::is_some).collect();
    let width = i32::try_from(width).unwrap_or(i32::MAX);
    FixedSizeListArray::try_new(
        field,
        width,
        Arc::new(Float32Array::from(values)),
        Some(there),
    )
}

/// A header of what may not be one as it is: a model's name.
fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))])
    }

    #[test]
    fn formats_are_chosen_by_accept() {
        let f32 = Format::Octets(Element::F32);
        let cases = [
            ("*/*", Ok(Format::Json)),
            ("text/html, */*;q=0.1", Ok(Format::Json)),
            ("text/html", Ok(Format::Json)),
            ("application/octet-stream", Ok(f32)),
            (
                "application/octet-stream; dtype=f16",
                Ok(Format::Octets(Element::F16)),
            ),
            ("application/json;q=0.5, application/octet-stream", Ok(f32)),
            ("application/octet-stream;q=0, */*", Ok(Format::Json)),
            ("application/vnd.apache.arrow.stream", Ok(Format::Arrow)),
            ("application/octet-stream;dtype=f64", Err("dtype `f64`")),
        ];
        for (value, expected) in cases {
            match (Format::wanted(&accept(value), true), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{value}"),
                (Err(failure), Err(words)) => assert!(failure.message.contains(words), "{value}"),
                (found, _) => panic!("{value}: {found:?}"),
            }
        }
        assert_eq!(
            Format::wanted(&HeaderMap::new(), false).unwrap(),
            Format::Json
        );
        let both = accept("application/octet-stream, application/json;q=0.1");
        assert_eq!(Format::wanted(&both, false).unwrap(), Format::Json);
        let neither = Format::wanted(&accept("application/octet-stream"), false).unwrap_err();
        assert_eq!(neither.kind, FailureKind::NotAcceptable);
    }

    #[test]
    fn a_failed_item_fails_octets_and_is_a_null_in_arrow() {
        let rows = || Rows {
            name: "embedding",
            model: "m".to_owned(),
            items: vec![
                Ok(HostTensor::new(vec![2], vec![1.0, -2.5])),
                Err(Failure::invalid("input", "it is empty")),
            ],
        };
        assert_eq!(rows().octets(Element::F32).unwrap_err().index, Some(1));
        let (bytes, _) = rows().arrow().unwrap();
        let mut batches = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
        let batch = batches.next().unwrap().unwrap();
        let names: Vec<_> = batch
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        assert_eq!(names, ["index", "embedding", "error"]);
        assert!(batch.column(1).is_valid(0) && batch.column(1).is_null(1));
    }

    #[test]
    fn matrices_have_a_shape_each() {
        let rows = Rows {
            name: "logits",
            model: "m".to_owned(),
            items: vec![
                Ok(HostTensor::new(vec![1, 2], vec![1.0, 2.0])),
                Ok(HostTensor::new(vec![2, 2], vec![3.0; 4])),
            ],
        };
        let (bytes, headers) = rows.octets(Element::F16).unwrap();
        assert_eq!((bytes.len(), &bytes[..2]), (12, &[0, 0x3c][..]));
        assert!(headers.contains(&(SHAPE, HeaderValue::from_static("1,2;2,2"))));
    }
}
