//! Which letters `/predict` takes, and how it names those it does not.

use crate::json::python::repr;

/// The letters: the twenty amino acids and X.
const LETTERS: &str = "ACDEFGHIKLMNPQRSTVWXY";

/// The sequence as it will be computed: without white space around it, in capitals.
pub(super) fn normalized(text: &str) -> String {
    text.trim().to_uppercase()
}

/// Characters that are no residues, each once, in the order in which they come, as Python prints a
/// set.
pub(super) fn unknown(sequence: &str) -> Option<String> {
    let mut found: Vec<char> = Vec::new();
    for character in sequence.chars() {
        if !LETTERS.contains(character) && !found.contains(&character) {
            found.push(character);
            // A message needs no more; a text could have a hundred thousand.
            if found.len() == 64 {
                break;
            }
        }
    }
    if found.is_empty() {
        return None;
    }
    let shown: Vec<_> = found.into_iter().map(repr).collect();
    Some(format!("{{{}}}", shown.join(", ")))
}

/// The letters, as Python prints a list.
pub(super) fn letters() -> String {
    let letters: Vec<_> = LETTERS.chars().map(repr).collect();
    format!("[{}]", letters.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_characters_are_named_once() {
        let cases = [
            ("MKTX", None),
            ("MKTB", Some("{'B'}")),
            ("MJ*JU*", Some("{'J', '*', 'U'}")),
            ("MK T", Some("{' '}")),
        ];
        for (sequence, expected) in cases {
            assert_eq!(unknown(sequence).as_deref(), expected, "{sequence}");
        }
        assert_eq!(normalized("  mkté\n"), "MKTÉ");
        assert!(letters().starts_with("['A', 'C', "));
    }
}
