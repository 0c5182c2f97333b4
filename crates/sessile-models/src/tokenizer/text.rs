//! The tokenizers of models that write text.

use std::sync::Arc;

use super::{ByteLevelTokenizer, ProstT5Tokenizer};

/// The tokenizer of a model that writes text, whichever it has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TextTokenizer {
    /// Byte-pair encoding of any text.
    ByteLevel(Arc<ByteLevelTokenizer>),
    /// Residues and 3Di states.
    ProstT5(Arc<ProstT5Tokenizer>),
}

impl TextTokenizer {
    /// Encodes a text, special tokens included.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.encode(text),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.encode_text(text),
        }
    }

    /// At most `most` of the tokens of a text: the first ones, and the special ones at the end.
    /// Returns whether anything was cut.
    pub fn truncate(&self, tokens: &mut Vec<u32>, most: usize) -> bool {
        match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.truncate(tokens, most),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.truncate(tokens, most),
        }
    }

    /// The text of tokens, without special ones.
    pub fn decode(&self, tokens: &[u32]) -> String {
        match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.decode(tokens),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.decode(tokens),
        }
    }

    /// Why a model with `rows` embeddings cannot read a text of these tokens, if so. A vocabulary
    /// may have more tokens than the model, as that of bart-large-cnn has `<mask>`.
    pub fn beyond(&self, tokens: &[u32], rows: usize) -> Option<String> {
        let token = tokens
            .iter()
            .copied()
            .find(|&token| token as usize >= rows)?;
        let name = match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.added_name(token),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.added_name(token),
        };
        let name = name.map_or_else(String::new, |name| format!("`{name}`, "));
        Some(format!(
            "the text has {name}token {token}, and the model has only {rows} tokens"
        ))
    }

    /// A token of usual texts that a model with `rows` embeddings does not have, if there is one.
    pub(crate) fn usual_beyond(&self, rows: usize) -> Option<u32> {
        let is_beyond = |token: &u32| *token as usize >= rows;
        match self {
            TextTokenizer::ByteLevel(tokenizer) => {
                let last = tokenizer.plain_len().checked_sub(1).map(|last| last as u32);
                tokenizer.ends().chain(last).find(is_beyond)
            }
            TextTokenizer::ProstT5(tokenizer) => {
                let protein = tokenizer.encode(b"ACDEFGHIKLMNPQRSTVWY").tokens;
                protein.into_iter().find(is_beyond)
            }
        }
    }

    /// Ids are below this number.
    pub fn len(&self) -> usize {
        match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.len(),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.len(),
        }
    }

    /// Whether the vocabulary is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokenizer of ProstT5, if it is that.
    pub fn as_prost_t5(&self) -> Option<&Arc<ProstT5Tokenizer>> {
        match self {
            TextTokenizer::ProstT5(tokenizer) => Some(tokenizer),
            TextTokenizer::ByteLevel(_) => None,
        }
    }
}
