//! What calls in a pickle stand for: the few that torch writes, built here as plain data.

use super::super::tensor::TensorDType;
use super::globals::Global;
use super::machine::{Item, Machine, Node};
use super::value::Tensor;
use crate::error::{ModelError, ModelErrorKind};

/// torch itself has no more.
const MAX_DIMENSIONS: usize = 64;

/// A view may repeat its elements (stride 0) and so be larger than its storage, up to this size.
const MAX_REPEATED_ELEMENTS: usize = 1 << 20;

impl Machine<'_> {
    /// Pushes what calling `callable` would give.
    pub(super) fn call(&mut self, callable: Item, arguments: &[Item]) -> Result<(), ModelError> {
        let Some(Node::Global { name, means }) = self.node(callable) else {
            return Err(self
                .stream
                .malformed("something is called that can not be called"));
        };
        let (class, means) = (name.clone(), *means);
        let result = match means {
            Global::OrderedDict => {
                let entries = self.ordered_dict(arguments)?;
                self.object(Node::Dict(entries))
            }
            Global::Set => {
                let items = match arguments {
                    [] => Vec::new(),
                    [items, ..] => self.copy_items(*items)?,
                };
                self.object(Node::Set(items))
            }
            Global::Size => {
                let items = match arguments {
                    [] => Vec::new(),
                    [items, ..] => self.copy_items(*items)?,
                };
                self.object(Node::Tuple(items))
            }
            Global::Encode => self.encode(arguments)?,
            Global::RebuildTensor => self.tensor(arguments, None)?,
            Global::RebuildTensorV3 => {
                let dtype = match arguments.get(6).and_then(|&item| self.node(item)) {
                    Some(Node::Global {
                        means: Global::DType(dtype),
                        ..
                    }) => *dtype,
                    _ => return Err(self.stream.malformed("a tensor has no number format")),
                };
                self.tensor(arguments, Some(dtype))?
            }
            Global::RebuildParameter => match arguments.first() {
                Some(&data) if matches!(self.node(data), Some(Node::Tensor(_))) => data,
                _ => return Err(self.stream.malformed("a parameter is not a tensor")),
            },
            Global::Class => {
                // `torch.device("cpu")` and the like: what it was made from is all it holds.
                let state = match arguments {
                    [] => Item::None,
                    _ => self.object(Node::Tuple(arguments.to_vec())),
                };
                self.object(Node::Instance { class, state })
            }
            Global::Storage(_) | Global::DType(_) => {
                return Err(self.stream.malformed(format!("`{class}` is called")));
            }
        };
        self.push(result);
        Ok(())
    }

    fn ordered_dict(&mut self, arguments: &[Item]) -> Result<Vec<(Item, Item)>, ModelError> {
        let Some(&pairs) = arguments.first() else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for pair in self.copy_items(pairs)? {
            match self.copy_items(pair)?[..] {
                [key, value] => entries.push((key, value)),
                _ => return Err(self.stream.malformed("an entry is not a key and a value")),
            }
        }
        Ok(entries)
    }

    /// `_codecs.encode(text, "latin1")`: bytes, each written as one character.
    fn encode(&mut self, arguments: &[Item]) -> Result<Item, ModelError> {
        let (text, encoding) = match *arguments {
            [text, encoding] => (self.text(text), self.text(encoding)),
            _ => (None, None),
        };
        let (Some(text), Some("latin1")) = (text, encoding.as_deref()) else {
            return Err(self.stream.malformed("bytes are not written as latin1"));
        };
        self.charge(text.len())?;
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        match bytes {
            Some(bytes) => Ok(self.object(Node::Bytes(bytes.into()))),
            None => Err(self.stream.malformed("bytes are not written as latin1")),
        }
    }

    /// Pushes the storage that a persistent id names:
    /// `("storage", class, key, location, elements)`.
    pub(super) fn storage(&mut self, id: Item) -> Result<(), ModelError> {
        let id = self.copy_items(id)?;
        let &[word, class, key, _location, elements, ..] = &id[..] else {
            return Err(self
                .stream
                .malformed("a storage is not described as torch does"));
        };
        let dtype = match self.node(class) {
            Some(Node::Global {
                means: Global::Storage(dtype),
                ..
            }) => Some(*dtype),
            _ => None,
        };
        let word = self.text(word);
        let (Some("storage"), Some(dtype), Some(key), Item::Int(elements)) =
            (word.as_deref(), dtype, self.text(key), elements)
        else {
            return Err(self
                .stream
                .malformed("a storage is not described as torch does"));
        };
        let size = dtype.map_or(1, TensorDType::size) as u64;
        let bytes = u64::try_from(elements)
            .ok()
            .and_then(|elements| elements.checked_mul(size));
        let Some(bytes) = bytes.filter(|&bytes| bytes <= isize::MAX as u64) else {
            return Err(self.stream.malformed(format!(
                "storage `{key}` has the impossible size {elements}"
            )));
        };
        let storage = self.object(Node::Storage { key, dtype, bytes });
        self.push(storage);
        Ok(())
    }

    /// `(storage, offset, size, stride, …)`.
    fn tensor(
        &mut self,
        arguments: &[Item],
        dtype: Option<TensorDType>,
    ) -> Result<Item, ModelError> {
        let &[storage, offset, shape, strides, ..] = arguments else {
            return Err(self.stream.malformed("a tensor has too few arguments"));
        };
        let Some(Node::Storage {
            key,
            dtype: stored,
            bytes,
        }) = self.node(storage)
        else {
            return Err(self.stream.malformed("a tensor has no storage"));
        };
        let (storage, storage_bytes, stored) = (key.clone(), *bytes, *stored);
        let Some(dtype) = dtype.or(stored) else {
            return Err(self.stream.malformed("a tensor has no number format"));
        };
        let (shape, strides) = (self.dimensions(shape)?, self.dimensions(strides)?);
        let offset = match offset {
            Item::Int(offset) => u64::try_from(offset).ok(),
            _ => None,
        };
        let available = storage_bytes / dtype.size() as u64;
        let Some(offset) = offset.filter(|&o| fits(o, &shape, &strides, available)) else {
            return Err(self.stream.malformed(format!(
                "a tensor of shape {shape:?} reaches beyond its storage of {storage_bytes} bytes"
            )));
        };
        let tensor = Tensor {
            storage,
            dtype,
            storage_bytes,
            offset,
            shape,
            strides,
        };
        Ok(self.object(Node::Tensor(tensor.into())))
    }

    fn dimensions(&mut self, item: Item) -> Result<Vec<usize>, ModelError> {
        let items = self.copy_items(item)?;
        if items.len() > MAX_DIMENSIONS {
            return Err(self.stream.error(
                ModelErrorKind::Unsupported,
                format!("a tensor has {} dimensions", items.len()),
            ));
        }
        items
            .into_iter()
            .map(|item| match item {
                Item::Int(value) => usize::try_from(value).ok(),
                _ => None,
            })
            .collect::<Option<_>>()
            .ok_or_else(|| {
                self.stream
                    .malformed("a dimension or stride is not a count")
            })
    }
}

/// Whether a view stays inside a storage of `available` elements.
fn fits(offset: u64, shape: &[usize], strides: &[usize], available: u64) -> bool {
    if shape.len() != strides.len() {
        return false;
    }
    let elements = shape
        .iter()
        .try_fold(1usize, |n, &length| n.checked_mul(length.max(1)));
    let Some(elements) = elements.filter(|&elements| elements <= isize::MAX as usize / 16) else {
        return false;
    };
    if shape.contains(&0) {
        return true;
    }
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(offset, |last, (&length, &stride)| {
            last.checked_add((length as u64 - 1).checked_mul(stride as u64)?)
        });
    last.is_some_and(|last| last < available)
        && (elements as u64 <= available || elements <= MAX_REPEATED_ELEMENTS)
}
