//! The tokenizer of ESM-2: a token per residue between `<cls>` and `<eos>`.
//!
//! It splits as `EsmTokenizer` of transformers does: white space separates, known symbols are cut
//! out one by one, and a run of anything else becomes a single `<unk>`.

use std::collections::HashMap;
use std::path::Path;

use super::Encoding;
use super::beside::Beside;
use super::file::{AddedToken, Template, TokenizerFile};
use crate::error::{ModelError, ModelErrorKind};
use crate::small_file::{self, malformed};

/// The published vocabulary, in the order of its ids.
const PUBLISHED: [&str; 33] = [
    "<cls>", "<pad>", "<eos>", "<unk>", "L", "A", "G", "V", "S", "E", "R", "T", "I", "D", "P", "K",
    "Q", "N", "F", "Y", "M", "H", "W", "C", "X", "B", "U", "Z", "O", ".", "-", "<null_1>",
    "<mask>",
];

/// Largest vocabulary file that is read, in bytes: the published one has 93.
const MAX_VOCABULARY_BYTES: u64 = 1 << 20;

/// Names of the tokens with a meaning of their own, and what they are called in the files beside.
const SPECIAL: [&str; 4] = ["<cls>", "<eos>", "<unk>", "<mask>"];
const SPECIAL_KEYS: [&str; 4] = ["cls_token", "eos_token", "unk_token", "mask_token"];

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
    /// The bytes that these start with.
    word_starts: Box<[bool; 256]>,
    kind: Kind,
}

/// Whose rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A run of unknown symbols is one token; white space separates.
    Esm2,
    /// Every unknown symbol is a token, white space too.
    Esmc,
}

impl Default for EsmTokenizer {
    /// The published vocabulary.
    fn default() -> Self {
        EsmTokenizer::from_tokens(PUBLISHED.map(str::to_owned).to_vec(), SPECIAL)
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
        EsmTokenizer::named(path, lines(path)?, SPECIAL.map(str::to_owned))
    }

    /// Reads the vocabulary of a model: `vocab.txt` or `tokenizer.json`, with the tokens that the
    /// files beside add and the names that they give to the special ones. Without a vocabulary it
    /// is the published one.
    ///
    /// # Errors
    ///
    /// As [`from_vocabulary`](Self::from_vocabulary); `Unsupported` for a `tokenizer.json` that does
    /// more than to look residues up, `Mismatch` when the files contradict each other.
    pub fn from_directory(directory: &Path) -> Result<Self, ModelError> {
        EsmTokenizer::read(directory, "EsmTokenizer", &PUBLISHED)
    }

    /// The same for ESM C, whose vocabulary has the break of a chain, `|`.
    ///
    /// # Errors
    ///
    /// As [`from_directory`](Self::from_directory).
    pub fn of_esmc(directory: &Path) -> Result<Self, ModelError> {
        let mut published = PUBLISHED;
        published[31] = "|";
        Ok(EsmTokenizer {
            kind: Kind::Esmc,
            ..EsmTokenizer::read(directory, "EsmcTokenizer", &published)?
        })
    }

    fn read(directory: &Path, class: &str, published: &[&str]) -> Result<Self, ModelError> {
        let text = directory.join("vocab.txt");
        let json = directory.join("tokenizer.json");
        let beside = Beside::read(directory)?;
        beside.check_class(&[class])?;
        let has_json = json.symlink_metadata().is_ok();
        let has_text = text.symlink_metadata().is_ok() && !(has_json && beside.is_generic());
        let mut special = SPECIAL.map(str::to_owned);
        for (name, key) in special.iter_mut().zip(SPECIAL_KEYS) {
            if let Some(token) = beside.special(key) {
                *name = token.content;
            }
        }
        let mut ends = None;
        let mut tokens = match has_text {
            true => lines(&text)?,
            false if has_json => Vec::new(),
            false => published.iter().map(|token| (*token).to_owned()).collect(),
        };
        let mut added = beside.added()?;
        if has_json {
            let file = TokenizerFile::open(&json)?;
            file.check_letters()?;
            let own = file.vocabulary()?;
            let all = own
                .into_iter()
                .map(|(token, id)| AddedToken::plain(token, id));
            let all = all.chain(file.added()?);
            match has_text {
                true => check_equal(&text, &tokens, all)?,
                false => added = all.collect(),
            }
            ends = Some(file.template()?).filter(|template| *template != Template::default());
        }
        let path = if has_text || !has_json { &text } else { &json };
        for token in added {
            let at = token.id as usize;
            if at >= tokens.len() {
                tokens.resize(at + 1, String::new());
            }
            if !tokens[at].is_empty() && tokens[at] != token.content {
                return Err(ModelError::new(
                    ModelErrorKind::Mismatch,
                    format!(
                        "{}: `{}` and `{}` have the same id {at}",
                        path.display(),
                        tokens[at],
                        token.content
                    ),
                ));
            }
            tokens[at] = token.content;
        }
        let tokenizer = EsmTokenizer::named(path, tokens, special)?;
        let SpecialTokens { cls, eos, .. } = tokenizer.special;
        match ends {
            Some(ends) if ends.before != [cls] || ends.after != [eos] => Err(ModelError::new(
                ModelErrorKind::Unsupported,
                format!(
                    "{}: the post-processor does not put `<cls>` before and `<eos>` behind a \
                     sequence",
                    json.display()
                ),
            )),
            _ => Ok(tokenizer),
        }
    }

    /// A vocabulary in the order of its ids, with the names of its special tokens.
    fn named(path: &Path, tokens: Vec<String>, special: [String; 4]) -> Result<Self, ModelError> {
        let special = special.each_ref().map(String::as_str);
        EsmTokenizer::from_tokens(tokens, special)
            .map_err(|missing| malformed(path, format!("the vocabulary has no `{missing}`")))
    }

    /// A vocabulary in the order of its ids; the error names a special token that is missing.
    fn from_tokens(tokens: Vec<String>, special: [&str; 4]) -> Result<Self, String> {
        let id = |name: &str| {
            // As in a dictionary, the last of equal tokens counts.
            let id = tokens.iter().rposition(|token| token == name);
            id.map(|id| id as u32).ok_or_else(|| name.to_owned())
        };
        let [cls, eos, unk, mask] = special;
        let special = SpecialTokens {
            cls: id(cls)?,
            eos: id(eos)?,
            unk: id(unk)?,
            mask: id(mask)?,
        };
        let mut letters = Box::new([None; 256]);
        let mut words = Vec::new();
        let mut word_starts = Box::new([false; 256]);
        for (id, token) in tokens.iter().enumerate() {
            match token.as_bytes() {
                [] => {}
                [letter] => letters[usize::from(*letter)] = Some(id as u32),
                [first, ..] => {
                    word_starts[usize::from(*first)] = true;
                    words.push((token.clone(), id as u32));
                }
            }
        }
        // Of equal ones the last is found first.
        words.reverse();
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        Ok(EsmTokenizer {
            tokens,
            special,
            letters,
            words,
            word_starts,
            kind: Kind::Esm2,
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
            if byte.is_ascii_whitespace() && self.kind == Kind::Esm2 {
                in_unknown_run = false;
                at += 1;
            } else if let Some((id, len)) = self.token_at(&text[at..]) {
                in_unknown_run = false;
                tokens.push(id);
                at += len;
            } else {
                if !in_unknown_run {
                    tokens.push(self.special.unk);
                    in_unknown_run = self.kind == Kind::Esm2;
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
        if self.word_starts[usize::from(text[0])] {
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

/// The lines of `vocab.txt`.
fn lines(path: &Path) -> Result<Vec<String>, ModelError> {
    let text = small_file::text(path, MAX_VOCABULARY_BYTES)?.replace("\r\n", "\n");
    let lines = text
        .strip_suffix(['\n', '\r'])
        .unwrap_or(&text)
        .split(['\n', '\r']);
    Ok(lines.map(|line| line.trim().to_owned()).collect())
}

/// Refuses a `tokenizer.json` with other ids than `vocab.txt`: `transformers` would mix both.
fn check_equal(
    path: &Path,
    tokens: &[String],
    all: impl Iterator<Item = AddedToken>,
) -> Result<(), ModelError> {
    let ids: HashMap<String, u32> = all.map(|token| (token.content, token.id)).collect();
    for (token, id) in tokens.iter().zip(0_u32..) {
        let other = ids.get(token);
        if !token.is_empty() && other.is_some_and(|&other| other != id) {
            let other = other.copied().unwrap_or_default();
            return Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: `{token}` has the id {id}, and {other} in tokenizer.json",
                    path.display()
                ),
            )
            .with_hint("remove the file that does not belong to the weights"));
        }
    }
    Ok(())
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
