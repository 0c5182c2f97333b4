//! The files of an adapter as the peft library saves it: `adapter_config.json` and
//! `adapter_model.safetensors`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::load::read_object;
use crate::error::{ModelError, ModelErrorKind};

const SETTINGS: &str = "adapter_config.json";
const WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

/// The settings of the adapter in a folder, if there is one.
pub(crate) fn adapter_settings(directory: &Path) -> Result<Option<Value>, ModelError> {
    read_object(directory, SETTINGS)
}

/// The weights of the adapter in a folder.
pub(crate) fn adapter_weights(directory: &Path) -> Option<PathBuf> {
    let mut paths = WEIGHTS.iter().map(|name| directory.join(name));
    paths.find(|path| path.is_file())
}

/// Whether a file is called like the weights of an adapter.
pub(crate) fn is_adapter(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| WEIGHTS.contains(&name))
}

/// The error for a folder that holds an adapter and not its base.
pub(crate) fn lone_adapter(directory: &Path) -> Result<ModelError, ModelError> {
    let settings = adapter_settings(directory)?.unwrap_or_default();
    let said = |key: &str| settings.get(key).and_then(Value::as_str);
    let base = said("base_model_name_or_path").unwrap_or("its base model");
    let error = ModelError::new(
        ModelErrorKind::Unsupported,
        format!(
            "{}: this is an adapter ({}) for `{base}`, not a whole model",
            directory.display(),
            said("peft_type").unwrap_or("of unknown kind")
        ),
    );
    Ok(error.with_hint(format!(
        "put config.json, the vocabulary and the weights of {base} beside it, or merge both with \
         peft (merge_and_unload) and save the whole model"
    )))
}
