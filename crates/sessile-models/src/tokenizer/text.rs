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
