//! The sequences of a request.

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use sessile_models::tokenizer::{EsmTokenizer, Tokenizer, without_stop};
use utoipa::ToSchema;

use crate::failure::Failure;
use crate::service::ServedModel;

/// One sequence, or a list of sequences.
#[derive(Serialize, Debug, PartialEq, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the variant of one sequence describes the API")]
pub(crate) enum Input {
    /// One sequence.
    One(Sequence),
    /// Several.
    Many(Vec<Sequence>),
}

/// A sequence in one-letter codes; `<mask>` hides a residue. A stop `*` at its end is dropped.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Sequence(pub(crate) String);

/// One sequence, or a list of sequences, nothing hidden in them.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes the API")]
pub(crate) enum PlainInput {
    /// One sequence.
    One(PlainSequence),
    /// Several.
    Many(Vec<PlainSequence>),
}

/// A sequence in one-letter codes. A stop `*` at its end is dropped.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the API")]
pub(crate) struct PlainSequence(String);

/// One protein, or a list of proteins.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes the API")]
pub(crate) enum ProteinInput {
    /// One protein.
    One(Protein),
    /// Several.
    Many(Vec<Protein>),
}

/// A protein in one-letter codes; a model for 3Di has a state for any letter. A stop `*` at its end
/// is dropped.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the API")]
pub(crate) struct Protein(String);

/// The texts that [`tokens`] takes, as regular expressions: of each schema above.
pub(crate) fn patterns(max_residues: usize) -> [(&'static str, String); 3] {
    let space = r"[ \t\n\f\r]*";
    let letters = "[ACDEFGHIKLMNPQRSTVWYXBUZOacdefghiklmnpqrstvwyxbuzo.-]";
    let of =
        |residue: &str| format!(r"^{space}({residue}{space}){{1,{max_residues}}}(\*{space})?$");
    // Here a stop is a residue too, unless it is the last.
    let before = max_residues.saturating_sub(1);
    let protein = format!(
        r"^{space}([A-Za-z*]{space}){{0,{before}}}([A-Za-z]{space}|[A-Za-z*]{space}\*{space})$"
    );
    [
        ("Sequence", of(&format!("({letters}|<mask>)"))),
        ("PlainSequence", of(letters)),
        ("Protein", protein),
    ]
}

impl Input {
    pub(super) fn into_vec(self) -> Vec<Sequence> {
        match self {
            Input::One(sequence) => vec![sequence],
            Input::Many(sequences) => sequences,
        }
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match one_or_many(deserializer, SEQUENCES)? {
            OneOrMany::One(text) => Input::One(Sequence(text)),
            OneOrMany::Many(texts) => Input::Many(texts.into_iter().map(Sequence).collect()),
        })
    }
}

const SEQUENCES: &str = "a sequence such as \"MKTV\" or a list of sequences";

/// A text, or a list of texts.
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads the texts of a request. `wanted` says in an error what they should have been.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
    wanted: &'static str,
) -> Result<OneOrMany, D::Error> {
    deserializer.deserialize_any(InputVisitor {
        wanted,
        is_item: false,
    })
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
pub(super) fn tokens(
    model: &ServedModel,
    text: &str,
    takes_unknown: bool,
    max_residues: usize,
) -> Result<Vec<u32>, Failure> {
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
        tokenizer => letter_tokens(tokenizer, text, takes_unknown)?,
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
        let one: Input = serde_json::from_str(r#""MKV""#).unwrap();
        assert_eq!(one.into_vec(), [Sequence("MKV".to_owned())]);
        let many: Input = serde_json::from_str(r#"["A", "C"]"#).unwrap();
        assert_eq!(many.into_vec().len(), 2);
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
            let error = serde_json::from_str::<Input>(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn words_keep_their_letters() {
        assert_eq!(capitals("mk<mask>v"), "MK<mask>V");
    }
}
