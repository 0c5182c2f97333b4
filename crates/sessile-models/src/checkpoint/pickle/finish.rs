//! From the interpreter's objects to a value that is safe to walk.
//!
//! Objects that are referred to twice stay shared. What a walk over the value would cost is added
//! up on the way, so that a few bytes of pickle can not describe an endless tree.

use std::sync::Arc;

use super::globals::Global;
use super::machine::{Finished, Item, Node};
use super::value::{Dict, Object, Value};
use crate::error::{ModelError, ModelErrorKind};

/// How deep values may be nested: modules in modules make four levels each.
const MAX_DEPTH: u32 = 200;

/// Shared objects count every time they are met; below this a walk is quick in any case.
const FREE_STEPS: u64 = 1 << 20;

/// Times the length of the pickle that a walk may take.
const STEPS_PER_BYTE: u64 = 16;

/// The value that a pickle of `length` bytes has built.
pub(super) fn finish(finished: Finished, length: usize) -> Result<Value, ModelError> {
    let Finished { nodes, root } = finished;
    let mut done = Vec::new();
    done.resize_with(nodes.len(), || Progress::Waiting);
    let mut finisher = Finisher {
        nodes,
        done,
        limit: FREE_STEPS + STEPS_PER_BYTE * length as u64,
    };
    finisher.item(root, 0).map(|built| built.value)
}

enum Progress {
    Waiting,
    /// Its parts are being built: who meets it now is part of itself.
    Open,
    Done(Built),
}

#[derive(Clone)]
struct Built {
    value: Value,
    /// Values met when this one is walked.
    steps: u64,
    height: u32,
}

struct Finisher {
    nodes: Vec<Node>,
    done: Vec<Progress>,
    limit: u64,
}

impl Finisher {
    fn item(&mut self, item: Item, depth: u32) -> Result<Built, ModelError> {
        let scalar = match item {
            Item::None => Value::None,
            Item::Bool(value) => Value::Bool(value),
            Item::Int(value) => Value::Int(value),
            Item::Float(value) => Value::Float(value),
            Item::Object(index) => return self.object(index as usize, depth),
        };
        Ok(Built {
            value: scalar,
            steps: 1,
            height: 0,
        })
    }

    fn object(&mut self, index: usize, depth: u32) -> Result<Built, ModelError> {
        match &self.done[index] {
            Progress::Waiting => {}
            Progress::Open => return Err(unsupported("an object contains itself")),
            Progress::Done(built) if depth + built.height <= MAX_DEPTH => return Ok(built.clone()),
            Progress::Done(_) => return Err(too_deep()),
        }
        if depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.done[index] = Progress::Open;
        // Every object is built once, so its parts can be taken away.
        let node = std::mem::replace(&mut self.nodes[index], Node::Tuple(Vec::new()));
        let built = self.build(node, depth + 1)?;
        if built.steps > self.limit {
            return Err(unsupported(
                "the same objects are nested in each other too often",
            ));
        }
        self.done[index] = Progress::Done(built.clone());
        Ok(built)
    }

    fn build(&mut self, node: Node, depth: u32) -> Result<Built, ModelError> {
        let mut tally = Tally {
            steps: 1,
            height: 0,
        };
        let value = match node {
            Node::Str(text) => Value::Str(text),
            Node::Bytes(bytes) => Value::Bytes(bytes),
            Node::Tensor(tensor) => Value::Tensor(tensor),
            Node::List(items) => Value::List(self.items(items, depth, &mut tally)?),
            Node::Tuple(items) => Value::Tuple(self.items(items, depth, &mut tally)?),
            Node::Set(items) => Value::Set(self.items(items, depth, &mut tally)?),
            Node::Dict(pairs) => {
                let mut entries = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    let key = tally.count(self.item(key, depth)?);
                    entries.push((key, tally.count(self.item(value, depth)?)));
                }
                Value::Dict(Arc::new(Dict { entries }))
            }
            Node::Instance { class, state } => {
                let state = tally.count(self.item(state, depth)?);
                Value::Object(Arc::new(Object { class, state }))
            }
            Node::Global {
                name,
                means: Global::DType(_),
            } => Value::Object(Arc::new(Object {
                class: name,
                state: Value::None,
            })),
            Node::Global { name, .. } => {
                return Err(unsupported(&format!(
                    "`{name}` stands where data is wanted"
                )));
            }
            Node::Storage { .. } => {
                return Err(unsupported("a storage stands where data is wanted"));
            }
        };
        Ok(Built {
            value,
            steps: tally.steps,
            height: tally.height + 1,
        })
    }

    fn items(
        &mut self,
        items: Vec<Item>,
        depth: u32,
        tally: &mut Tally,
    ) -> Result<Arc<Vec<Value>>, ModelError> {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(tally.count(self.item(item, depth)?));
        }
        Ok(Arc::new(values))
    }
}

struct Tally {
    steps: u64,
    height: u32,
}

impl Tally {
    fn count(&mut self, part: Built) -> Value {
        self.steps = self.steps.saturating_add(part.steps);
        self.height = self.height.max(part.height);
        part.value
    }
}

fn too_deep() -> ModelError {
    unsupported("objects are nested too deep")
}

fn unsupported(what: &str) -> ModelError {
    ModelError::new(ModelErrorKind::Unsupported, format!("pickle: {what}"))
}
