//! `tokenizer.json`, the file of the `tokenizers` library, with what lies beside it: the parts that
//! are shared by all kinds.

mod slow;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::beside::Beside;
use crate::error::{ModelError, ModelErrorKind};
use crate::small_file;

/// Largest file that is read, in bytes. Vocabularies of a hundred thousand tokens have a few
/// megabytes.
const MAX_BYTES: u64 = 64 << 20;

/// Ids are below this number: no table of embeddings has more rows, and memory follows the ids.
const MOST_TOKENS: u64 = 1 << 20;

/// A tokenizer file, with its name for messages.
#[derive(Debug)]
pub(super) struct TokenizerFile {
    path: PathBuf,
    value: Value,
    pub(super) beside: Beside,
}

/// A token that is cut out of the text before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    /// Whether white space before it belongs to it.
    pub(super) takes_left: bool,
    /// Whether white space behind it belongs to it.
    pub(super) takes_right: bool,
    /// Whether it is left out of what is written.
    pub(super) is_special: bool,
}

impl AddedToken {
    pub(super) fn plain(content: &str, id: u32) -> Self {
        AddedToken {
            id,
            content: content.to_owned(),
            takes_left: false,
            takes_right: false,
            is_special: true,
        }
    }

    /// A token from its text, or from an object with the text and what is special about it.
    pub(super) fn of_entry(entry: &Value, id: u32) -> Option<Self> {
        let content = entry.as_str().or_else(|| entry.get("content")?.as_str())?;
        let flag = |key: &str| entry.get(key) == Some(&Value::Bool(true));
        (!content.is_empty()).then(|| AddedToken {
            takes_left: flag("lstrip"),
            takes_right: flag("rstrip"),
            is_special: entry.get("special") != Some(&Value::Bool(false)),
            ..AddedToken::plain(content, id)
        })
    }
}

/// An id that a table can have; else what is wrong with it.
pub(super) fn check_id(id: u64, token: &str) -> Result<u32, String> {
    match u32::try_from(id) {
        Ok(number) if id < MOST_TOKENS => Ok(number),
        _ => Err(format!(
            "token `{token}` has the id {id}; ids are below {MOST_TOKENS}"
        )),
    }
}

/// Ids that stand around every sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) before: Vec<u32>,
    pub(super) after: Vec<u32>,
}

impl TokenizerFile {
    /// Reads `tokenizer.json` and what lies beside it.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let bytes = small_file::read(path, MAX_BYTES)?;
        let value =
            serde_json::from_slice(&bytes).map_err(|error| small_file::malformed(path, error))?;
        Ok(TokenizerFile {
            path: path.to_owned(),
            value,
            beside: Beside::read(path.parent().unwrap_or(Path::new("")))?,
        })
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
        small_file::malformed(&self.path, what)
    }

    pub(super) fn unsupported(&self, what: impl std::fmt::Display) -> ModelError {
        ModelError::new(
            ModelErrorKind::Unsupported,
            format!("{}: {what} is not supported", self.path.display()),
        )
    }

    /// Token ids by token.
    pub(super) fn vocabulary(&self) -> Result<Vec<(&str, u32)>, ModelError> {
        let vocabulary = self.model().get("vocab").and_then(Value::as_object);
        let vocabulary = vocabulary.ok_or_else(|| self.malformed("there is no vocabulary"))?;
        vocabulary
            .iter()
            .map(|(token, id)| Ok((token.as_str(), self.id(id, token)?)))
            .collect()
    }

    pub(super) fn id(&self, id: &Value, token: &str) -> Result<u32, ModelError> {
        let number = id.as_u64();
        let number =
            number.ok_or_else(|| self.malformed(format!("token `{token}` has no proper id")))?;
        check_id(number, token).map_err(|what| self.malformed(what))
    }

    /// The tokens that are cut out first, the longest first. Those that only the files beside name
    /// get the ids that `transformers` gives them: their own where the vocabulary has them, the next
    /// ones else.
    pub(super) fn added(&self) -> Result<Vec<AddedToken>, ModelError> {
        let mut added = Vec::new();
        for entry in self.get("added_tokens").as_array().into_iter().flatten() {
            let token = AddedToken::of_entry(entry, 0);
            let mut token = token.ok_or_else(|| self.malformed("an added token has no content"))?;
            if entry.get("single_word") == Some(&Value::Bool(true)) {
                return Err(self.unsupported(format!("the single word `{}`", token.content)));
            }
            let id = entry.get("id").unwrap_or(&Value::Null);
            token.id = self.id(id, &token.content)?;
            added.push(token);
        }
        self.add_from_beside(&mut added)?;
        added.sort_by_key(|token| std::cmp::Reverse(token.content.len()));
        Ok(added)
    }

    fn add_from_beside(&self, added: &mut Vec<AddedToken>) -> Result<(), ModelError> {
        let size = match self.model().get("vocab") {
            Some(Value::Object(vocabulary)) => vocabulary.len(),
            Some(Value::Array(pieces)) => pieces.len(),
            _ => 0,
        };
        let known = |added: &[AddedToken], content: &str| {
            let token = added.iter().find(|token| token.content == content);
            token.map(|token| token.id)
        };
        let id_for = |added: &[AddedToken], content: &str| match self.id_of(content)? {
            Some(id) => Ok(id),
            None => {
                let next = added.iter().map(|token| token.id as usize + 1).max();
                check_id(next.unwrap_or(0).max(size) as u64, content)
                    .map_err(|what| self.malformed(what))
            }
        };
        for token in self.beside.decoded()? {
            let content = &token.content;
            let id = match known(added, content) {
                Some(id) => id,
                None => id_for(added, content)?,
            };
            if id != token.id {
                return Err(self.malformed(format!(
                    "`{content}` has the id {id}, tokenizer_config.json says {}",
                    token.id
                )));
            }
            added.retain(|other| other.content != token.content);
            added.push(token);
        }
        let mut seen: HashSet<String> = added.iter().map(|token| token.content.clone()).collect();
        for mut token in self.beside.specials() {
            if seen.insert(token.content.clone()) {
                token.id = id_for(added, &token.content)?;
                added.push(token);
            }
        }
        Ok(())
    }

    /// The id of a token of the vocabulary itself.
    fn id_of(&self, content: &str) -> Result<Option<u32>, ModelError> {
        match self.model().get("vocab") {
            Some(Value::Object(vocabulary)) => {
                let id = vocabulary.get(content);
                id.map(|id| self.id(id, content)).transpose()
            }
            Some(Value::Array(pieces)) => Ok(pieces
                .iter()
                .position(|piece| piece.get(0).and_then(Value::as_str) == Some(content))
                .and_then(|id| u32::try_from(id).ok())),
            _ => Ok(None),
        }
    }

    /// Refuses what would change or join letters: a vocabulary of residues is read letter by letter.
    pub(super) fn check_letters(&self) -> Result<(), ModelError> {
        const NEUTRAL: [&str; 8] = [
            "NFC",
            "NFD",
            "NFKC",
            "NFKD",
            "Nmt",
            "Precompiled",
            "Strip",
            "StripAccents",
        ];
        const CUTTERS: [&str; 4] = ["Split", "Whitespace", "WhitespaceSplit", "Metaspace"];
        self.check_kinds("normalizer", self.get("normalizer"), &NEUTRAL)?;
        self.check_kinds("pre-tokenizer", self.get("pre_tokenizer"), &CUTTERS)?;
        let merges = self.model().get("merges").and_then(Value::as_array);
        if merges.is_some_and(|merges| !merges.is_empty()) {
            return Err(self.unsupported("merging residues"));
        }
        Ok(())
    }

    fn check_kinds(&self, what: &str, part: &Value, known: &[&str]) -> Result<(), ModelError> {
        if part.is_null() {
            return Ok(());
        }
        match Self::kind(part) {
            Some("Sequence") => {
                let parts = ["normalizers", "pretokenizers"].map(|key| part.get(key));
                let parts = parts.into_iter().flatten().filter_map(Value::as_array);
                let mut parts = parts.flatten();
                parts.try_for_each(|part| self.check_kinds(what, part, known))
            }
            Some(kind) if known.contains(&kind) => Ok(()),
            kind => Err(self.unsupported(format!("the {what} {}", kind.unwrap_or("of no kind")))),
        }
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
