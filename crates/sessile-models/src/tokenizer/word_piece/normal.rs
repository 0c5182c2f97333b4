//! Cleaning a text and cutting it into words, as `BertNormalizer` and `BertPreTokenizer` of the
//! `tokenizers` library do it.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::char::decompose_canonical;

/// What is done to characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Normal {
    /// Whether control characters are taken out.
    pub(crate) cleans: bool,
    pub(crate) lower: bool,
    /// Whether marks above and below letters are taken off.
    pub(crate) strips: bool,
    /// Whether each Chinese character is a word.
    pub(crate) cuts_chinese: bool,
}

/// Classes of characters beyond ASCII.
static MARK: LazyLock<Regex> = LazyLock::new(|| class(r"\A\p{Mn}\z"));
static PUNCTUATION: LazyLock<Regex> = LazyLock::new(|| class(r"\A\p{P}\z"));
static CONTROL: LazyLock<Regex> = LazyLock::new(|| class(r"\A[\p{Cc}\p{Cf}\p{Co}]\z"));

fn class(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a class of characters")
}

fn is(regex: &Regex, character: char) -> bool {
    regex.is_match(character.encode_utf8(&mut [0; 4]))
}

impl Normal {
    /// Hands each word of a text to `take`.
    pub(crate) fn words(&self, text: &str, mut take: impl FnMut(&str)) {
        let mut word = String::new();
        for character in text.chars() {
            if character.is_ascii_alphanumeric() {
                word.push(match self.lower {
                    true => character.to_ascii_lowercase(),
                    false => character,
                });
                continue;
            }
            if self.cleans && is_dropped(character) {
                continue;
            }
            let is_alone = self.cuts_chinese && is_chinese(character);
            if is_alone {
                finish(&mut word, &mut take);
            }
            let mut put = |character: char| match self.lower {
                true => {
                    let lower = character.to_lowercase();
                    lower.for_each(|character| add(character, &mut word, &mut take));
                }
                false => add(character, &mut word, &mut take),
            };
            if self.strips && !character.is_ascii() {
                decompose_canonical(character, |part| {
                    if part.is_ascii() || !is(&MARK, part) {
                        put(part);
                    }
                });
            } else {
                put(character);
            }
            if is_alone {
                finish(&mut word, &mut take);
            }
        }
        finish(&mut word, &mut take);
    }
}

/// Adds a character to the word, or cuts there.
fn add(character: char, word: &mut String, take: &mut impl FnMut(&str)) {
    if character.is_whitespace() {
        finish(word, take);
    } else if is_punctuation(character) {
        finish(word, take);
        take(character.encode_utf8(&mut [0; 4]));
    } else {
        word.push(character);
    }
}

fn finish(word: &mut String, take: &mut impl FnMut(&str)) {
    if !word.is_empty() {
        take(word);
        word.clear();
    }
}

fn is_punctuation(character: char) -> bool {
    match character.is_ascii() {
        true => character.is_ascii_punctuation(),
        false => is(&PUNCTUATION, character),
    }
}

/// Control characters that are no white space, and what stands for damaged text.
fn is_dropped(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => false,
        '\0' | '\u{fffd}' => true,
        _ if character.is_ascii() => character.is_ascii_control(),
        _ => is(&CONTROL, character),
    }
}

/// The blocks of Chinese characters, as BERT counts them.
fn is_chinese(character: char) -> bool {
    matches!(
        character,
        '\u{4e00}'..='\u{9fff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{20000}'..='\u{2a6df}'
            | '\u{2a700}'..='\u{2b73f}'
            | '\u{2b740}'..='\u{2b81f}'
            | '\u{2b920}'..='\u{2ceaf}'
            | '\u{f900}'..='\u{faff}'
            | '\u{2f800}'..='\u{2fa1f}'
    )
}
