//! `tokenizer.json`, the file of the `tokenizers` library: the parts that are shared by all kinds.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::{ModelError, ModelErrorKind};

/// Largest file that is read, in bytes. Vocabularies of a hundred thousand tokens have a few
/// megabytes.
const MAX_BYTES: u64 = 256 << 20;

/// A tokenizer file, with its name for messages.
pub(super) struct TokenizerFile<'a> {
    path: &'a Path,
    value: Value,
}

/// A token that is cut out of the text before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
}

/// Ids that stand around every sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) before: Vec<u32>,
    pub(super) after: Vec<u32>,
}

impl<'a> TokenizerFile<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, ModelError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| {
                let kind = match error.kind() {
                    std::io::ErrorKind::NotFound => ModelErrorKind::NotFound,
                    _ => ModelErrorKind::Unreadable,
                };
                ModelError::new(
                    kind,
                    format!("can not read the tokenizer {}", path.display()),
                )
                .with_source(error)
            })?;
        let malformed = |what: String| {
            ModelError::new(
                ModelErrorKind::Malformed,
                format!("{}: {what}", path.display()),
            )
        };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(malformed("too long for a tokenizer".to_owned()));
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        Ok(TokenizerFile { path, value })
    }

    pub(super) fn get(&self, key: &str) -> &Value {
        self.value.get(key).unwrap_or(&Value::Null)
    }

    /// The part that holds the vocabulary.
    pub(super) fn model(&self) -> &Value {
        self.get("model")
    }

    /// The kind of a part: its `type`, or nothing when there is no such part.
    pub(super) fn kind(part: &Value) -> Option<&str> {
        part.get("type").and_then(Value::as_str)
    }

    pub(super) fn malformed(&self, what: impl std::fmt::Display) -> ModelError {
        ModelError::new(
            ModelErrorKind::Malformed,
            format!("{}: {what}", self.path.display()),
        )
    }

    pub(super) fn unsupported(&self, what: impl std::fmt::Display) -> ModelError {
        ModelError::new(
            ModelErrorKind::Unsupported,
            format!("{}: {what} is not supported", self.path.display()),
        )
    }

    /// Token ids below 2³¹ by token.
    pub(super) fn vocabulary(&self) -> Result<Vec<(&str, u32)>, ModelError> {
        let vocabulary = self.model().get("vocab").and_then(Value::as_object);
        let vocabulary = vocabulary.ok_or_else(|| self.malformed("there is no vocabulary"))?;
        vocabulary
            .iter()
            .map(|(token, id)| Ok((token.as_str(), self.id(id, token)?)))
            .collect()
    }

    fn id(&self, id: &Value, token: &str) -> Result<u32, ModelError> {
        id.as_u64()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| self.malformed(format!("token `{token}` has no proper id")))
    }

    /// The tokens that are cut out first.
    pub(super) fn added(&self) -> Result<Vec<AddedToken>, ModelError> {
        let Some(added) = self.get("added_tokens").as_array() else {
            return Ok(Vec::new());
        };
        added
            .iter()
            .map(|token| {
                let content = token.get("content").and_then(Value::as_str);
                let content = content
                    .filter(|content| !content.is_empty())
                    .ok_or_else(|| self.malformed("an added token has no content"))?;
                if token.get("single_word") == Some(&Value::Bool(true)) {
                    return Err(self.unsupported(format!("the single word `{content}`")));
                }
                Ok(AddedToken {
                    id: self.id(token.get("id").unwrap_or(&Value::Null), content)?,
                    content: content.to_owned(),
                })
            })
            .collect()
    }

    /// What the post-processor puts around one sequence.
    pub(super) fn template(&self) -> Result<Template, ModelError> {
        let part = self.get("post_processor");
        match Self::kind(part) {
            None => Ok(Template::default()),
            Some("TemplateProcessing") => self.template_of(part),
            Some("BertProcessing" | "RobertaProcessing") => {
                let id = |key: &str| {
                    let pair = part.get(key).and_then(Value::as_array);
                    let id = pair.and_then(|pair| pair.get(1));
                    self.id(id.unwrap_or(&Value::Null), key)
                };
                Ok(Template {
                    before: vec![id("cls")?],
                    after: vec![id("sep")?],
                })
            }
            Some(other) => Err(self.unsupported(format!("the post-processor {other}"))),
        }
    }

    fn template_of(&self, part: &Value) -> Result<Template, ModelError> {
        let mut template = Template::default();
        let mut seen = false;
        let items = part.get("single").and_then(Value::as_array);
        for item in items.ok_or_else(|| self.malformed("a template without a single form"))? {
            if item.get("Sequence").is_some() {
                if std::mem::replace(&mut seen, true) {
                    return Err(self.unsupported("a template with a sequence twice"));
                }
                continue;
            }
            let name = item.pointer("/SpecialToken/id").and_then(Value::as_str);
            let name = name.ok_or_else(|| self.malformed("a template item of no kind"))?;
            let ids = part
                .get("special_tokens")
                .and_then(|tokens| tokens.get(name))
                .and_then(|token| token.get("ids"))
                .and_then(Value::as_array)
                .ok_or_else(|| self.malformed(format!("the template's `{name}` has no ids")))?;
            let side = if seen {
                &mut template.after
            } else {
                &mut template.before
            };
            for id in ids {
                side.push(self.id(id, name)?);
            }
        }
        if !seen {
            return Err(self.malformed("a template without a sequence"));
        }
        Ok(template)
    }
}
