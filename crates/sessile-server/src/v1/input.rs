//! The sequences of a request.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use sessile_models::tokenizer::{EsmTokenizer, Tokenizer, WordPieceTokenizer, without_stop};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::failure::{Failure, FailureKind};
use crate::service::ServedModel;

/// What the input of a call may have in it.
pub(crate) trait Kind: Send + 'static {
    /// The name of a text in the description of the API.
    const ITEM: &'static str;

    /// What a text is.
    const ABOUT: &'static str;

    /// The name of the whole.
    const INPUT: &'static str;

    /// What a text is called in errors.
    const WANTED: &'static str = "a sequence such as \"MKTV\" or a list of sequences";

    /// What is missing from an empty list.
    const NOTHING: &'static str = "there is no sequence in `input`";

    /// Whether a residue that the model does not know counts as an unknown one.
    const TAKES_UNKNOWN: bool = false;

    /// The texts that are taken, as a regular expression.
    fn pattern(max_residues: usize) -> String;
}

/// A sequence in which residues may be hidden.
#[derive(Debug)]
pub(crate) enum Masked {}

/// A sequence with nothing hidden in it.
#[derive(Debug)]
pub(crate) enum Plain {}

/// A protein, for models that have a state for any letter.
#[derive(Debug)]
pub(crate) enum Protein {}

/// A text.
#[derive(Debug)]
pub(crate) enum Text {}

const SPACE: &str = r"[ \t\n\f\r]*";
const LETTERS: &str = "[ACDEFGHIKLMNPQRSTVWXYBUZOacdefghiklmnpqrstvwxybuzo.-]";

/// So many residues, and a stop that does not count.
fn residues(residue: &str, most: usize) -> String {
    format!(r"^{SPACE}({residue}{SPACE}){{1,{most}}}(\*{SPACE})?$")
}

impl Kind for Masked {
    const ITEM: &'static str = "Sequence";
    const ABOUT: &'static str = "A sequence in one-letter codes; `<mask>` hides a residue. A stop `*` at its end is dropped.";
    const INPUT: &'static str = "Input";

    fn pattern(max_residues: usize) -> String {
        residues(&format!("({LETTERS}|<mask>)"), max_residues)
    }
}

impl Kind for Plain {
    const ITEM: &'static str = "PlainSequence";
    const ABOUT: &'static str =
        "A sequence in one-letter codes, nothing hidden in it. A stop `*` at its end is dropped.";
    const INPUT: &'static str = "PlainInput";

    fn pattern(max_residues: usize) -> String {
        residues(LETTERS, max_residues)
    }
}

impl Kind for Protein {
    const ITEM: &'static str = "Protein";
    const ABOUT: &'static str = "A protein in one-letter codes; a model for 3Di has a state for any \
        letter. A stop `*` at its end is dropped.";
    const INPUT: &'static str = "ProteinInput";
    const TAKES_UNKNOWN: bool = true;

    fn pattern(max_residues: usize) -> String {
        // A stop is a residue too, unless it is the last.
        let before = max_residues.saturating_sub(1);
        format!(
            r"^{SPACE}([A-Za-z*]{SPACE}){{0,{before}}}([A-Za-z]{SPACE}|[A-Za-z*]{SPACE}\*{SPACE})$"
        )
    }
}

impl Kind for Text {
    const ITEM: &'static str = "Text";
    const ABOUT: &'static str = "A text; more than white space.";
    const INPUT: &'static str = "Texts";
    const WANTED: &'static str = "a text or a list of texts";
    const NOTHING: &'static str = "there is no text in `input`";

    fn pattern(_: usize) -> String {
        "\\S".to_owned()
    }
}

/// One text, or a list of texts.
#[derive(Debug)]
pub(crate) struct Input<K> {
    texts: Vec<String>,
    kind: PhantomData<K>,
}

/// Sequences in which residues may be hidden. The names are for the macro that describes types: it takes
/// a parameter for a part of the type.
pub(crate) type Sequences = Input<Masked>;
/// Sequences with nothing hidden in them.
pub(crate) type PlainSequences = Input<Plain>;
/// Proteins.
pub(crate) type Proteins = Input<Protein>;
/// Texts.
pub(crate) type Texts = Input<Text>;

impl<K: Kind> Input<K> {
    /// The texts, where there are some and not too many.
    pub(super) fn within(&self, most: usize) -> Result<&[String], Failure> {
        let items = self.texts.len();
        if items == 0 {
            return Err(Failure::invalid("input", K::NOTHING));
        }
        if items > most {
            let message = format!("{items} items are more than {most}; split the request");
            return Err(Failure::new(FailureKind::TooLarge, message).about("input"));
        }
        Ok(&self.texts)
    }
}

impl<K> Default for Input<K> {
    fn default() -> Self {
        Input::from(Vec::new())
    }
}

impl<K> From<Vec<String>> for Input<K> {
    fn from(texts: Vec<String>) -> Self {
        Input {
            texts,
            kind: PhantomData,
        }
    }
}

impl<'de, K: Kind> Deserialize<'de> for Input<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = deserializer.deserialize_any(InputVisitor {
            wanted: K::WANTED,
            is_item: false,
        })?;
        Ok(Input::from(match found {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }))
    }
}

impl<K: Kind> PartialSchema for Input<K> {
    fn schema() -> RefOr<Schema> {
        let item = Ref::from_schema_name(K::ITEM);
        OneOfBuilder::new()
            .item(item.clone())
            .item(ArrayBuilder::new().items(item).min_items(Some(1)))
            .description(Some("One, or a list."))
            .into()
    }
}

impl<K: Kind> ToSchema for Input<K> {
    fn name() -> Cow<'static, str> {
        K::INPUT.into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        let item = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(K::ABOUT));
        schemas.push((K::ITEM.to_owned(), item.into()));
    }
}

/// A text, or a list of texts.
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads the value of `input`, and each item of a list there.
#[derive(Clone, Copy)]
struct InputVisitor {
    wanted: &'static str,
    is_item: bool,
}

impl InputVisitor {
    fn instead<E: Error>(self, given: &str) -> E {
        let place = if self.is_item {
            "an item of `input`"
        } else {
            "`input`"
        };
        E::custom(format_args!(
            "{place} is {given}; it should be {}",
            self.wanted
        ))
    }

    /// A number: other services take the ids of tokens.
    fn number<E: Error>(self) -> E {
        match self.is_item {
            true => E::custom(format_args!(
                "`input` is a list of numbers; token ids are not taken here: it should be {}",
                self.wanted
            )),
            false => self.instead("a number"),
        }
    }
}

impl<'de> Visitor<'de> for InputVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
        let item = InputVisitor {
            is_item: true,
            ..self
        };
        if self.is_item {
            return match items.next_element_seed(item)? {
                Some(_) => Err(self.instead("a list")),
                None => Err(self.instead("an empty list")),
            };
        }
        let mut texts = Vec::new();
        while let Some(text) = items.next_element_seed(item)? {
            if let OneOrMany::One(text) = text {
                texts.push(text);
            }
        }
        Ok(OneOrMany::Many(texts))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<OneOrMany, E> {
        Err(self.number())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<OneOrMany, E> {
        Err(self.number())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<OneOrMany, E> {
        Err(self.number())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<OneOrMany, E> {
        Err(self.instead("true or false"))
    }

    fn visit_unit<E: Error>(self) -> Result<OneOrMany, E> {
        Err(self.instead("null"))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<OneOrMany, A::Error> {
        Err(self.instead("an object"))
    }
}

/// Letters of the longest token that stands for a residue, with room to spare.
const LONGEST_TOKEN: usize = 16;

impl<'de> DeserializeSeed<'de> for InputVisitor {
    type Value = OneOrMany;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<OneOrMany, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Token ids of a sequence: white space does not count, small letters are capitals, and a stop at
/// the end is dropped.
pub(super) fn tokens<K: Kind>(
    model: &ServedModel,
    text: &str,
    max_residues: usize,
) -> Result<Vec<u32>, Failure> {
    if let Tokenizer::WordPiece(tokenizer) = &model.tokenizer {
        return words(model, tokenizer, text, max_residues);
    }
    let text = text.trim_ascii_end();
    let text = &text[..without_stop(text.as_bytes()).len()];
    let special = model.info.special_tokens;
    let most = max_residues.min(model.info.max_tokens.saturating_sub(special));
    // Not read at all where it must be too long, whatever its letters are.
    let letters = text.bytes().filter(|letter| !letter.is_ascii_whitespace());
    if letters.count() / LONGEST_TOKEN > most {
        let message = format!("the sequence has more than {most} residues");
        return Err(Failure::invalid("input", message));
    }
    let tokens = match &model.tokenizer {
        Tokenizer::Esm(tokenizer) => named_tokens(tokenizer, text)?,
        tokenizer => letter_tokens(tokenizer, text, K::TAKES_UNKNOWN)?,
    };
    let residues = tokens.len().saturating_sub(special);
    if residues == 0 {
        return Err(Failure::invalid("input", "the sequence is empty"));
    }
    if residues > most {
        let message = format!("the sequence has {residues} residues, more than {most}");
        return Err(Failure::invalid("input", message));
    }
    Ok(tokens)
}

/// Token ids of a text, for a model of words.
fn words(
    model: &ServedModel,
    tokenizer: &WordPieceTokenizer,
    text: &str,
    most: usize,
) -> Result<Vec<u32>, Failure> {
    let special = model.info.special_tokens;
    let most = most.min(model.info.max_tokens.saturating_sub(special));
    let too_long = |found: &str| {
        let message = format!("the text has {found} tokens, and the model reads {most}");
        Failure::invalid("input", message)
    };
    // A word has at least a token, whatever its letters are, and is not looked at where there are
    // too many.
    if text.split_whitespace().nth(most).is_some() {
        return Err(too_long("too many"));
    }
    let tokens = tokenizer.encode(text);
    match tokens.len().saturating_sub(special) {
        0 => Err(Failure::invalid("input", "the text is empty")),
        found if found > most => Err(too_long(&found.to_string())),
        _ => Ok(tokens),
    }
}

/// Of a vocabulary that names its residues: anything else is an error.
fn named_tokens(tokenizer: &EsmTokenizer, text: &str) -> Result<Vec<u32>, Failure> {
    let text = capitals(text);
    let encoding = tokenizer.encode(text.as_bytes());
    match encoding.unknown {
        // The tokenizer stops at the first byte of a character, for every other was taken whole.
        Some((at, _)) => Err(no_residue(&text, at, &letters(tokenizer))),
        None => Ok(encoding.tokens),
    }
}

/// Of a vocabulary that has a token for what it does not know, which may be taken: any letter is a
/// residue then.
fn letter_tokens(
    tokenizer: &Tokenizer,
    text: &str,
    takes_unknown: bool,
) -> Result<Vec<u32>, Failure> {
    let text: String = text.split_ascii_whitespace().collect();
    let text = text.to_ascii_uppercase();
    let is_residue = |letter: u8| letter.is_ascii_alphabetic() || letter == b'*';
    if let Some(at) = text.bytes().position(|letter| !is_residue(letter)) {
        return Err(no_residue(&text, at, "A to Z and *"));
    }
    let encoding = tokenizer.encode(text.as_bytes());
    match encoding.unknown {
        Some((at, _)) if !takes_unknown => {
            let known = ('A'..='Z').filter(|&letter| {
                let letter = [letter as u8];
                tokenizer.encode(&letter).unknown.is_none()
            });
            Err(no_residue(&text, at, &known.collect::<String>()))
        }
        _ => Ok(encoding.tokens),
    }
}

fn no_residue(text: &str, at: usize, known: &str) -> Failure {
    let place = text[..at].chars().count() + 1;
    let found = text[at..].chars().next().unwrap_or_default();
    let found = crate::json::python::repr(found);
    let message = format!("{found} at position {place} is not a residue; there are {known}");
    Failure::invalid("input", message)
}

/// Capitals everywhere but within `<…>`.
fn capitals(text: &str) -> String {
    let mut in_word = false;
    text.chars()
        .map(|character| {
            match character {
                '<' => in_word = true,
                '>' => in_word = false,
                _ => {}
            }
            if in_word {
                character
            } else {
                character.to_ascii_uppercase()
            }
        })
        .collect()
}

/// The one-letter tokens.
fn letters(tokenizer: &EsmTokenizer) -> String {
    tokenizer
        .tokens()
        .iter()
        .filter(|token| token.len() == 1)
        .map(String::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_many() {
        let one: Input<Masked> = serde_json::from_str(r#""MKV""#).unwrap();
        assert_eq!(one.within(1).unwrap(), ["MKV"]);
        let many: Input<Masked> = serde_json::from_str(r#"["A", "C"]"#).unwrap();
        assert_eq!(many.within(2).unwrap().len(), 2);
        assert!(many.within(1).is_err());
        for (text, words) in [
            ("5", "`input` is a number; it should be a sequence such as"),
            (
                "[5]",
                "`input` is a list of numbers; token ids are not taken here",
            ),
            (
                "[[0, 20]]",
                "`input` is a list of numbers; token ids are not taken here",
            ),
            (r#"[["MKV"]]"#, "an item of `input` is a list; it should be"),
            ("[null]", "an item of `input` is null"),
            ("{}", "`input` is an object"),
        ] {
            let error = serde_json::from_str::<Input<Masked>>(text)
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn words_keep_their_letters() {
        assert_eq!(capitals("mk<mask>v"), "MK<mask>V");
    }
}
