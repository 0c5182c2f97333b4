//! Reading `config.json`: sizes into a family's struct, and the keys of which only some values are
//! built in. A key that would change the answer is applied or refused by name.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{ModelError, ModelErrorKind};

/// A key, and its values that are built in. A key that is missing or null has its default, which
/// always is.
pub(crate) type BuiltIn = (&'static str, &'static [&'static str]);

/// Keys that change any network.
const GENERAL: [BuiltIn; 6] = [
    ("quantization_config", &[]),
    ("compression_config", &[]),
    ("pruned_heads", &["{}"]),
    ("is_decoder", &["false"]),
    ("add_cross_attention", &["false"]),
    ("tie_encoder_decoder", &["false"]),
];

/// No network in sight is wider, deeper or has more tokens than this: larger numbers come from a
/// damaged file, and allocations follow these numbers.
const LARGEST_EXTENT: usize = 1 << 20;

/// Refuses numbers of a `config.json` that no network has.
pub(crate) fn check_extents(extents: &[(&str, usize)]) -> Result<(), ModelError> {
    match extents
        .iter()
        .find(|(_, value)| !(1..=LARGEST_EXTENT).contains(value))
    {
        None => Ok(()),
        Some((name, value)) => Err(ModelError::new(
            ModelErrorKind::Malformed,
            format!("config.json: {name} can not be {value}"),
        )),
    }
}

/// Reads a configuration. A null is a missing key, as for the classes of transformers.
///
/// # Errors
///
/// `Unsupported` for a value that is not built in, `Malformed` when a number is missing or none.
pub(crate) fn parse<T: DeserializeOwned>(
    config: &Value,
    built_in: &[BuiltIn],
) -> Result<T, ModelError> {
    let Some(object) = config.as_object() else {
        return Err(malformed("not an object"));
    };
    let said: serde_json::Map<String, Value> = object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, values) in GENERAL.iter().chain(built_in) {
        let Some(value) = said.get(*key) else {
            continue;
        };
        let shown = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        if !values.contains(&shown.as_str()) {
            return Err(refused(key, &shown, values));
        }
    }
    serde_json::from_value(Value::Object(said)).map_err(|error| malformed(&error.to_string()))
}

fn refused(key: &str, value: &str, built_in: &[&str]) -> ModelError {
    const SHOWN: usize = 80;
    let shown: String = value.chars().take(SHOWN).collect();
    let error = ModelError::new(
        ModelErrorKind::Unsupported,
        format!("config.json: {key} `{shown}` is not supported"),
    );
    if built_in.is_empty() {
        error.with_hint("use the checkpoint in floating point that this one was made from")
    } else {
        error.with_hint(format!("built in: {}", built_in.join(", ")))
    }
}

fn malformed(what: &str) -> ModelError {
    ModelError::new(ModelErrorKind::Malformed, format!("config.json: {what}"))
}
