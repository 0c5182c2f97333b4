//! What lies beside a vocabulary: `tokenizer_config.json`, `special_tokens_map.json` and
//! `added_tokens.json`, read with the rules of `transformers`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::file::{AddedToken, check_id};
use crate::error::{ModelError, ModelErrorKind};
use crate::small_file::{malformed, object_if_there};

/// Largest of these files, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// Names of the tokens with a meaning of their own.
const SPECIAL: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// The files beside a vocabulary.
#[derive(Debug)]
pub(super) struct Beside {
    directory: PathBuf,
    config: Value,
    special: Value,
    added: Value,
}

impl Beside {
    pub(super) fn read(directory: &Path) -> Result<Self, ModelError> {
        let file = |name: &str| -> Result<Value, ModelError> {
            let value = object_if_there(&directory.join(name), MOST_BYTES)?;
            Ok(value.unwrap_or_default())
        };
        Ok(Beside {
            config: file("tokenizer_config.json")?,
            special: file("special_tokens_map.json")?,
            added: file("added_tokens.json")?,
            directory: directory.to_owned(),
        })
    }

    /// Whether there is any of them.
    pub(super) fn is_there(&self) -> bool {
        [&self.config, &self.special, &self.added]
            .iter()
            .any(|file| !file.is_null())
    }

    fn malformed(&self, file: &str, what: impl std::fmt::Display) -> ModelError {
        malformed(&self.directory.join(file), what)
    }

    /// The class that `transformers` would read the vocabulary with, without `Fast` at its end.
    pub(super) fn class(&self) -> Option<&str> {
        let class = self.config.get("tokenizer_class").and_then(Value::as_str)?;
        Some(class.strip_suffix("Fast").unwrap_or(class))
    }

    /// Whether the vocabulary is read as `tokenizer.json` has it, and not by a class of a model.
    pub(super) fn is_generic(&self) -> bool {
        matches!(
            self.class(),
            Some("PreTrainedTokenizer" | "TokenizersBackend")
        )
    }

    /// Refuses a class that reads the vocabulary in another way than those of the model.
    ///
    /// # Errors
    ///
    /// `Unsupported`, with the name of the class.
    pub(super) fn check_class(&self, known: &[&str]) -> Result<(), ModelError> {
        match self.class() {
            Some(class) if !known.contains(&class) && !self.is_generic() => {
                let path = self.directory.join("tokenizer_config.json");
                Err(ModelError::new(
                    ModelErrorKind::Unsupported,
                    format!(
                        "{}: tokenizer_class {class} is not supported",
                        path.display()
                    ),
                )
                .with_hint(format!("for this model it is {}", known.join(" or "))))
            }
            _ => Ok(()),
        }
    }

    /// Refuses another token than this under a name such as `eos_token`.
    ///
    /// # Errors
    ///
    /// `Unsupported`, with both.
    pub(super) fn check_special(&self, name: &str, wanted: &str) -> Result<(), ModelError> {
        match self.special(name) {
            Some(token) if token.content != wanted => Err(ModelError::new(
                ModelErrorKind::Unsupported,
                format!(
                    "{}: the {name} `{}` is not supported",
                    self.directory.display(),
                    token.content
                ),
            )
            .with_hint(format!("for this model it is `{wanted}`"))),
            _ => Ok(()),
        }
    }

    /// A setting that is true or false.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        let value = self.config.get(key).filter(|value| !value.is_null());
        value.map_or(Ok(None), |value| match value.as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => Err(self.malformed("tokenizer_config.json", format!("{key} is no flag"))),
        })
    }

    /// A setting that is a number.
    pub(super) fn count(&self, key: &str) -> Option<u64> {
        self.config.get(key).and_then(Value::as_u64)
    }

    fn decoder(&self) -> Option<&Map<String, Value>> {
        self.config.get("added_tokens_decoder")?.as_object()
    }

    /// What the files say of a name such as `cls_token`: a text, or an object.
    pub(super) fn entry(&self, name: &str) -> Option<&Value> {
        let own = self.config.get(name).filter(|entry| !entry.is_null());
        match self.decoder() {
            Some(_) => own,
            None => self
                .special
                .get(name)
                .filter(|entry| !entry.is_null())
                .or(own),
        }
    }

    /// The token of a name such as `cls_token`, if the files say; its id is not known here.
    pub(super) fn special(&self, name: &str) -> Option<AddedToken> {
        AddedToken::of_entry(self.entry(name)?, 0)
    }

    /// The tokens with a meaning of their own that the files name; their ids are not known here.
    pub(super) fn specials(&self) -> impl Iterator<Item = AddedToken> {
        let key = "additional_special_tokens";
        let more = [&self.special, &self.config].map(|file| file.get(key));
        let more = more.into_iter().flatten().filter_map(Value::as_array);
        let more = more
            .flatten()
            .filter_map(|entry| AddedToken::of_entry(entry, 0));
        SPECIAL
            .iter()
            .filter_map(|name| self.special(name))
            .chain(more)
    }

    /// The tokens of `tokenizer_config.json` with their ids, in the order of these.
    pub(super) fn decoded(&self) -> Result<Vec<AddedToken>, ModelError> {
        let file = "tokenizer_config.json";
        let mut tokens = Vec::new();
        for (id, entry) in self.decoder().into_iter().flatten() {
            let number: u64 = (id.parse())
                .map_err(|_| self.malformed(file, format!("the id `{id}` is no number")))?;
            let token = AddedToken::of_entry(entry, 0);
            let mut token =
                token.ok_or_else(|| self.malformed(file, format!("token {id} has no content")))?;
            token.id =
                check_id(number, &token.content).map_err(|what| self.malformed(file, what))?;
            if entry.get("single_word") == Some(&Value::Bool(true)) {
                return Err(ModelError::new(
                    ModelErrorKind::Unsupported,
                    format!(
                        "{}: the single word `{}` is not supported",
                        self.directory.join(file).display(),
                        token.content
                    ),
                ));
            }
            tokens.push(token);
        }
        tokens.sort_by_key(|token| token.id);
        Ok(tokens)
    }

    /// The tokens of a vocabulary without a `tokenizer.json`: those of `tokenizer_config.json`, or
    /// those of `added_tokens.json` where that says nothing of them.
    pub(super) fn added(&self) -> Result<Vec<AddedToken>, ModelError> {
        let mut tokens = self.decoded()?;
        let file = "added_tokens.json";
        for (content, id) in self.added.as_object().into_iter().flatten() {
            if content.is_empty() {
                return Err(self.malformed(file, "an added token is empty"));
            }
            let number = id.as_u64();
            let number =
                number.ok_or_else(|| self.malformed(file, format!("`{content}` has no id")))?;
            let id = check_id(number, content).map_err(|what| self.malformed(file, what))?;
            if self.decoder().is_none() {
                tokens.push(AddedToken {
                    is_special: content.starts_with('<'),
                    ..AddedToken::plain(content, id)
                });
            } else if !tokens
                .iter()
                .any(|token| token.content == *content && token.id == id)
            {
                return Err(self.malformed(
                    file,
                    format!("`{content}` = {id} is not what tokenizer_config.json has"),
                ));
            }
        }
        tokens.sort_by_key(|token| token.id);
        Ok(tokens)
    }
}
