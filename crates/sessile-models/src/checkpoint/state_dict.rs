//! The named tensors in what people save with `torch.save`.
//!
//! That is a state dict as such, one inside a training checkpoint, or a whole module, of which the
//! parameters and buffers are taken as its `state_dict()` would.

use std::sync::Arc;

use super::pickle::{Dict, Object, Tensor, Value};
use crate::error::{ModelError, ModelErrorKind};

/// Where training scripts put the state dict, besides optimizer, epoch and so on.
const NESTED_UNDER: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

/// Tensors by name.
pub(crate) type StateDict = Vec<(String, Arc<Tensor>)>;

/// The state dict in an object.
pub(crate) fn find(value: &Value) -> Result<StateDict, ModelError> {
    match value {
        Value::Dict(dict) => {
            let tensors = tensors(dict);
            if tensors.is_empty() {
                nested(dict)
            } else {
                Some(tensors)
            }
        }
        Value::Object(object) => module(object),
        _ => None,
    }
    .filter(|tensors| !tensors.is_empty())
    .ok_or_else(|| no_state_dict(value))
}

/// The entries of a dict that are tensors; integers, versions and the like are passed over.
pub(crate) fn tensors(dict: &Dict) -> StateDict {
    dict.entries
        .iter()
        .filter_map(|(name, value)| match (name, value) {
            (Value::Str(name), Value::Tensor(tensor)) => Some((name.to_string(), tensor.clone())),
            _ => None,
        })
        .collect()
}

fn nested(dict: &Dict) -> Option<StateDict> {
    NESTED_UNDER.iter().find_map(|key| match dict.get(key)? {
        Value::Dict(inner) => Some(tensors(inner)).filter(|tensors| !tensors.is_empty()),
        Value::Object(object) => module(object),
        _ => None,
    })
}

/// Parameters and buffers of a module, or nothing when the object is not one.
fn module(object: &Object) -> Option<StateDict> {
    object.get("_parameters")?.as_dict()?;
    let mut found = Vec::new();
    add_module(object, "", &mut found);
    Some(found)
}

/// Goes down into a module. Values have a bounded depth, so the recursion has too.
fn add_module(object: &Object, prefix: &str, found: &mut StateDict) {
    let hidden = match object.get("_non_persistent_buffers_set") {
        Some(Value::Set(names)) => names.clone(),
        _ => Arc::default(),
    };
    for part in ["_parameters", "_buffers"] {
        let Some(dict) = object.get(part).and_then(Value::as_dict) else {
            continue;
        };
        let own = tensors(dict).into_iter().filter(|(name, _)| {
            part == "_parameters" || !hidden.iter().any(|hidden| hidden.as_str() == Some(name))
        });
        found.extend(own.map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
    }
    let Some(modules) = object.get("_modules").and_then(Value::as_dict) else {
        return;
    };
    for (name, value) in &modules.entries {
        if let (Value::Str(name), Value::Object(inner)) = (name, value) {
            add_module(inner, &format!("{prefix}{name}."), found);
        }
    }
}

fn no_state_dict(value: &Value) -> ModelError {
    const SHOWN: usize = 8;
    let what = match value {
        Value::Dict(dict) => {
            let keys: Vec<_> = dict
                .entries
                .iter()
                .filter_map(|(key, _)| key.as_str())
                .take(SHOWN)
                .collect();
            format!("a dict with the keys {}", keys.join(", "))
        }
        other => format!("a {}", other.kind()),
    };
    ModelError::new(
        ModelErrorKind::Unsupported,
        format!("no tensors by name: the file holds {what}"),
    )
    .with_hint("save the state_dict() of the model")
}
