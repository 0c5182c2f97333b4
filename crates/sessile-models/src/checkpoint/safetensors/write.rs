//! Writing the safetensors format.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

/// The numbers of a tensor to be written.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum StoredTensor<'a> {
    /// `F32`.
    F32(&'a [f32]),
    /// `I64`.
    I64(&'a [i64]),
    /// `U8`.
    U8(&'a [u8]),
}

impl StoredTensor<'_> {
    fn len(&self) -> usize {
        match self {
            StoredTensor::F32(data) => data.len(),
            StoredTensor::I64(data) => data.len(),
            StoredTensor::U8(data) => data.len(),
        }
    }

    fn format(&self) -> (&'static str, usize) {
        match self {
            StoredTensor::F32(_) => ("F32", 4),
            StoredTensor::I64(_) => ("I64", 8),
            StoredTensor::U8(_) => ("U8", 1),
        }
    }
}

/// Writes metadata and tensors in the order given.
///
/// # Errors
///
/// When `out` can not be written; `InvalidInput` for a tensor whose shape and data differ.
///
/// # Examples
///
/// ```
/// use sessile_models::checkpoint::safetensors::parse_header;
/// use sessile_models::checkpoint::{StoredTensor, write_safetensors};
///
/// let weights = [("w", vec![2], StoredTensor::F32(&[0.5, 1.5]))];
/// let file = write_safetensors(Vec::new(), &[("format", "pt")], &weights)?;
/// let header = parse_header(&file).unwrap();
/// assert_eq!(header.tensors["w"].shape, [2]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_safetensors<W: Write>(
    mut out: W,
    metadata: &[(&str, &str)],
    tensors: &[(&str, Vec<usize>, StoredTensor<'_>)],
) -> io::Result<W> {
    let mut header = Map::new();
    let metadata: Map<String, Value> = metadata
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.into()))
        .collect();
    header.insert("__metadata__".to_owned(), Value::Object(metadata));
    let mut end = 0;
    for (name, shape, data) in tensors {
        if shape.iter().product::<usize>() != data.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the shape of tensor `{name}` does not fit its data"),
            ));
        }
        let (format, size) = data.format();
        let begin = end;
        end += data.len() * size;
        header.insert(
            (*name).to_owned(),
            json!({ "dtype": format, "shape": shape, "data_offsets": [begin, end] }),
        );
    }
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for (.., data) in tensors {
        match data {
            StoredTensor::F32(data) => values(&mut out, data, |value| value.to_le_bytes())?,
            StoredTensor::I64(data) => values(&mut out, data, |value| value.to_le_bytes())?,
            StoredTensor::U8(data) => out.write_all(data)?,
        }
    }
    Ok(out)
}

fn values<W: Write, T: Copy, const SIZE: usize>(
    out: &mut W,
    data: &[T],
    bytes: impl Fn(T) -> [u8; SIZE],
) -> io::Result<()> {
    const BLOCK: usize = 4096;
    let mut buffer = Vec::with_capacity(BLOCK * SIZE);
    for block in data.chunks(BLOCK) {
        buffer.clear();
        buffer.extend(block.iter().flat_map(|&value| bytes(value)));
        out.write_all(&buffer)?;
    }
    Ok(())
}
