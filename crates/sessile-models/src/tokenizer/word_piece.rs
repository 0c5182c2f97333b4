//! WordPiece (Wu et al., 2016, arXiv:1609.08144), as BERT has it (Devlin et al., 2019): text is
//! cleaned and cut into words, and a word into the longest pieces of the vocabulary, from its start.
//! The ids are those of the `tokenizers` library.

mod normal;
mod read;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use super::file::{AddedToken, Template};
use super::{LetterTokenizer, Preprocessing, Tokenizer};
use crate::error::ModelError;
pub(crate) use normal::Normal;

/// A WordPiece tokenizer.
#[derive(Clone, Debug)]
pub struct WordPieceTokenizer {
    /// Pieces that begin a word.
    first: HashMap<Box<str>, u32>,
    /// Pieces that continue one, without the mark for that.
    further: HashMap<Box<str>, u32>,
    /// Bytes of the longest piece.
    longest: usize,
    unknown: u32,
    /// A longer word is unknown, in characters.
    most_characters: usize,
    normal: Normal,
    /// Cut out before anything else, longest first.
    added: Vec<AddedToken>,
    template: Template,
    mask: Option<u32>,
    /// Ids are below this number.
    len: usize,
}

/// The tokenizer of BERT: of residues where the vocabulary has a token for each and no other words,
/// else of text.
///
/// # Errors
///
/// `NotFound`, `Unreadable`, `Malformed`, `Mismatch` when the files contradict each other, or
/// `Unsupported` for steps that are not built in.
pub(crate) fn of_bert(
    directory: &Path,
    preprocessing: Preprocessing,
) -> Result<Tokenizer, ModelError> {
    let vocabulary = read::Vocabulary::read(directory)?;
    if vocabulary.has_letters_alone() {
        let tokenizer: LetterTokenizer = vocabulary.letters(preprocessing)?;
        return Ok(Tokenizer::Letters(tokenizer.into()));
    }
    Ok(Tokenizer::WordPiece(vocabulary.word_pieces()?.into()))
}

impl WordPieceTokenizer {
    /// Ids are below this number.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the vocabulary is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Special tokens before and after every text.
    pub fn special_tokens(&self) -> (usize, usize) {
        (self.template.before.len(), self.template.after.len())
    }

    /// The token that hides another, where there is one.
    pub fn mask(&self) -> Option<u32> {
        self.mask
    }

    /// Encodes a text, special tokens included.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::with_capacity(text.len() / 3 + 2);
        tokens.extend_from_slice(&self.template.before);
        let (mut rest, mut from) = (text, 0);
        // What is cut out stands in the text as it is, before it is cleaned.
        while let Some(at) = rest[from..].find(['[', '<']).map(|at| from + at) {
            let found = self
                .added
                .iter()
                .find(|token| rest[at..].starts_with(&token.content));
            match found {
                Some(token) => {
                    self.cut(&rest[..at], &mut tokens);
                    tokens.push(token.id);
                    rest = &rest[at + token.content.len()..];
                    from = 0;
                }
                None => from = at + 1,
            }
        }
        self.cut(rest, &mut tokens);
        tokens.extend_from_slice(&self.template.after);
        tokens
    }

    fn cut(&self, text: &str, tokens: &mut Vec<u32>) {
        self.normal.words(text, |word| self.pieces(word, tokens));
    }

    /// The longest pieces of a word from its start, or one unknown token for all of it.
    fn pieces(&self, word: &str, tokens: &mut Vec<u32>) {
        let before = tokens.len();
        let mut at = 0;
        // Counting is for words that may be too long.
        let fits = word.len() <= self.most_characters
            || word.chars().take(self.most_characters + 1).count() <= self.most_characters;
        while fits && at < word.len() {
            let pieces = if at == 0 { &self.first } else { &self.further };
            let mut end = word.len().min(at + self.longest);
            let found = loop {
                while !word.is_char_boundary(end) {
                    end -= 1;
                }
                if end <= at {
                    break None;
                }
                if let Some(&id) = pieces.get(&word[at..end]) {
                    break Some(id);
                }
                end -= 1;
            };
            match found {
                Some(id) => tokens.push(id),
                None => break,
            }
            at = end;
        }
        if at < word.len() {
            tokens.truncate(before);
            tokens.push(self.unknown);
        }
    }
}
