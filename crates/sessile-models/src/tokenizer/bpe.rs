//! Byte-pair encoding (Sennrich et al., 2016, arXiv:1508.07909), as DNABERT-2 and DNABERT-S use it
//! on nucleotides.
//!
//! The text is cut into words, a word into letters, and the pair of neighbours whose merge comes
//! first in the file becomes one token, leftmost first, until no pair is left that merges. The ids
//! are those of the `tokenizers` library; [`merge`] says how they are found faster.

mod byte_level;
mod merge;
mod read;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use super::Encoding;
use super::file::{AddedToken, Template};
use crate::error::ModelError;
pub use byte_level::ByteLevelTokenizer;
pub(crate) use byte_level::byte_characters;
use merge::{Merges, Room};

/// The letters of nucleotides. `U` is read as `T` (RNA as DNA); those that are not in the vocabulary are its unknown token, as the
/// models were trained with; anything else in a sequence is an error worth telling.
const AMBIGUOUS: &[u8] = b"ACGTUNRYSWKMBDHV";

/// No id.
const NONE: u32 = u32::MAX;

/// How text is cut into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// At white space, and between letters and other symbols (`\w+|[^\w\s]+`).
    Kinds,
    /// At white space.
    Spaces,
}

/// What a character is to the cutting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Space,
    Letter,
    Other,
}

/// A byte-pair tokenizer.
#[derive(Clone, Debug)]
pub struct BpeTokenizer {
    /// Ids of single ASCII characters.
    letters: [u32; 128],
    /// Ids of the other single characters.
    characters: HashMap<char, u32>,
    merges: Merges,
    unknown: Option<u32>,
    /// Whether neighbouring unknown characters are one token.
    fuse_unknown: bool,
    words: Words,
    /// Cut out before anything else, longest first.
    added: Vec<AddedToken>,
    /// The bytes that added tokens start with.
    added_starts: [bool; 256],
    template: Template,
    mask: Option<u32>,
    /// Ids are below this number.
    len: usize,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

impl BpeTokenizer {
    /// Reads `tokenizer.json`, with merges as text (`"TA GC"`) or as pairs (`["TA", "GC"]`).
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unreadable`, `Malformed`, or `Unsupported` for a tokenizer of another kind and
    /// for settings that would give other ids.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        read::read(path)
    }

    /// Ids are below this number.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the vocabulary is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Ids of all tokens but the added ones are below this number.
    pub(super) fn plain_len(&self) -> usize {
        let is_plain = |id: &usize| !self.added.iter().any(|token| token.id as usize == *id);
        (0..self.len).rev().find(is_plain).map_or(0, |id| id + 1)
    }

    /// Special tokens before and after every sequence.
    pub fn special_tokens(&self) -> (usize, usize) {
        (self.template.before.len(), self.template.after.len())
    }

    /// The token that hides another, if there is one.
    pub fn mask(&self) -> Option<u32> {
        self.mask
    }

    /// Encodes a sequence. Bytes that are no UTF-8 are unknown one by one.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::tokenizer::BpeTokenizer;
    ///
    /// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
    /// let file = format!("{golden}/dnabert_s/tiny_a/tokenizer.json");
    /// let tokenizer = BpeTokenizer::from_file(file.as_ref())?;
    /// // [CLS] GA TAC G T [SEP]
    /// assert_eq!(tokenizer.encode(b"GATACGT").tokens, [1, 10, 35, 7, 8, 2]);
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn encode(&self, text: &[u8]) -> Encoding {
        ROOM.with_borrow_mut(|room| {
            let mut encoding = Encoding {
                tokens: Vec::with_capacity(text.len() / 4 + 2),
                unknown: None,
            };
            encoding.tokens.extend_from_slice(&self.template.before);
            self.cut(text, room, &mut encoding);
            encoding.tokens.extend_from_slice(&self.template.after);
            encoding
        })
    }

    /// Cuts text into words and merges each.
    fn cut(&self, text: &[u8], room: &mut Room, encoding: &mut Encoding) {
        let mut last = Kind::Space;
        let mut in_unknown = false;
        let mut at = 0;
        while at < text.len() {
            let byte = text[at];
            if self.added_starts[usize::from(byte)]
                && let Some(token) = self.added_at(&text[at..])
            {
                self.merges.finish(room, &mut encoding.tokens);
                encoding.tokens.push(token.id);
                at += token.content.len();
                (last, in_unknown) = (Kind::Space, false);
                continue;
            }
            let (id, kind, len) = self.symbol(&text[at..]);
            let boundary = match self.words {
                Words::Kinds => kind != last,
                Words::Spaces => (kind == Kind::Space) != (last == Kind::Space),
            };
            if boundary {
                self.merges.finish(room, &mut encoding.tokens);
                in_unknown = false;
            }
            last = kind;
            if kind != Kind::Space {
                if id != NONE {
                    room.push(id);
                    in_unknown = false;
                } else {
                    if !AMBIGUOUS.contains(&byte.to_ascii_uppercase()) {
                        encoding.unknown = encoding.unknown.or(Some((at, byte)));
                    }
                    if let Some(unknown) = self.unknown
                        && !(self.fuse_unknown && in_unknown)
                    {
                        room.push(unknown);
                    }
                    in_unknown = true;
                }
            }
            at += len;
        }
        self.merges.finish(room, &mut encoding.tokens);
    }

    /// The id, kind and length in bytes of the character that `text` starts with.
    #[inline]
    fn symbol(&self, text: &[u8]) -> (u32, Kind, usize) {
        let byte = text[0];
        if let Some(&id) = self.letters.get(usize::from(byte)) {
            let kind = match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' => Kind::Letter,
                b'\t'..=b'\r' | b' ' => Kind::Space,
                _ => Kind::Other,
            };
            return (id, kind, 1);
        }
        let len = text.len().min(4);
        let character = match std::str::from_utf8(&text[..len]) {
            Ok(text) => text.chars().next(),
            Err(error) => std::str::from_utf8(&text[..error.valid_up_to()])
                .ok()
                .and_then(|text| text.chars().next()),
        };
        match character {
            None => (NONE, Kind::Other, 1),
            Some(character) => {
                let kind = if character.is_whitespace() {
                    Kind::Space
                } else if character.is_alphanumeric() {
                    Kind::Letter
                } else {
                    Kind::Other
                };
                let id = self.characters.get(&character).copied().unwrap_or(NONE);
                (id, kind, character.len_utf8())
            }
        }
    }

    /// The longest added token that `text` starts with.
    #[cold]
    fn added_at(&self, text: &[u8]) -> Option<&AddedToken> {
        self.added
            .iter()
            .find(|token| text.starts_with(token.content.as_bytes()))
    }
}
