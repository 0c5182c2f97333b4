//! Byte-level byte-pair encoding (Radford et al., 2019, GPT-2), as BART uses it on text.
//!
//! Every byte has a printable character of its own, so no text is unknown. Text is cut into words
//! that keep the space before them, a word into bytes, and these are merged.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use regex::Regex;

use super::NONE;
use super::merge::{Merges, Room};
use super::read;
use crate::error::ModelError;
use crate::tokenizer::file::{AddedToken, Template, TokenizerFile};
use crate::tokenizer::text::{Beginning, LongWord};

/// A byte-level tokenizer.
#[derive(Clone, Debug)]
pub struct ByteLevelTokenizer {
    /// Ids of single bytes.
    bytes: Vec<u32>,
    merges: Merges,
    /// Cut out before anything else, longest first.
    added: Vec<AddedToken>,
    /// The bytes that added tokens start with.
    added_starts: Box<[bool; 256]>,
    /// Whether a space is put before the text.
    prefix_space: bool,
    template: Template,
    /// The bytes that a token stands for; empty for special tokens.
    texts: Vec<Vec<u8>>,
    /// Whether spaces before punctuation are taken out of what is written.
    cleans_spaces: bool,
}

/// A word is read whole if it has no more than this many times the bytes of as many of the longest
/// tokens as are wanted.
const LONG_WORD: usize = 4;

/// A text on its way to tokens, and where to stop.
struct Cutting<'r> {
    room: &'r mut Room,
    tokens: Vec<u32>,
    /// Nothing is read once there are more tokens.
    most: usize,
    /// Bytes of a word that is read.
    longest_word: usize,
    /// The bytes of a word that is longer.
    long_word: Option<usize>,
}

impl Cutting<'_> {
    fn goes_on(&self) -> bool {
        self.tokens.len() <= self.most && self.long_word.is_none()
    }
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// Words as GPT-2 cuts them, but for the look-ahead at the end of white space, which
/// [`ByteLevelTokenizer::words`] does.
fn words() -> Option<&'static Regex> {
    static WORDS: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
    WORDS.get_or_init(|| Regex::new(pattern).ok()).as_ref()
}

/// The character that stands for each byte in the vocabulary: printable Latin-1 characters stand
/// for themselves, the others follow from U+0100 on.
pub(crate) fn byte_characters() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let byte = byte as u8;
        match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => {
                next += 1;
                char::from_u32(next - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
        }
    })
}

impl ByteLevelTokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unreadable`, `Malformed`, or `Unsupported` for a tokenizer of another kind and
    /// for settings that would give other ids.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        ByteLevelTokenizer::new(&TokenizerFile::open(path)?)
    }

    /// Reads the tokenizer of BART: `tokenizer.json`, or `vocab.json` and `merges.txt` where there
    /// is no such file, and what lies beside.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file).
    pub fn from_directory(directory: &Path) -> Result<Self, ModelError> {
        ByteLevelTokenizer::new(&TokenizerFile::of_bart(directory)?)
    }

    fn new(file: &TokenizerFile) -> Result<Self, ModelError> {
        read::check_plain(file)?;
        let cutter = file.get("pre_tokenizer");
        if TokenizerFile::kind(cutter) != Some("ByteLevel") {
            let other = TokenizerFile::kind(cutter).unwrap_or("none");
            return Err(file.unsupported(format!("the pre-tokenizer {other}")));
        }
        if cutter.get("use_regex") == Some(&serde_json::Value::Bool(false)) {
            return Err(file.unsupported("use_regex = false"));
        }
        let vocabulary: HashMap<&str, u32> = file.vocabulary()?.into_iter().collect();
        let characters = byte_characters();
        let mut buffer = [0; 4];
        let unknown = read::unknown(file, &vocabulary)?;
        let bytes: Vec<u32> = characters
            .iter()
            .map(|character| {
                let token = &*character.encode_utf8(&mut buffer);
                let id = vocabulary.get(token).copied();
                id.or(unknown).unwrap_or(NONE)
            })
            .collect();
        if unknown.is_some_and(|unknown| bytes.contains(&unknown))
            && file.model().get("fuse_unk") == Some(&true.into())
        {
            return Err(file.unsupported("fuse_unk with a vocabulary that does not have all bytes"));
        }
        let added = file.added()?;
        let mut added_starts = Box::new([false; 256]);
        for token in &added {
            added_starts[usize::from(token.content.as_bytes()[0])] = true;
        }
        let largest = vocabulary
            .values()
            .copied()
            .chain(added.iter().map(|token| token.id))
            .max();
        let mut texts = vec![Vec::new(); largest.map_or(0, |id| id as usize + 1)];
        let byte_of: HashMap<char, u8> = (0..=255_u8)
            .map(|byte| (characters[usize::from(byte)], byte))
            .collect();
        for (token, &id) in &vocabulary {
            texts[id as usize] = token
                .chars()
                .filter_map(|character| byte_of.get(&character).copied())
                .collect();
        }
        for token in &added {
            texts[token.id as usize] = match token.is_special {
                true => Vec::new(),
                false => token.content.clone().into_bytes(),
            };
        }
        // The class of BART asks its own settings, not the file.
        let prefix_space = match file.beside.is_generic() {
            true => cutter.get("add_prefix_space") == Some(&true.into()),
            false => file.beside.flag("add_prefix_space")?.unwrap_or(false),
        };
        let cleans_spaces = file.beside.flag("clean_up_tokenization_spaces")?;
        let template = file.template()?;
        if template.before.is_empty() && template.after.is_empty() {
            return Err(
                file.unsupported("no post-processor, so that texts have neither begin nor end,")
            );
        }
        Ok(ByteLevelTokenizer {
            bytes,
            merges: read::merges(file, &vocabulary)?,
            added,
            added_starts,
            prefix_space,
            template,
            texts,
            cleans_spaces: cleans_spaces.unwrap_or(false),
        })
    }

    /// Ids are below this number.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether the vocabulary is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Special tokens before and after every text.
    pub fn special_tokens(&self) -> (usize, usize) {
        (self.template.before.len(), self.template.after.len())
    }

    /// Encodes a text, special tokens included.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::tokenizer::ByteLevelTokenizer;
    ///
    /// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
    /// let file = format!("{golden}/bart/tiny/tokenizer.json");
    /// let tokenizer = ByteLevelTokenizer::from_file(file.as_ref())?;
    /// let tokens = tokenizer.encode("The committee did not.");
    /// assert_eq!(tokens, [0, 559, 471, 522, 523, 17, 2]);
    /// assert_eq!(tokenizer.decode(&tokens), "The committee did not.");
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn encode(&self, text: &str) -> Vec<u32> {
        ROOM.with_borrow_mut(|room| {
            let mut tokens = Vec::with_capacity(text.len() / 3 + 2);
            tokens.extend_from_slice(&self.template.before);
            let mut cutting = Cutting {
                room,
                tokens,
                most: usize::MAX,
                longest_word: usize::MAX,
                long_word: None,
            };
            self.cut(text, &mut cutting);
            let mut tokens = cutting.tokens;
            tokens.extend_from_slice(&self.template.after);
            tokens
        })
    }

    /// What [`encode`](Self::encode) and [`truncate`](Self::truncate) give, without reading much
    /// more of the text than that.
    pub(crate) fn beginning(&self, text: &str, most: usize) -> Result<Beginning, LongWord> {
        let longest_token = self.texts.iter().map(Vec::len).max().unwrap_or(1);
        let longest_word = most.saturating_mul(longest_token).saturating_mul(LONG_WORD);
        ROOM.with_borrow_mut(|room| {
            let mut cutting = Cutting {
                room,
                tokens: self.template.before.clone(),
                most: most.saturating_sub(self.template.after.len()),
                longest_word,
                long_word: None,
            };
            self.cut(text, &mut cutting);
            cutting.room.give_back();
            if let Some(bytes) = cutting.long_word {
                return Err(LongWord {
                    bytes,
                    most: longest_word,
                });
            }
            let mut tokens = cutting.tokens;
            tokens.extend_from_slice(&self.template.after);
            let is_whole = !self.truncate(&mut tokens, most);
            Ok(Beginning { tokens, is_whole })
        })
    }

    /// At most `most` of the tokens that [`encode`](Self::encode) gave: the first ones, and the
    /// special ones at the end. Returns whether anything was cut.
    pub fn truncate(&self, tokens: &mut Vec<u32>, most: usize) -> bool {
        if tokens.len() <= most {
            return false;
        }
        let after = self.template.after.len().min(most);
        let end = tokens.split_off(tokens.len() - after);
        tokens.truncate(most - after);
        tokens.extend(end);
        true
    }

    /// The text of tokens, without special ones. Bytes that make no character become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::with_capacity(tokens.len() * 4);
        for &token in tokens {
            if let Some(text) = self.texts.get(token as usize) {
                bytes.extend_from_slice(text);
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match self.cleans_spaces {
            true => clean_spaces(text),
            false => text,
        }
    }

    /// The added token that has an id, if one has.
    pub(in crate::tokenizer) fn added_name(&self, id: u32) -> Option<&str> {
        let token = self.added.iter().find(|token| token.id == id);
        token.map(|token| token.content.as_str())
    }

    /// Ids of all tokens but the added ones are below this number.
    pub(in crate::tokenizer) fn plain_len(&self) -> usize {
        let is_plain = |id: &usize| !self.added.iter().any(|token| token.id as usize == *id);
        (0..self.texts.len())
            .rev()
            .find(is_plain)
            .map_or(0, |id| id + 1)
    }

    /// Ids that stand around every text.
    pub(in crate::tokenizer) fn ends(&self) -> impl Iterator<Item = u32> {
        self.template
            .before
            .iter()
            .chain(&self.template.after)
            .copied()
    }

    /// Cuts added tokens out and the rest into words.
    fn cut(&self, text: &str, cutting: &mut Cutting<'_>) {
        let mut from = 0;
        let mut at = 0;
        while at < text.len() {
            if !cutting.goes_on() {
                return;
            }
            let found = match self.added_starts[usize::from(text.as_bytes()[at])] {
                true => self.added_at(&text[at..]),
                false => None,
            };
            let Some(token) = found else {
                at += 1;
                while !text.is_char_boundary(at) {
                    at += 1;
                }
                continue;
            };
            let before = &text[from..at];
            let before = if token.takes_left {
                before.trim_end()
            } else {
                before
            };
            self.words(before, cutting);
            if cutting.goes_on() {
                cutting.tokens.push(token.id);
            }
            at += token.content.len();
            if token.takes_right {
                at = text.len() - text[at..].trim_start().len();
            }
            from = at;
        }
        self.words(&text[from..], cutting);
    }

    /// The longest added token that `text` starts with.
    #[cold]
    fn added_at(&self, text: &str) -> Option<&AddedToken> {
        let mut added = self.added.iter();
        added.find(|token| text.starts_with(&token.content))
    }

    /// Cuts text into words and merges each.
    fn words(&self, text: &str, cutting: &mut Cutting<'_>) {
        if self.prefix_space && !text.is_empty() && !text.starts_with(' ') {
            let text = format!(" {text}");
            return self.cut_words(&text, cutting);
        }
        self.cut_words(text, cutting);
    }

    fn cut_words(&self, text: &str, cutting: &mut Cutting<'_>) {
        let Some(words) = words() else { return };
        let mut at = 0;
        while cutting.goes_on()
            && let Some(found) = words.find_at(text, at)
        {
            let mut word = found.as_str();
            let is_space = word.starts_with(char::is_whitespace) && word.trim().is_empty();
            if is_space && found.end() < text.len() {
                // White space leaves its last character to the word behind it.
                if let Some((last, _)) = word
                    .char_indices()
                    .next_back()
                    .filter(|&(last, _)| last > 0)
                {
                    word = &word[..last];
                }
            }
            if word.len() > cutting.longest_word {
                cutting.long_word = Some(word.len());
                return;
            }
            for &byte in word.as_bytes() {
                let id = self.bytes[usize::from(byte)];
                if id != NONE {
                    cutting.room.push(id);
                }
            }
            self.merges.finish(cutting.room, &mut cutting.tokens);
            at = found.start() + word.len();
        }
    }
}

/// Takes the space out before punctuation and what is left of a shortened word, in this order
/// (`clean_up_tokenization` of `transformers`).
fn clean_spaces(text: String) -> String {
    const WITH_SPACE: [&str; 10] = [
        " .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're",
    ];
    WITH_SPACE
        .iter()
        .fold(text, |text, with| text.replace(with, with.trim()))
}
