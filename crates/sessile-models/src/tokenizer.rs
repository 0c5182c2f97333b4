//! From text to token ids.

mod bpe;
mod esm;
mod file;

use std::sync::Arc;

pub use bpe::BpeTokenizer;
pub use esm::EsmTokenizer;

/// Token ids of one sequence, and what the text had that the vocabulary has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids, special ones included.
    pub tokens: Vec<u32>,
    /// The first symbol that is not in the vocabulary, with its position in the text (from 0).
    pub unknown: Option<(usize, u8)>,
}

/// The tokenizer of a model, whichever it has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Tokenizer {
    /// A token per residue between `<cls>` and `<eos>`.
    Esm(EsmTokenizer),
    /// Byte-pair encoding, for nucleotides.
    Bpe(Arc<BpeTokenizer>),
}

impl Tokenizer {
    /// Encodes a sequence.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::ModelFiles;
    ///
    /// let demo = ModelFiles::demo();
    /// assert_eq!(demo.tokenizer().encode(b"MV").tokens, [0, 20, 7, 2]);
    /// ```
    pub fn encode(&self, text: &[u8]) -> Encoding {
        match self {
            Tokenizer::Esm(tokenizer) => tokenizer.encode(text),
            Tokenizer::Bpe(tokenizer) => tokenizer.encode(text),
        }
    }

    /// Ids are below this number.
    pub fn len(&self) -> usize {
        match self {
            Tokenizer::Esm(tokenizer) => tokenizer.len(),
            Tokenizer::Bpe(tokenizer) => tokenizer.len(),
        }
    }

    /// Whether the vocabulary is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokenizer of ESM-2, if it is that.
    pub fn as_esm(&self) -> Option<&EsmTokenizer> {
        match self {
            Tokenizer::Esm(tokenizer) => Some(tokenizer),
            _ => None,
        }
    }
}
