//! Writing what `torch.load(weights_only=True)` reads: plain data and f32 tensors.
//!
//! The pickle is of protocol 2, as torch's own, and each tensor has a storage of its own.

use std::borrow::Cow;
use std::io::{self, Write};

use super::super::pickle::op;
use super::super::zip::write::ArchiveWriter;

/// Python hands containers over in batches of this many items.
const BATCH: usize = 1000;

/// Deeper nesting is a fault of the program; readers refuse it.
const MAX_DEPTH: usize = 100;

/// A Python object to be saved.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text.
    Str(Cow<'a, str>),
    /// A list.
    List(Vec<Saved<'a>>),
    /// A tuple.
    Tuple(Vec<Saved<'a>>),
    /// A dict, its entries in order.
    Dict(Vec<(Saved<'a>, Saved<'a>)>),
    /// `set()`.
    EmptySet,
    /// A dense tensor of `torch.int64`.
    Integers {
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// `shape` elements in row-major order.
        data: Cow<'a, [i64]>,
    },
    /// A tensor as a parameter of a module.
    Parameter(Box<Saved<'a>>),
    /// An instance of a class that sets its attributes without code of its own.
    Object {
        /// The Python module of the class.
        module: &'static str,
        /// Its name.
        class: &'static str,
        /// The attributes.
        state: Vec<(Saved<'a>, Saved<'a>)>,
    },
    /// A dense tensor of `torch.float32`.
    Tensor {
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// `shape` elements in row-major order.
        data: Cow<'a, [f32]>,
    },
}

impl<'a> From<&'a str> for Saved<'a> {
    fn from(text: &'a str) -> Self {
        Saved::Str(Cow::Borrowed(text))
    }
}

impl From<f64> for Saved<'_> {
    fn from(value: f64) -> Self {
        Saved::Float(value)
    }
}

impl From<i64> for Saved<'_> {
    fn from(value: i64) -> Self {
        Saved::Int(value)
    }
}

/// Writes `value` as `torch.save` would. `name` is the folder inside the archive; torch takes the
/// file's name without its extension. The same value gives the same bytes.
///
/// # Errors
///
/// When `out` can not be written; `InvalidInput` for a tensor whose shape and data differ, for
/// nesting deeper than 100 and for a text of 4 GiB.
///
/// # Examples
///
/// ```
/// use sessile_models::checkpoint::{Saved, write_torch};
///
/// let row = [0.5, 1.5];
/// let features = Saved::Dict(vec![
///     ("ids".into(), Saved::List(vec!["a".into()])),
///     ("data".into(), Saved::Tensor { shape: vec![1, 2], data: (&row[..]).into() }),
/// ]);
/// let mut file = Vec::new();
/// write_torch(&mut file, "features", &features)?;
/// assert!(file.starts_with(b"PK"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_torch<W: Write>(out: W, name: &str, value: &Saved<'_>) -> io::Result<W> {
    let mut pickler = Pickler::default();
    pickler.bytes.extend_from_slice(&[op::PROTO, 2]);
    pickler.value(value, 0)?;
    pickler.bytes.push(op::STOP);
    let mut archive = ArchiveWriter::new(out);
    archive.entry(format!("{name}/data.pkl"), &pickler.bytes)?;
    archive.entry(format!("{name}/byteorder"), b"little")?;
    for (key, data) in pickler.storages.iter().enumerate() {
        let bytes = match data {
            Storage::Floats(data) => little_endian(data),
            Storage::Integers(data) => data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        archive.entry(format!("{name}/data/{key}"), &bytes)?;
    }
    archive.entry(format!("{name}/version"), b"3\n")?;
    archive.finish()
}

fn little_endian(data: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(data))
    } else {
        data.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// The Python names in the pickle, each written once and then remembered under its number.
const NAMES: [&str; 6] = [
    "ctorch._utils\n_rebuild_tensor_v2\n",
    "ctorch\nFloatStorage\n",
    "ccollections\nOrderedDict\n",
    "ctorch\nLongStorage\n",
    "ctorch._utils\n_rebuild_parameter\n",
    "cbuiltins\nset\n",
];

/// The elements of a tensor.
enum Storage<'a> {
    Floats(&'a [f32]),
    Integers(&'a [i64]),
}

impl Storage<'_> {
    fn len(&self) -> usize {
        match self {
            Storage::Floats(data) => data.len(),
            Storage::Integers(data) => data.len(),
        }
    }

    /// Its class, by number.
    fn class(&self) -> usize {
        match self {
            Storage::Floats(_) => 1,
            Storage::Integers(_) => 3,
        }
    }
}

#[derive(Default)]
struct Pickler<'a> {
    bytes: Vec<u8>,
    storages: Vec<Storage<'a>>,
    named: [bool; NAMES.len()],
}

impl<'a> Pickler<'a> {
    fn value(&mut self, value: &'a Saved<'_>, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(invalid("the value is nested too deep"));
        }
        match value {
            Saved::None => self.bytes.push(op::NONE),
            Saved::Bool(true) => self.bytes.push(op::NEWTRUE),
            Saved::Bool(false) => self.bytes.push(op::NEWFALSE),
            Saved::Int(value) => self.int(*value),
            Saved::Float(value) => {
                self.bytes.push(op::BINFLOAT);
                self.bytes.extend_from_slice(&value.to_be_bytes());
            }
            Saved::Str(text) => self.text(text)?,
            Saved::List(items) => {
                self.bytes.push(op::EMPTY_LIST);
                for batch in items.chunks(BATCH) {
                    self.bytes.push(op::MARK);
                    for item in batch {
                        self.value(item, depth + 1)?;
                    }
                    self.bytes.push(op::APPENDS);
                }
            }
            Saved::Tuple(items) => {
                self.bytes.push(op::MARK);
                for item in items {
                    self.value(item, depth + 1)?;
                }
                self.bytes.push(op::TUPLE);
            }
            Saved::Dict(entries) => self.dict(entries, depth)?,
            Saved::EmptySet => {
                self.name(5);
                self.bytes.push(op::EMPTY_LIST);
                self.bytes.extend_from_slice(&[op::TUPLE1, op::REDUCE]);
            }
            Saved::Parameter(tensor) => {
                self.name(4);
                self.bytes.push(op::MARK);
                self.value(tensor, depth + 1)?;
                self.bytes.push(op::NEWTRUE);
                self.ordered_dict();
                self.bytes.extend_from_slice(&[op::TUPLE, op::REDUCE]);
            }
            Saved::Object {
                module,
                class,
                state,
            } => {
                self.bytes
                    .extend_from_slice(format!("c{module}\n{class}\n").as_bytes());
                self.bytes.extend_from_slice(&[op::EMPTY_TUPLE, op::NEWOBJ]);
                self.dict(state, depth)?;
                self.bytes.push(op::BUILD);
            }
            Saved::Tensor { shape, data } => self.tensor(shape, Storage::Floats(data))?,
            Saved::Integers { shape, data } => self.tensor(shape, Storage::Integers(data))?,
        }
        Ok(())
    }

    fn dict(&mut self, entries: &'a [(Saved<'_>, Saved<'_>)], depth: usize) -> io::Result<()> {
        self.bytes.push(op::EMPTY_DICT);
        for batch in entries.chunks(BATCH) {
            self.bytes.push(op::MARK);
            for (key, value) in batch {
                self.value(key, depth + 1)?;
                self.value(value, depth + 1)?;
            }
            self.bytes.push(op::SETITEMS);
        }
        Ok(())
    }

    /// `OrderedDict()`.
    fn ordered_dict(&mut self) {
        self.name(2);
        self.bytes.extend_from_slice(&[op::EMPTY_TUPLE, op::REDUCE]);
    }

    /// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    fn tensor(&mut self, shape: &[usize], data: Storage<'a>) -> io::Result<()> {
        let elements = shape
            .iter()
            .try_fold(1usize, |n, &length| n.checked_mul(length));
        if elements != Some(data.len()) {
            return Err(invalid("a tensor's shape does not fit its data"));
        }
        let mut strides = vec![1; shape.len()];
        for dimension in (1..shape.len()).rev() {
            strides[dimension - 1] = strides[dimension] * shape[dimension].max(1);
        }
        let key = self.storages.len().to_string();
        let (class, elements) = (data.class(), data.len());
        self.storages.push(data);
        self.name(0);
        self.bytes.extend_from_slice(&[op::MARK, op::MARK]);
        self.text("storage")?;
        self.name(class);
        self.text(&key)?;
        self.text("cpu")?;
        self.int(elements as i64);
        self.bytes.extend_from_slice(&[op::TUPLE, op::BINPERSID]);
        self.int(0);
        self.counts(shape);
        self.counts(&strides);
        self.bytes.push(op::NEWFALSE);
        self.ordered_dict();
        self.bytes.extend_from_slice(&[op::TUPLE, op::REDUCE]);
        Ok(())
    }

    fn counts(&mut self, counts: &[usize]) {
        self.bytes.push(op::MARK);
        for &count in counts {
            self.int(count as i64);
        }
        self.bytes.push(op::TUPLE);
    }

    fn name(&mut self, number: usize) {
        if self.named[number] {
            self.bytes.extend_from_slice(&[op::BINGET, number as u8]);
        } else {
            self.bytes.extend_from_slice(NAMES[number].as_bytes());
            self.bytes.extend_from_slice(&[op::BINPUT, number as u8]);
            self.named[number] = true;
        }
    }

    fn int(&mut self, value: i64) {
        if let Ok(value) = u8::try_from(value) {
            self.bytes.extend_from_slice(&[op::BININT1, value]);
        } else if let Ok(value) = i32::try_from(value) {
            self.bytes.push(op::BININT);
            self.bytes.extend_from_slice(&value.to_le_bytes());
        } else {
            self.bytes.extend_from_slice(&[op::LONG1, 8]);
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let length = u32::try_from(text.len()).map_err(|_| invalid("a text is too long"))?;
        self.bytes.push(op::BINUNICODE);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
