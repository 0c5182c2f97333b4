//! A byte-pair tokenizer from `tokenizer.json`.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::merge::{Merge, Merges};
use super::{BpeTokenizer, NONE, Words};
use crate::error::ModelError;
use crate::tokenizer::file::TokenizerFile;

/// Settings of the model that change its ids, each with the values that leave them alone.
const PLAIN: [&str; 5] = [
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
];

pub(super) fn read(path: &Path) -> Result<BpeTokenizer, ModelError> {
    let file = TokenizerFile::open(path)?;
    check_plain(&file)?;
    let model = file.model();
    let words = match TokenizerFile::kind(file.get("pre_tokenizer")) {
        Some("Whitespace") => Words::Kinds,
        Some("WhitespaceSplit") => Words::Spaces,
        other => {
            let other = other.unwrap_or("none");
            return Err(file.unsupported(format!("the pre-tokenizer {other}")));
        }
    };

    let vocabulary: HashMap<&str, u32> = file.vocabulary()?.into_iter().collect();
    let added = file.added()?;
    let mut added_starts = [false; 256];
    for token in &added {
        added_starts[usize::from(token.content.as_bytes()[0])] = true;
    }
    let mut letters = [NONE; 128];
    let mut characters = HashMap::new();
    for (&token, &id) in &vocabulary {
        let mut all = token.chars();
        if let (Some(first), None) = (all.next(), all.next()) {
            match letters.get_mut(first as usize) {
                Some(letter) => *letter = id,
                None => {
                    characters.insert(first, id);
                }
            }
        }
    }
    // RNA is read as DNA by vocabularies of DNA.
    for (rna, dna) in [(b'U', b'T'), (b'u', b't')] {
        if letters[usize::from(rna)] == NONE {
            letters[usize::from(rna)] = letters[usize::from(dna)];
        }
    }
    let unknown = unknown(&file, &vocabulary)?;
    let id_of = |content: &str| {
        let added = added.iter().find(|token| token.content == content);
        added.map(|token| token.id)
    };
    let largest = vocabulary
        .values()
        .copied()
        .chain(added.iter().map(|token| token.id))
        .max();
    Ok(BpeTokenizer {
        letters,
        characters,
        merges: merges(&file, &vocabulary)?,
        unknown,
        fuse_unknown: model.get("fuse_unk") == Some(&Value::Bool(true)),
        words,
        mask: id_of("[MASK]").or_else(|| id_of("<mask>")),
        added_starts,
        template: file.template()?,
        len: largest.map_or(0, |id| id as usize + 1),
        added,
    })
}

/// Refuses another kind of tokenizer, and settings that would give other ids.
pub(super) fn check_plain(file: &TokenizerFile) -> Result<(), ModelError> {
    let model = file.model();
    match TokenizerFile::kind(model) {
        Some("BPE") => {}
        other => {
            let other = other.unwrap_or("of no kind");
            return Err(file.unsupported(format!("a tokenizer {other} where BPE is expected")));
        }
    }
    for setting in PLAIN {
        let value = model.get(setting).unwrap_or(&Value::Null);
        let plain = match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Number(number) => number.as_f64() == Some(0.0),
            _ => false,
        };
        if !plain {
            return Err(file.unsupported(format!("the BPE setting {setting} = {value}")));
        }
    }
    if !file.get("normalizer").is_null() {
        let kind = TokenizerFile::kind(file.get("normalizer")).unwrap_or("of no kind");
        return Err(file.unsupported(format!("the normalizer {kind}")));
    }
    Ok(())
}

/// What stands for a letter that the vocabulary does not have.
pub(super) fn unknown(
    file: &TokenizerFile,
    vocabulary: &HashMap<&str, u32>,
) -> Result<Option<u32>, ModelError> {
    let Some(token) = file.model().get("unk_token").and_then(Value::as_str) else {
        return Ok(None);
    };
    let id = vocabulary.get(token).copied();
    id.map(Some)
        .ok_or_else(|| file.malformed(format!("`{token}` is not in the vocabulary")))
}

/// The merges, as ids.
pub(super) fn merges(
    file: &TokenizerFile,
    vocabulary: &HashMap<&str, u32>,
) -> Result<Merges, ModelError> {
    let listed = file.model().get("merges").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| file.malformed("there are no merges"))?;
    let mut merges = Vec::with_capacity(listed.len());
    let mut joined = String::new();
    for (number, merge) in listed.iter().enumerate() {
        let pair = match merge {
            Value::String(text) => text.split_once(' '),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(left), Value::String(right)] => Some((&**left, &**right)),
                _ => None,
            },
            _ => None,
        };
        let (left, right) =
            pair.ok_or_else(|| file.malformed(format!("merge {number} is no pair: {merge}")))?;
        let id = |token: &str| {
            vocabulary.get(token).copied().ok_or_else(|| {
                file.malformed(format!(
                    "merge {number}: `{token}` is not in the vocabulary"
                ))
            })
        };
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        merges.push(Merge {
            left: id(left)?,
            right: id(right)?,
            into: id(&joined)?,
        });
    }
    Ok(Merges::new(merges))
}
