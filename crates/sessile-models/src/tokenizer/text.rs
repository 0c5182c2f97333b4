//! The tokenizers of models that write text.

use std::fmt;
use std::sync::Arc;

use super::{ByteLevelTokenizer, ProstT5Tokenizer};

/// As many tokens of a text as a model reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The tokens, special ones included.
    pub tokens: Vec<u32>,
    /// Whether these are all tokens of the text.
    pub is_whole: bool,
}

/// A part of a text without a space in it, or of nothing but white space, that is so long that its
/// tokens were not looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongWord {
    /// Its bytes.
    pub bytes: usize,
    /// Most bytes of such a part.
    pub most: usize,
}

impl fmt::Display for LongWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a word of {} bytes is longer than the {} that are read; split it",
            self.bytes, self.most
        )
    }
}

impl std::error::Error for LongWord {}

/// The tokenizer of a model that writes text, whichever it has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TextTokenizer {
    /// Byte-pair encoding of any text.
    ByteLevel(Arc<ByteLevelTokenizer>),
    /// Residues and 3Di states.
    ProstT5(Arc<ProstT5Tokenizer>),
}

impl TextTokenizer {
    /// Encodes a text, special tokens included.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.encode(text),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.encode_text(text),
        }
    }

    /// What [`encode`](Self::encode) and [`truncate`](Self::truncate) give, without reading much
    /// more of the text: its work and memory do not grow with texts that are far too long.
    ///
    /// # Errors
    ///
    /// When the text begins with a word of which only the whole could tell the first tokens, and
    /// that is far longer than `most` of the longest tokens.
    pub fn beginning(&self, text: &str, most: usize) -> Result<Beginning, LongWord> {
        match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.beginning(text, most),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.beginning(text, most),
        }
    }

    /// At most `most` of the tokens of a text: the first ones, and the special ones at the end.
    /// Returns whether anything was cut.
    pub fn truncate(&self, tokens: &mut Vec<u32>, most: usize) -> bool {
        match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.truncate(tokens, most),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.truncate(tokens, most),
        }
    }

    /// The text of tokens, without special ones.
    pub fn decode(&self, tokens: &[u32]) -> String {
        match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.decode(tokens),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.decode(tokens),
        }
    }

    /// Why a model with `rows` embeddings cannot read a text of these tokens, if so. A vocabulary
    /// may have more tokens than the model, as that of bart-large-cnn has `<mask>`.
    pub fn beyond(&self, tokens: &[u32], rows: usize) -> Option<String> {
        let token = tokens
            .iter()
            .copied()
            .find(|&token| token as usize >= rows)?;
        let name = match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.added_name(token),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.added_name(token),
        };
        let name = name.map_or_else(String::new, |name| format!("`{name}`, "));
        Some(format!(
            "the text has {name}token {token}, and the model has only {rows} tokens"
        ))
    }

    /// A token of usual texts that a model with `rows` embeddings does not have, if there is one.
    pub(crate) fn usual_beyond(&self, rows: usize) -> Option<u32> {
        let is_beyond = |token: &u32| *token as usize >= rows;
        match self {
            TextTokenizer::ByteLevel(tokenizer) => {
                let last = tokenizer.plain_len().checked_sub(1).map(|last| last as u32);
                tokenizer.ends().chain(last).find(is_beyond)
            }
            TextTokenizer::ProstT5(tokenizer) => {
                let protein = tokenizer.encode(b"ACDEFGHIKLMNPQRSTVWY").tokens;
                protein.into_iter().find(is_beyond)
            }
        }
    }

    /// Ids are below this number.
    pub fn len(&self) -> usize {
        match self {
            TextTokenizer::ByteLevel(tokenizer) => tokenizer.len(),
            TextTokenizer::ProstT5(tokenizer) => tokenizer.len(),
        }
    }

    /// Whether the vocabulary is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokenizer of ProstT5, if it is that.
    pub fn as_prost_t5(&self) -> Option<&Arc<ProstT5Tokenizer>> {
        match self {
            TextTokenizer::ProstT5(tokenizer) => Some(tokenizer),
            TextTokenizer::ByteLevel(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::Preprocessing;

    fn tokenizers() -> [TextTokenizer; 2] {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/golden/bart/tiny/tokenizer.json"
        );
        let bytes = ByteLevelTokenizer::from_file(Path::new(file)).unwrap();
        let prost = ProstT5Tokenizer::published(Preprocessing::Standard);
        [
            TextTokenizer::ByteLevel(Arc::new(bytes)),
            TextTokenizer::ProstT5(Arc::new(prost)),
        ]
    }

    fn whole(tokenizer: &TextTokenizer, text: &str, most: usize) -> Beginning {
        let mut tokens = tokenizer.encode(text);
        let is_whole = !tokenizer.truncate(&mut tokens, most);
        Beginning { tokens, is_whole }
    }

    proptest! {
        #[test]
        fn beginnings_are_those_of_the_whole_text(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "the", " theatre", "A", "K ", " ", "  ", "\n", "é", "7", "...", "'s", "d",
                    "<mask>", "<s>", "</s>", "<fold2AA>", "<extra_id_7>", "\u{1f9ec}",
                ]),
                0..40,
            ),
            most in 2_usize..30,
        ) {
            let text = parts.concat();
            for tokenizer in tokenizers() {
                if let Ok(found) = tokenizer.beginning(&text, most) {
                    prop_assert_eq!(found, whole(&tokenizer, &text, most), "{:?}", text);
                }
            }
        }
    }

    #[test]
    fn long_texts_are_read_to_where_it_matters() {
        let [bytes, prost] = tokenizers();
        let sentences = "The committee did not. ".repeat(20_000);
        let residues = format!("<AA2fold>{}", " M K T".repeat(20_000));
        let specials = "<mask> <s>".repeat(20_000);
        for (tokenizer, text) in [
            (&bytes, &sentences),
            (&bytes, &specials),
            (&prost, &residues),
            (&prost, &specials),
        ] {
            let found = tokenizer.beginning(text, 100).unwrap();
            assert_eq!(found, whole(tokenizer, text, 100));
            assert!(!found.is_whole);
        }
        // A word whose first tokens only the whole would tell, and one that is a single token.
        for (tokenizer, text) in [(&bytes, "A"), (&bytes, " "), (&prost, "j")] {
            let text = text.repeat(100_000);
            let error = tokenizer.beginning(&text, 100).unwrap_err();
            assert!(error.to_string().contains("split it"), "{error}");
        }
    }
}
