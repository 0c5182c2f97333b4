//! The tokenizer of ESM-2: a token per residue between `<cls>` and `<eos>`.
//!
//! It splits as `EsmTokenizer` of transformers does: white space separates, known symbols are cut
//! out one by one, and a run of anything else becomes a single `<unk>`.

use std::fs;
use std::path::Path;

use super::Encoding;
use crate::error::{ModelError, ModelErrorKind};

/// The published vocabulary, in the order of its ids.
const PUBLISHED: [&str; 33] = [
    "<cls>", "<pad>", "<eos>", "<unk>", "L", "A", "G", "V", "S", "E", "R", "T", "I", "D", "P", "K",
    "Q", "N", "F", "Y", "M", "H", "W", "C", "X", "B", "U", "Z", "O", ".", "-", "<null_1>",
    "<mask>",
];

/// Largest vocabulary file that is read, in bytes: the published one has 93.
const MAX_VOCABULARY_BYTES: u64 = 1 << 20;

/// Ids of the tokens with a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Before every sequence.
    pub cls: u32,
    /// After every sequence.
    pub eos: u32,
    /// A symbol that is not in the vocabulary.
    pub unk: u32,
    /// A hidden residue.
    pub mask: u32,
}

/// The tokenizer of ESM-2.
#[derive(Clone, Debug)]
pub struct EsmTokenizer {
    tokens: Vec<String>,
    special: SpecialTokens,
    /// Ids of the one-letter tokens by their byte.
    letters: Box<[Option<u32>; 256]>,
    /// The other tokens, longest first.
    words: Vec<(String, u32)>,
}

impl Default for EsmTokenizer {
    /// The published vocabulary.
    fn default() -> Self {
        EsmTokenizer::from_tokens(PUBLISHED.iter().map(|&token| token.to_owned()).collect())
            .expect("the published vocabulary has all special tokens")
    }
}

impl EsmTokenizer {
    /// Reads `vocab.txt`: a token a line, its id is the line's number from 0.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unreadable`, or `Malformed` when a special token is missing.
    pub fn from_vocabulary(path: &Path) -> Result<Self, ModelError> {
        let unreadable = |error: std::io::Error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ModelErrorKind::NotFound,
                _ => ModelErrorKind::Unreadable,
            };
            ModelError::new(
                kind,
                format!("can not read the vocabulary {}", path.display()),
            )
            .with_source(error)
        };
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_VOCABULARY_BYTES {
            return Err(ModelError::new(
                ModelErrorKind::Malformed,
                format!(
                    "{}: {size} bytes are too many for a vocabulary",
                    path.display()
                ),
            ));
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let tokens = text.lines().map(|line| line.trim().to_owned()).collect();
        EsmTokenizer::from_tokens(tokens).map_err(|missing| {
            ModelError::new(
                ModelErrorKind::Malformed,
                format!("{}: the vocabulary has no `{missing}`", path.display()),
            )
        })
    }

    /// A vocabulary in the order of its ids; the error names a special token that is missing.
    fn from_tokens(tokens: Vec<String>) -> Result<Self, &'static str> {
        let id = |name: &'static str| {
            tokens
                .iter()
                .position(|token| token == name)
                .map(|id| id as u32)
                .ok_or(name)
        };
        let special = SpecialTokens {
            cls: id("<cls>")?,
            eos: id("<eos>")?,
            unk: id("<unk>")?,
            mask: id("<mask>")?,
        };
        let mut letters = Box::new([None; 256]);
        let mut words = Vec::new();
        for (id, token) in tokens.iter().enumerate() {
            match token.as_bytes() {
                [] => {}
                [letter] => letters[usize::from(*letter)] = Some(id as u32),
                _ => words.push((token.clone(), id as u32)),
            }
        }
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        Ok(EsmTokenizer {
            tokens,
            special,
            letters,
            words,
        })
    }

    /// Number of tokens in the vocabulary.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether the vocabulary is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens in the order of their ids.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// The id of a one-letter token.
    pub fn letter(&self, residue: u8) -> Option<u32> {
        self.letters[usize::from(residue)]
    }

    /// Encodes a sequence.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::tokenizer::EsmTokenizer;
    ///
    /// let tokenizer = EsmTokenizer::default();
    /// assert_eq!(tokenizer.encode(b"MV<mask>").tokens, [0, 20, 7, 32, 2]);
    /// // A run of unknown symbols is one token.
    /// assert_eq!(tokenizer.encode(b"MjjV").tokens, [0, 20, 3, 7, 2]);
    /// ```
    pub fn encode(&self, text: &[u8]) -> Encoding {
        let mut tokens = Vec::with_capacity(text.len() + 2);
        tokens.push(self.special.cls);
        let mut unknown = None;
        let mut in_unknown_run = false;
        let mut at = 0;
        while at < text.len() {
            let byte = text[at];
            if byte.is_ascii_whitespace() {
                in_unknown_run = false;
                at += 1;
            } else if let Some((id, len)) = self.token_at(&text[at..]) {
                in_unknown_run = false;
                tokens.push(id);
                at += len;
            } else {
                if !in_unknown_run {
                    tokens.push(self.special.unk);
                    in_unknown_run = true;
                }
                unknown = unknown.or(Some((at, byte)));
                at += 1;
            }
        }
        tokens.push(self.special.eos);
        Encoding { tokens, unknown }
    }

    /// The longest token that `text` starts with, and its length in bytes.
    fn token_at(&self, text: &[u8]) -> Option<(u32, usize)> {
        if text[0] == b'<' {
            let word = self
                .words
                .iter()
                .find(|(word, _)| text.starts_with(word.as_bytes()));
            if let Some((word, id)) = word {
                return Some((*id, word.len()));
            }
        }
        self.letters[usize::from(text[0])].map(|id| (id, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_ids() {
        let tokenizer = EsmTokenizer::default();
        let cases: [(&str, &[u32]); 8] = [
            ("", &[0, 2]),
            ("M", &[0, 20, 2]),
            ("M V", &[0, 20, 7, 2]),
            ("M\tV\n", &[0, 20, 7, 2]),
            ("<mask>M", &[0, 32, 20, 2]),
            ("<masM", &[0, 3, 20, 2]),
            ("Mj jV", &[0, 20, 3, 3, 7, 2]),
            ("XBUZO.-", &[0, 24, 25, 26, 27, 28, 29, 30, 2]),
        ];
        for (text, ids) in cases {
            assert_eq!(tokenizer.encode(text.as_bytes()).tokens, ids, "{text:?}");
        }
        assert_eq!(tokenizer.encode(b"MKJL").unknown, Some((2, b'J')));
    }
}
