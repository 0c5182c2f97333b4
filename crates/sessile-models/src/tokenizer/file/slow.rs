//! The files from before `tokenizer.json`: a vocabulary with its merges. They are put into the form
//! of `tokenizer.json`, as `transformers` does it, so that there is one reader.

use std::path::Path;

use serde_json::{Value, json};

use super::{AddedToken, MAX_BYTES, TokenizerFile};
use crate::error::{ModelError, ModelErrorKind};
use crate::small_file;
use crate::tokenizer::beside::Beside;

/// The tokens that `BartTokenizer` has where the files do not say.
const BART: [(&str, &str); 7] = [
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("sep_token", "</s>"),
    ("cls_token", "<s>"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];

/// What reads the files of BART.
const CLASSES: [&str; 2] = ["BartTokenizer", "RobertaTokenizer"];

impl TokenizerFile {
    /// The tokenizer of BART: `tokenizer.json`, or `vocab.json` and `merges.txt` where there is no
    /// such file.
    pub(in crate::tokenizer) fn of_bart(directory: &Path) -> Result<Self, ModelError> {
        let json = directory.join("tokenizer.json");
        let path = directory.join("vocab.json");
        let Some(vocabulary) = (match json.symlink_metadata() {
            Ok(_) => None,
            Err(_) => small_file::object_if_there(&path, MAX_BYTES)?,
        }) else {
            let file = TokenizerFile::open(&json).map_err(|error| match error.kind() {
                ModelErrorKind::NotFound => {
                    error.with_hint("BART has tokenizer.json, or vocab.json and merges.txt")
                }
                _ => error,
            })?;
            file.beside.check_class(&CLASSES)?;
            return Ok(file);
        };
        let merges_path = directory.join("merges.txt");
        let merges = small_file::text(&merges_path, MAX_BYTES)?;
        let beside = Beside::read(directory)?;
        beside.check_class(&CLASSES)?;
        let mut file = TokenizerFile {
            value: json!({
                "pre_tokenizer": { "type": "ByteLevel" },
                "model": { "type": "BPE", "vocab": vocabulary, "merges": pairs(&merges) },
            }),
            path,
            beside,
        };
        file.add_slow()?;
        Ok(file)
    }

    /// Adds the tokens that such files have beside the vocabulary, and the post-processor.
    fn add_slow(&mut self) -> Result<(), ModelError> {
        let mut added = self.beside.added()?;
        for token in &added {
            if let Some(id) = self.id_of(&token.content)?
                && id != token.id
            {
                return Err(self.malformed(format!(
                    "`{}` has the id {id}, the files beside say {}",
                    token.content, token.id
                )));
            }
        }
        let special = |name: &str| {
            let default = BART.iter().find(|(key, _)| *key == name);
            let default = default.map(|(key, content)| AddedToken {
                takes_left: *key == "mask_token",
                ..AddedToken::plain(content, 0)
            });
            let entry = self.beside.entry(name);
            let named = entry.and_then(|entry| AddedToken::of_entry(entry, 0));
            match (named, default) {
                // A name alone says nothing of white space: the class does.
                (Some(named), Some(default)) if entry.is_some_and(Value::is_string) => {
                    Some(AddedToken {
                        takes_left: default.takes_left,
                        ..named
                    })
                }
                (named, default) => named.or(default),
            }
        };
        for mut token in BART.iter().filter_map(|(name, _)| special(name)) {
            if added.iter().any(|other| other.content == token.content) {
                continue;
            }
            let last = added.iter().map(|token| token.id + 1).max().unwrap_or(0);
            let size = self.model().get("vocab").and_then(Value::as_object);
            let next = last.max(size.map_or(0, |vocabulary| vocabulary.len() as u32));
            token.id = self.id_of(&token.content)?.unwrap_or(next);
            added.push(token);
        }
        let pair = |name: &str| {
            let content = special(name).map(|token| token.content);
            let token = added
                .iter()
                .find(|token| Some(&token.content) == content.as_ref());
            token.map(|token| json!([token.content, token.id]))
        };
        let processor = json!({
            "type": "RobertaProcessing",
            "sep": pair("sep_token"),
            "cls": pair("cls_token"),
        });
        let entry = |token: &AddedToken| {
            json!({
                "id": token.id,
                "content": token.content,
                "lstrip": token.takes_left,
                "rstrip": token.takes_right,
                "special": token.is_special,
            })
        };
        let added: Vec<Value> = added.iter().map(entry).collect();
        self.value["post_processor"] = processor;
        self.value["added_tokens"] = added.into();
        Ok(())
    }
}

/// The lines of `merges.txt`, without the one that names its version.
fn pairs(merges: &str) -> Vec<&str> {
    let lines = merges.lines().map(|line| line.trim_end_matches('\r'));
    let lines = lines.enumerate().filter(|(number, line)| {
        let is_version = *number == 0 && line.starts_with("#version");
        !is_version && !line.is_empty()
    });
    lines.map(|(_, line)| line).collect()
}
