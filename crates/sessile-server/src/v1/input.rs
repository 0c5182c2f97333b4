//! The sequences of a request.

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use sessile_models::tokenizer::{EsmTokenizer, Tokenizer};
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

/// A sequence in one-letter codes; `<mask>` hides a residue.
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

/// A sequence in one-letter codes.
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

/// A protein in one-letter codes; a model for 3Di has a state for any letter.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the API")]
pub(crate) struct Protein(String);

/// The texts that [`tokens`] takes, as regular expressions: of each schema above.
pub(crate) fn patterns(max_residues: usize) -> [(&'static str, String); 3] {
    let space = r"[ \t\n\f\r]*";
    let letters = "[ACDEFGHIKLMNPQRSTVWYXBUZOacdefghiklmnpqrstvwyxbuzo.-]";
    let of = |residue: &str| format!("^{space}({residue}{space}){{1,{max_residues}}}$");
    [
        ("Sequence", of(&format!("({letters}|<mask>)"))),
        ("PlainSequence", of(letters)),
        ("Protein", of("[A-Za-z*]")),
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
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence or a list of sequences")
    }

    fn visit_str<E>(self, text: &str) -> Result<Input, E> {
        Ok(Input::One(Sequence(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Input, A::Error> {
        let mut sequences = Vec::new();
        while let Some(text) = items.next_element::<String>()? {
            sequences.push(Sequence(text));
        }
        Ok(Input::Many(sequences))
    }
}

/// Letters of the longest token that stands for a residue, with room to spare.
const LONGEST_TOKEN: usize = 16;

/// Token ids of a sequence: white space does not count, small letters are capitals.
pub(super) fn tokens(
    model: &ServedModel,
    text: &str,
    max_residues: usize,
) -> Result<Vec<u32>, Failure> {
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
        tokenizer => letter_tokens(tokenizer, text)?,
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

/// Of a vocabulary that has a token for what it does not know: any letter is a residue.
fn letter_tokens(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, Failure> {
    let text: String = text.split_ascii_whitespace().collect();
    let is_residue = |letter: u8| letter.is_ascii_alphabetic() || letter == b'*';
    match text.bytes().position(|letter| !is_residue(letter)) {
        Some(at) => Err(no_residue(&text, at, "A to Z and *")),
        None => Ok(tokenizer
            .encode(text.to_ascii_uppercase().as_bytes())
            .tokens),
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
        for (text, word) in [("5", "a sequence or a list"), ("[5]", "a string")] {
            let error = serde_json::from_str::<Input>(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn words_keep_their_letters() {
        assert_eq!(capitals("mk<mask>v"), "MK<mask>V");
    }
}
