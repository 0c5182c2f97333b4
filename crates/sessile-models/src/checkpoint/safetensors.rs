//! The safetensors format: eight bytes of length, a JSON header, then the bytes of every tensor.
//!
//! Described at <https://github.com/huggingface/safetensors#format>. The header comes from
//! strangers, so nothing in it is believed before it is checked: as in the reference reader, the
//! tensors must lie end to end and fill the file, with no gap, no overlap and no name twice.

mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::contents::in_file;
use super::file::WeightFile;
use super::tensor::TensorDType;
use crate::error::{ModelError, ModelErrorKind};

pub use self::write::{StoredTensor, write_safetensors};

/// The reference reader refuses longer headers; the longest published ones are under 1 MB.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Bytes of the header's length at the start of the file.
pub(crate) const LENGTH_BYTES: usize = 8;

/// The header of a safetensors file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Every tensor by name.
    pub tensors: BTreeMap<String, HeaderTensor>,
    /// The free-form `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// What the header says about one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderTensor {
    /// Number format of the elements.
    pub dtype: TensorDType,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The bytes of the elements, counted from the start of the file.
    pub bytes: Range<u64>,
}

/// Reads the header of a safetensors file that lies in memory.
///
/// # Errors
///
/// `Malformed` when the file is cut short, its header is too long or is not the JSON that the
/// format asks for, or its tensors overlap, leave gaps or do not fill the file; `Unsupported` for
/// a number format that is not known.
///
/// # Examples
///
/// ```
/// use sessile_models::checkpoint::safetensors::parse_header;
///
/// let json = br#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
/// let mut file = (json.len() as u64).to_le_bytes().to_vec();
/// file.extend_from_slice(json);
/// file.extend_from_slice(&[0; 8]);
/// let header = parse_header(&file)?;
/// assert_eq!(header.tensors["w"].shape, [2]);
/// # Ok::<(), sessile_models::ModelError>(())
/// ```
pub fn parse_header(file: &[u8]) -> Result<Header, ModelError> {
    let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(too_short(file.len() as u64));
    };
    let length = header_length(*length, file.len() as u64)?;
    // `header_length` has compared it with the length of the file.
    parse_json(&rest[..length], (rest.len() - length) as u64)
}

/// Reads the header of a safetensors file, its metadata too.
///
/// # Errors
///
/// As [`parse_header`], and when the file can not be read.
///
/// # Examples
///
/// ```
/// use sessile_models::checkpoint::safetensors::read_header;
///
/// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/virnucpro/mlp");
/// let header = read_header(format!("{golden}/model.safetensors").as_ref())?;
/// assert_eq!(header.metadata["format"], "pt");
/// # Ok::<(), sessile_models::ModelError>(())
/// ```
pub fn read_header(path: &Path) -> Result<Header, ModelError> {
    let file = WeightFile::open(path)?;
    let read = || {
        if file.len() < LENGTH_BYTES as u64 {
            return Err(too_short(file.len()));
        }
        let mut length = [0; LENGTH_BYTES];
        length.copy_from_slice(&file.read_vec(0, LENGTH_BYTES)?);
        let length = header_length(length, file.len())?;
        let json = file.read_vec(LENGTH_BYTES as u64, length)?;
        parse_json(&json, file.len() - (LENGTH_BYTES + length) as u64)
    };
    read().map_err(|error| in_file(error, path))
}

/// The length of the JSON, checked against the length of the whole file.
pub(crate) fn header_length(bytes: [u8; 8], file_len: u64) -> Result<usize, ModelError> {
    let length = u64::from_le_bytes(bytes);
    if length > MAX_HEADER_BYTES {
        return Err(malformed(format!(
            "the header claims to be {length} bytes long, the limit is {MAX_HEADER_BYTES}"
        ))
        .with_hint("is this a safetensors file?"));
    }
    let needed = length + LENGTH_BYTES as u64;
    if needed > file_len {
        return Err(malformed(format!(
            "the file is cut short: {file_len} bytes, its header alone needs {needed}"
        ))
        .with_hint("fetch or copy it again"));
    }
    Ok(length as usize)
}

pub(crate) fn too_short(file_len: u64) -> ModelError {
    if file_len == 0 {
        malformed("the file is empty".to_owned())
    } else {
        malformed(format!(
            "the file is cut short: {file_len} bytes are not even a header's length"
        ))
    }
    .with_hint("fetch or copy it again")
}

/// Reads the JSON of a header that is followed by `data_len` bytes of tensors.
pub(crate) fn parse_json(json: &[u8], data_len: u64) -> Result<Header, ModelError> {
    if json.first() != Some(&b'{') {
        return Err(malformed("the header is not a JSON object".to_owned())
            .with_hint("is this a safetensors file?"));
    }
    let entries: Entries = serde_json::from_slice(json)
        .map_err(|error| malformed(format!("the header can not be read: {error}")))?;
    let data_start = (LENGTH_BYTES + json.len()) as u64;
    let mut tensors = BTreeMap::new();
    for (name, entry) in entries.tensors {
        let tensor = check(&name, entry, data_start, data_len)?;
        tensors.insert(name, tensor);
    }
    check_layout(&tensors, data_start, data_len)?;
    Ok(Header {
        tensors,
        metadata: entries.metadata,
    })
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

fn check(
    name: &str,
    entry: Entry,
    data_start: u64,
    data_len: u64,
) -> Result<HeaderTensor, ModelError> {
    let Some(dtype) = dtype(&entry.dtype) else {
        return Err(ModelError::new(
            ModelErrorKind::Unsupported,
            format!(
                "tensor `{name}` has the number format `{}`, which is not known",
                entry.dtype
            ),
        ));
    };
    let bytes = entry
        .shape
        .iter()
        .try_fold(dtype.size() as u64, |bytes, &length| {
            bytes.checked_mul(length)
        })
        .filter(|&bytes| bytes <= isize::MAX as u64);
    let (begin, end) = entry.data_offsets;
    if begin > end || end > data_len {
        return Err(malformed(format!(
            "tensor `{name}` is said to lie at bytes {begin}..{end}, but the file has {data_len} \
             bytes of tensors"
        ))
        .with_hint("the file may be cut short: fetch or copy it again"));
    }
    if bytes != Some(end - begin) {
        return Err(malformed(format!(
            "tensor `{name}` of shape {:?} and format {dtype} does not fit into its {} bytes",
            entry.shape,
            end - begin
        )));
    }
    Ok(HeaderTensor {
        dtype,
        shape: dimensions(&entry.shape, name)?,
        bytes: data_start + begin..data_start + end,
    })
}

/// Dimensions as `usize`. A zero among them lets the others be anything.
fn dimensions(shape: &[u64], name: &str) -> Result<Vec<usize>, ModelError> {
    shape
        .iter()
        .map(|&length| {
            usize::try_from(length)
                .ok()
                .filter(|&length| length <= isize::MAX as usize)
        })
        .collect::<Option<Vec<_>>>()
        .filter(|shape| {
            shape
                .iter()
                .try_fold(1usize, |n, &d| n.checked_mul(d.max(1)))
                .is_some()
        })
        .ok_or_else(|| {
            malformed(format!(
                "tensor `{name}` has the impossible shape {shape:?}"
            ))
        })
}

/// The tensors must fill the space after the header exactly.
fn check_layout(
    tensors: &BTreeMap<String, HeaderTensor>,
    data_start: u64,
    data_len: u64,
) -> Result<(), ModelError> {
    let mut order: Vec<_> = tensors.iter().collect();
    order.sort_by_key(|(_, tensor)| (tensor.bytes.start, tensor.bytes.end));
    let mut filled = data_start;
    let mut before = "the header";
    for (name, tensor) in order {
        if tensor.bytes.start < filled {
            return Err(malformed(format!("tensor `{name}` overlaps {before}")));
        }
        if tensor.bytes.start > filled {
            return Err(malformed(format!(
                "{} bytes between {before} and tensor `{name}` belong to no tensor",
                tensor.bytes.start - filled
            )));
        }
        filled = tensor.bytes.end;
        before = name;
    }
    let left = data_start + data_len - filled;
    if left > 0 {
        return Err(
            malformed(format!("{left} bytes at the end belong to no tensor"))
                .with_hint("the header does not describe this file"),
        );
    }
    Ok(())
}

fn dtype(name: &str) -> Option<TensorDType> {
    Some(match name {
        "F64" => TensorDType::F64,
        "F32" => TensorDType::F32,
        "F16" => TensorDType::F16,
        "BF16" => TensorDType::Bf16,
        "F8_E4M3" => TensorDType::F8E4M3,
        "F8_E5M2" => TensorDType::F8E5M2,
        "C64" => TensorDType::C64,
        "I64" => TensorDType::I64,
        "I32" => TensorDType::I32,
        "I16" => TensorDType::I16,
        "I8" => TensorDType::I8,
        "U64" => TensorDType::U64,
        "U32" => TensorDType::U32,
        "U16" => TensorDType::U16,
        "U8" => TensorDType::U8,
        "BOOL" => TensorDType::Bool,
        _ => return None,
    })
}

fn malformed(message: String) -> ModelError {
    ModelError::new(ModelErrorKind::Malformed, message)
}

/// The JSON object, read by hand because a map type would swallow a name that comes twice.
#[derive(Default)]
struct Entries {
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        let mut metadata_seen = false;
        while let Some(name) = map.next_key::<String>()? {
            let twice = if name == "__metadata__" {
                // Some writers put a null where they have nothing to say.
                entries.metadata = map.next_value::<Option<_>>()?.unwrap_or_default();
                std::mem::replace(&mut metadata_seen, true)
            } else {
                let entry = map.next_value()?;
                entries.tensors.insert(name.clone(), entry).is_some()
            };
            if twice {
                return Err(serde::de::Error::custom(format!(
                    "the name `{name}` comes twice"
                )));
            }
        }
        Ok(entries)
    }
}
