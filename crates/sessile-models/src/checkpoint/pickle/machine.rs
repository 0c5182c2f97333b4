//! The interpreter: a stack, a memo and the objects built so far.
//!
//! Objects live in one list and refer to each other by number, because a pickle may fill a
//! container after it has handed it on. Every opcode makes at most one object and copies no more
//! than it took from the stack, so memory stays in proportion to the bytes read.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::tensor::TensorDType;
use super::globals::{Global, lookup};
use super::stream::{Stream, op};
use super::value::Tensor;
use crate::error::{ModelError, ModelErrorKind};

/// Items on the stack at once. Python's pickler hands over containers in batches of a thousand;
/// only a tuple lies on the stack whole.
const MAX_STACK: usize = 1 << 22;

/// Objects in one pickle: a state dict has about ten for each tensor, a feature file four for each
/// sequence.
const MAX_OBJECTS: usize = 1 << 22;

/// Characters of a refused name that a message repeats.
const MAX_NAME_SHOWN: usize = 200;

const NEWEST_PROTOCOL: u8 = 5;

/// Something on the stack: a scalar, or the number of an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Object(u32),
}

/// An object of the pickle.
#[derive(Debug)]
pub(super) enum Node {
    Str(Arc<str>),
    Bytes(Arc<[u8]>),
    List(Vec<Item>),
    Tuple(Vec<Item>),
    Set(Vec<Item>),
    Dict(Vec<(Item, Item)>),
    Global {
        name: Arc<str>,
        means: Global,
    },
    Storage {
        key: Arc<str>,
        dtype: Option<TensorDType>,
        bytes: u64,
    },
    Tensor(Arc<Tensor>),
    Instance {
        class: Arc<str>,
        state: Item,
    },
}

/// A pickle that has been run to its end.
pub(super) struct Finished {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Item,
}

pub(super) struct Machine<'a> {
    pub(super) stream: Stream<'a>,
    pub(super) nodes: Vec<Node>,
    stack: Vec<Item>,
    marks: Vec<usize>,
    memo: HashMap<u32, Item>,
    /// How many items may still be copied out of an object that stays where it is.
    copies_left: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let stream = Stream::new(bytes);
        let copies_left = stream.len();
        Machine {
            stream,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            copies_left,
        }
    }

    /// Runs the pickle up to its `STOP`.
    pub(super) fn run(mut self) -> Result<Finished, ModelError> {
        loop {
            let opcode = self.stream.opcode()?;
            if opcode == op::STOP {
                let root = self.pop()?;
                return Ok(Finished {
                    nodes: self.nodes,
                    root,
                });
            }
            self.step(opcode)?;
            if self.stack.len() + self.marks.len() > MAX_STACK || self.nodes.len() > MAX_OBJECTS {
                return Err(self.stream.malformed("the pickle builds too many objects"));
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), ModelError> {
        match opcode {
            op::PROTO => {
                let protocol = self.stream.u8()?;
                if protocol > NEWEST_PROTOCOL {
                    return Err(self.stream.error(
                        ModelErrorKind::Unsupported,
                        format!("pickle protocol {protocol} is not known"),
                    ));
                }
            }
            op::FRAME => drop(self.stream.u64()?),
            op::MARK => self.marks.push(self.stack.len()),
            op::POP => self.discard()?,
            op::POP_MARK => drop(self.pop_mark()?),
            op::DUP => {
                let top = self.top()?;
                self.stack.push(top);
            }
            op::GET | op::BINGET | op::LONG_BINGET => self.get(opcode)?,
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.put(opcode)?,
            op::APPEND | op::APPENDS | op::SETITEM | op::SETITEMS | op::ADDITEMS => {
                self.extend(opcode)?;
            }
            op::GLOBAL => {
                let module = self.stream.text_line()?;
                let name = self.stream.text_line()?;
                self.global(module, name)?;
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (self.text(module), self.text(name)) else {
                    return Err(self.stream.malformed("a global is named by something else"));
                };
                self.global(&module, &name)?;
            }
            op::INST => {
                let module = self.stream.text_line()?;
                let name = self.stream.text_line()?;
                self.global(module, name)?;
                let class = self.pop()?;
                let arguments = self.pop_mark()?;
                self.call(class, &arguments)?;
            }
            op::REDUCE | op::NEWOBJ => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let arguments = self.copy_tuple(arguments)?;
                self.call(callable, &arguments)?;
            }
            op::NEWOBJ_EX => {
                let (_keywords, arguments, callable) = (self.pop()?, self.pop()?, self.pop()?);
                let arguments = self.copy_tuple(arguments)?;
                self.call(callable, &arguments)?;
            }
            op::BUILD => self.build()?,
            op::BINPERSID => {
                let id = self.pop()?;
                self.storage(id)?;
            }
            _ => self.push_data(opcode)?,
        }
        Ok(())
    }

    /// Opcodes that push a piece of plain data.
    fn push_data(&mut self, opcode: u8) -> Result<(), ModelError> {
        let item = match opcode {
            op::NONE => Item::None,
            op::NEWTRUE => Item::Bool(true),
            op::NEWFALSE => Item::Bool(false),
            op::BININT => Item::Int(self.stream.u32()?.cast_signed().into()),
            op::BININT1 => Item::Int(self.stream.u8()?.into()),
            op::BININT2 => Item::Int(u16::from_le_bytes(self.stream.array()?).into()),
            op::LONG1 => {
                let length = self.stream.u8()?;
                Item::Int(self.stream.integer(length.into())?)
            }
            op::LONG4 => {
                let length = self.stream.u32()?;
                Item::Int(self.stream.integer(length.into())?)
            }
            op::INT | op::LONG => self.text_integer()?,
            op::BINFLOAT => Item::Float(f64::from_be_bytes(self.stream.array()?)),
            op::FLOAT => match self.stream.text_line()?.parse() {
                Ok(value) => Item::Float(value),
                Err(_) => return Err(self.stream.malformed("a number can not be read")),
            },
            op::STRING | op::UNICODE => self.text_string()?,
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING => {
                let length = self.stream.u8()?;
                self.string(length.into())?
            }
            op::BINUNICODE | op::BINSTRING => {
                let length = self.stream.u32()?;
                self.string(length.into())?
            }
            op::BINUNICODE8 => {
                let length = self.stream.u64()?;
                self.string(length)?
            }
            op::SHORT_BINBYTES => {
                let length = self.stream.u8()?;
                self.bytes(length.into())?
            }
            op::BINBYTES => {
                let length = self.stream.u32()?;
                self.bytes(length.into())?
            }
            op::BINBYTES8 | op::BYTEARRAY8 => {
                let length = self.stream.u64()?;
                self.bytes(length)?
            }
            op::EMPTY_LIST => self.object(Node::List(Vec::new())),
            op::EMPTY_DICT => self.object(Node::Dict(Vec::new())),
            op::EMPTY_SET => self.object(Node::Set(Vec::new())),
            op::EMPTY_TUPLE => self.object(Node::Tuple(Vec::new())),
            op::LIST => {
                let items = self.pop_mark()?;
                self.object(Node::List(items))
            }
            op::FROZENSET => {
                let items = self.pop_mark()?;
                self.object(Node::Set(items))
            }
            op::TUPLE => {
                let items = self.pop_mark()?;
                self.object(Node::Tuple(items))
            }
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let mut items = Vec::with_capacity(3);
                for _ in op::TUPLE1..=opcode {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.object(Node::Tuple(items))
            }
            op::DICT => {
                let items = self.pop_mark()?;
                let entries = self.pairs(&items)?;
                self.object(Node::Dict(entries))
            }
            other => {
                return Err(self.stream.error(
                    ModelErrorKind::Unsupported,
                    format!("the opcode 0x{other:02x} is not one that torch writes"),
                ));
            }
        };
        self.stack.push(item);
        Ok(())
    }

    fn text_integer(&mut self) -> Result<Item, ModelError> {
        let text = self.stream.text_line()?;
        Ok(match text {
            "00" => Item::Bool(false),
            "01" => Item::Bool(true),
            _ => match text.trim_end_matches('L').parse() {
                Ok(value) => Item::Int(value),
                Err(_) => return Err(self.stream.malformed("an integer can not be read")),
            },
        })
    }

    /// A text of protocol 0, which may be in quotes.
    fn text_string(&mut self) -> Result<Item, ModelError> {
        let text = self.stream.text_line()?;
        if text.contains('\\') {
            return Err(self.stream.error(
                ModelErrorKind::Unsupported,
                "a text with escapes is not one that torch writes",
            ));
        }
        let text = text.trim_matches(['\'', '"']);
        Ok(self.object(Node::Str(text.into())))
    }

    fn string(&mut self, length: u64) -> Result<Item, ModelError> {
        let bytes = self.stream.take(length)?;
        let text = self.stream.utf8(bytes)?;
        Ok(self.object(Node::Str(text.into())))
    }

    fn bytes(&mut self, length: u64) -> Result<Item, ModelError> {
        let bytes = self.stream.take(length)?;
        Ok(self.object(Node::Bytes(bytes.into())))
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), ModelError> {
        let Some(means) = lookup(module, name) else {
            let name: String = format!("{module}.{name}")
                .chars()
                .take(MAX_NAME_SHOWN)
                .collect();
            return Err(self
                .stream
                .error(
                    ModelErrorKind::Unsafe,
                    format!("the file asks for `{name}`, which is not data; it was not run"),
                )
                .with_hint(
                    "do not load this file with Python unless you trust its maker; ask for \
                     safetensors, or save the bare state_dict() of the model",
                ));
        };
        let name = format!("{module}.{name}").into();
        let global = self.object(Node::Global { name, means });
        self.stack.push(global);
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Result<(), ModelError> {
        let index = match opcode {
            op::BINGET => self.stream.u8()?.into(),
            op::LONG_BINGET => self.stream.u32()?,
            _ => self.text_index()?,
        };
        let Some(&item) = self.memo.get(&index) else {
            return Err(self
                .stream
                .malformed(format!("nothing was remembered as {index}")));
        };
        self.stack.push(item);
        Ok(())
    }

    fn put(&mut self, opcode: u8) -> Result<(), ModelError> {
        let index = match opcode {
            op::BINPUT => self.stream.u8()?.into(),
            op::LONG_BINPUT => self.stream.u32()?,
            op::MEMOIZE => self.memo.len() as u32,
            _ => self.text_index()?,
        };
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn text_index(&mut self) -> Result<u32, ModelError> {
        let text = self.stream.text_line()?;
        text.parse()
            .map_err(|_| self.stream.malformed("a memo's number can not be read"))
    }

    /// Adds items from the stack to the container below them.
    fn extend(&mut self, opcode: u8) -> Result<(), ModelError> {
        let items = match opcode {
            op::APPEND => vec![self.pop()?],
            op::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                vec![key, value]
            }
            _ => self.pop_mark()?,
        };
        let container = self.top()?;
        let pairs = match opcode {
            op::SETITEM | op::SETITEMS => self.pairs(&items)?,
            _ => Vec::new(),
        };
        match (opcode, self.node_mut(container)) {
            (op::APPEND | op::APPENDS, Some(Node::List(list))) => list.extend(items),
            (op::ADDITEMS, Some(Node::Set(set))) => set.extend(items),
            (op::SETITEM | op::SETITEMS, Some(Node::Dict(dict))) => dict.extend(pairs),
            _ => {
                return Err(self
                    .stream
                    .malformed("items are added to something that takes none"));
            }
        }
        Ok(())
    }

    /// Gives an instance its attributes.
    fn build(&mut self) -> Result<(), ModelError> {
        let state = self.pop()?;
        let target = self.top()?;
        match self.node_mut(target) {
            Some(Node::Instance { state: have, .. }) => *have = state,
            // The attributes of a state dict (`_metadata`: versions of modules) say nothing here.
            Some(Node::Dict(_)) => {}
            _ => {
                return Err(self
                    .stream
                    .malformed("something that has no attributes is given some"));
            }
        }
        Ok(())
    }

    pub(super) fn object(&mut self, node: Node) -> Item {
        self.nodes.push(node);
        // `run` keeps the number of objects far below the range of u32.
        Item::Object((self.nodes.len() - 1) as u32)
    }

    pub(super) fn push(&mut self, item: Item) {
        self.stack.push(item);
    }

    pub(super) fn node(&self, item: Item) -> Option<&Node> {
        match item {
            Item::Object(index) => self.nodes.get(index as usize),
            _ => None,
        }
    }

    fn node_mut(&mut self, item: Item) -> Option<&mut Node> {
        match item {
            Item::Object(index) => self.nodes.get_mut(index as usize),
            _ => None,
        }
    }

    pub(super) fn text(&self, item: Item) -> Option<Arc<str>> {
        match self.node(item) {
            Some(Node::Str(text)) => Some(text.clone()),
            _ => None,
        }
    }

    /// The items of a tuple or list that stays where it is.
    pub(super) fn copy_items(&mut self, item: Item) -> Result<Vec<Item>, ModelError> {
        let items = match self.node(item) {
            Some(Node::Tuple(items) | Node::List(items) | Node::Set(items)) => items.clone(),
            _ => return Err(self.stream.malformed("a list or tuple is wanted")),
        };
        self.charge(items.len())?;
        Ok(items)
    }

    /// Pays for a copy of something that stays where it is: a few bytes can name a long list again
    /// and again.
    pub(super) fn charge(&mut self, copied: usize) -> Result<(), ModelError> {
        match self.copies_left.checked_sub(copied) {
            Some(left) => self.copies_left = left,
            None => {
                return Err(self
                    .stream
                    .malformed("the pickle copies the same list too often"));
            }
        }
        Ok(())
    }

    fn copy_tuple(&mut self, item: Item) -> Result<Vec<Item>, ModelError> {
        match self.node(item) {
            Some(Node::Tuple(_)) => self.copy_items(item),
            _ => Err(self.stream.malformed("arguments are not a tuple")),
        }
    }

    fn pairs(&self, items: &[Item]) -> Result<Vec<(Item, Item)>, ModelError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.stream.malformed("a key has no value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    /// The top of the stack, but nothing from below the last mark.
    fn top(&self) -> Result<Item, ModelError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&top) if self.stack.len() > floor => Ok(top),
            _ => Err(self.stream.malformed("the stack is empty")),
        }
    }

    fn pop(&mut self) -> Result<Item, ModelError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// `POP` takes a mark away too, when that is what lies on top.
    fn discard(&mut self) -> Result<(), ModelError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn pop_mark(&mut self) -> Result<Vec<Item>, ModelError> {
        match self.marks.pop() {
            // Nothing is popped from below a mark, so the stack is at least that high.
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.stream.malformed("there is no mark on the stack")),
        }
    }
}
