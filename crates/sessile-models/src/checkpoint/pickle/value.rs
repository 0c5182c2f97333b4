//! What a pickle can hold here: plain data and descriptions of tensors.

use std::sync::Arc;

use super::super::tensor::TensorDType;

/// A value read from a pickle.
///
/// Objects that a pickle refers to twice are shared, not copied. A value never contains itself,
/// its nesting is limited, and walking over all of it takes time in proportion to the file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text.
    Str(Arc<str>),
    /// `bytes` or `bytearray`.
    Bytes(Arc<[u8]>),
    /// A list.
    List(Arc<Vec<Value>>),
    /// A tuple.
    Tuple(Arc<Vec<Value>>),
    /// A set; the order means nothing.
    Set(Arc<Vec<Value>>),
    /// A `dict` or an `OrderedDict`.
    Dict(Arc<Dict>),
    /// A tensor, or a parameter of a module.
    Tensor(Arc<Tensor>),
    /// An instance of one of the known classes, as its bare attributes.
    Object(Arc<Object>),
}

/// The entries of a `dict` in the order in which they were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dict {
    /// Keys and values. The last entry of a key counts, as in Python.
    pub entries: Vec<(Value, Value)>,
}

/// An instance of a class that is known by name. None of its code is here.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Module and name of the class, as in `argparse.Namespace`.
    pub class: Arc<str>,
    /// Its attributes, usually a dict; `None` when it has none.
    pub state: Value,
}

/// Where the numbers of a tensor lie: a view of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The storage's name inside the file.
    pub storage: Arc<str>,
    /// Number format of the elements.
    pub dtype: TensorDType,
    /// Bytes of the whole storage, as the pickle says.
    pub storage_bytes: u64,
    /// First element, counted from the start of the storage.
    pub offset: u64,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Elements from one index to the next, per dimension.
    pub strides: Vec<usize>,
}

impl Dict {
    /// The value of a text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries
            .iter()
            .rev()
            .find(|(have, _)| have.as_str() == Some(key))
            .map(|(_, v)| v)
    }
}

impl Object {
    /// An attribute.
    pub fn get(&self, attribute: &str) -> Option<&Value> {
        self.state.get(attribute)
    }
}

impl Value {
    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if this is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, whether integer or float.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements of a list or a tuple.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The dict, if this is one.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Value::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The tensor, if this is one.
    pub fn as_tensor(&self) -> Option<&Tensor> {
        match self {
            Value::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The entry of a dict, or the attribute of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(dict) => dict.get(key),
            Value::Object(object) => object.state.as_dict()?.get(key),
            _ => None,
        }
    }

    /// What this is, in Python's words.
    pub fn kind(&self) -> &str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Set(_) => "set",
            Value::Dict(_) => "dict",
            Value::Tensor(_) => "tensor",
            Value::Object(object) => &object.class,
        }
    }
}
