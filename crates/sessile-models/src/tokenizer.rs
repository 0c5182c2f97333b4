//! From text to token ids.

mod beside;
mod bpe;
mod esm;
mod file;
mod letters;
mod prost_t5;
mod text;
mod word_piece;

use std::sync::Arc;

use crate::family::Alphabet;
pub(crate) use bpe::byte_characters;
pub use bpe::{BpeTokenizer, ByteLevelTokenizer};
pub use esm::EsmTokenizer;
pub use letters::LetterTokenizer;
pub use prost_t5::{Preprocessing, ProstT5Tokenizer};
pub use text::{Beginning, LongWord, TextTokenizer};
pub use word_piece::WordPieceTokenizer;
pub(crate) use word_piece::of_bert;

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
    /// A token per residue between `<AA2fold>` and `</s>`.
    ProstT5(Arc<ProstT5Tokenizer>),
    /// A token per residue, between special tokens where the model has some.
    Letters(Arc<LetterTokenizer>),
    /// Words and their pieces.
    WordPiece(Arc<WordPieceTokenizer>),
    /// Byte-pair encoding of any text.
    ByteLevel(Arc<ByteLevelTokenizer>),
}

/// The residues of a protein without the stop `*` that ends a translation: the one rule for
/// files and requests. A `*` elsewhere stays, for the tokenizer to know it or not.
///
/// # Examples
///
/// ```
/// use sessile_models::tokenizer::without_stop;
///
/// assert_eq!(without_stop(b"MKV*"), b"MKV");
/// assert_eq!(without_stop(b"M*V"), b"M*V");
/// ```
pub fn without_stop(residues: &[u8]) -> &[u8] {
    residues.strip_suffix(b"*").unwrap_or(residues)
}

impl Tokenizer {
    /// Encodes a sequence.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::Model;
    ///
    /// let demo = Model::demo();
    /// assert_eq!(demo.tokenizer().encode(b"MV").tokens, [0, 20, 7, 2]);
    /// ```
    pub fn encode(&self, text: &[u8]) -> Encoding {
        match self {
            Tokenizer::Esm(tokenizer) => tokenizer.encode(text),
            Tokenizer::Bpe(tokenizer) => tokenizer.encode(text),
            Tokenizer::ProstT5(tokenizer) => tokenizer.encode(text),
            Tokenizer::Letters(tokenizer) => tokenizer.encode(text),
            Tokenizer::WordPiece(tokenizer) => Encoding {
                tokens: tokenizer.encode(&String::from_utf8_lossy(text)),
                unknown: None,
            },
            Tokenizer::ByteLevel(tokenizer) => Encoding {
                tokens: tokenizer.encode(&String::from_utf8_lossy(text)),
                unknown: None,
            },
        }
    }

    /// What sequences are made of.
    pub fn alphabet(&self) -> Alphabet {
        match self {
            Tokenizer::Esm(_) | Tokenizer::ProstT5(_) | Tokenizer::Letters(_) => Alphabet::Protein,
            Tokenizer::Bpe(_) => Alphabet::Nucleotide,
            Tokenizer::WordPiece(_) | Tokenizer::ByteLevel(_) => Alphabet::Text,
        }
    }

    /// Ids are below this number.
    pub fn len(&self) -> usize {
        match self {
            Tokenizer::Esm(tokenizer) => tokenizer.len(),
            Tokenizer::Bpe(tokenizer) => tokenizer.len(),
            Tokenizer::ProstT5(tokenizer) => tokenizer.len(),
            Tokenizer::Letters(tokenizer) => tokenizer.len(),
            Tokenizer::WordPiece(tokenizer) => tokenizer.len(),
            Tokenizer::ByteLevel(tokenizer) => tokenizer.len(),
        }
    }

    /// A token of usual sequences that a model with `rows` embeddings does not have, if there is
    /// one. Added tokens may lie beyond: only a sequence with one of them cannot be read then.
    pub(crate) fn beyond(&self, rows: usize) -> Option<u32> {
        if let Tokenizer::ByteLevel(_) = self {
            return self.text()?.usual_beyond(rows);
        }
        if let Tokenizer::Bpe(tokenizer) = self
            && tokenizer.plain_len() > rows
        {
            return Some(tokenizer.plain_len() as u32 - 1);
        }
        if let Tokenizer::WordPiece(tokenizer) = self {
            return (tokenizer.len() > rows).then(|| tokenizer.len() as u32 - 1);
        }
        let usual = match self {
            Tokenizer::Bpe(_) => b"".as_slice(),
            _ => b"ACDEFGHIKLMNPQRSTVWY",
        };
        let tokens = self.encode(usual).tokens.into_iter();
        tokens
            .chain(self.mask())
            .find(|&token| token as usize >= rows)
    }

    /// Whether the vocabulary is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Special tokens before and after every sequence.
    pub fn special_tokens(&self) -> (usize, usize) {
        match self {
            Tokenizer::Esm(_) => (1, 1),
            Tokenizer::Bpe(tokenizer) => tokenizer.special_tokens(),
            Tokenizer::ProstT5(tokenizer) => tokenizer.special_tokens(),
            Tokenizer::Letters(tokenizer) => tokenizer.special_tokens(),
            Tokenizer::WordPiece(tokenizer) => tokenizer.special_tokens(),
            Tokenizer::ByteLevel(tokenizer) => tokenizer.special_tokens(),
        }
    }

    /// The token that hides another, where there is one.
    pub fn mask(&self) -> Option<u32> {
        match self {
            Tokenizer::Esm(tokenizer) => Some(tokenizer.special().mask),
            Tokenizer::Bpe(tokenizer) => tokenizer.mask(),
            Tokenizer::Letters(tokenizer) => tokenizer.mask(),
            Tokenizer::WordPiece(tokenizer) => tokenizer.mask(),
            Tokenizer::ProstT5(_) | Tokenizer::ByteLevel(_) => None,
        }
    }

    /// The tokenizer of what the model writes, if it can be that.
    pub(crate) fn text(&self) -> Option<TextTokenizer> {
        match self {
            Tokenizer::ByteLevel(tokenizer) => {
                Some(TextTokenizer::ByteLevel(Arc::clone(tokenizer)))
            }
            Tokenizer::ProstT5(tokenizer) if tokenizer.has_prefix() => {
                Some(TextTokenizer::ProstT5(Arc::clone(tokenizer)))
            }
            _ => None,
        }
    }

    /// The tokenizer of ESM-2, if it is that.
    pub fn as_esm(&self) -> Option<&EsmTokenizer> {
        match self {
            Tokenizer::Esm(tokenizer) => Some(tokenizer),
            _ => None,
        }
    }
}
