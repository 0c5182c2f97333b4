//! The tokenizer of ProstT5: a sentencepiece vocabulary of residues, with 3Di states and the two
//! prefixes as added tokens.
//!
//! A protein is written as `<AA2fold> M K T`, which gives the prefix, a token per residue and
//! `</s>`. What is done to residues first is a [`Preprocessing`]; published programs differ in it.

mod json;
mod protobuf;
mod read;
mod unigram;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::Path;

use super::Encoding;
use super::file::AddedToken;
use super::text::{Beginning, LongWord};
use crate::error::{ModelError, ModelErrorKind};
use unigram::{Spaces, Unigram};

/// Before the residues.
const PREFIX: &str = "<AA2fold>";

/// Before the states of a structure.
const STRUCTURE_PREFIX: &str = "<fold2AA>";

/// After every sequence.
const END: &str = "</s>";

/// Residues in the order of their ids in the published vocabulary, from 3 on.
const RESIDUES: &str = "ALGVSREDTIPKFQNYMHWCXBOUZ";

/// The residues that are always single tokens where any are.
const STANDARD: &str = "ACDEFGHIKLMNPQRSTVWY";

/// 3Di states in the order of their ids in the published vocabulary, from 128 on.
const STATES: &str = "algvsredtipkfqnymhwc";

/// Sentinels of T5 that are between residues and states.
const SENTINELS: usize = 100;

/// What is done to residues before they are tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preprocessing {
    /// U, Z, O and B become X in either case; the encoder sees `</s>`, as the 3Di head was
    /// trained.
    #[default]
    Standard,
    /// As genome_entropy 0.1.10: U, Z, O and B become X, but not in lower case, and `</s>` is
    /// hidden from the encoder.
    GenomeEntropy,
    /// As phold: U, Z and O become X, B stays; the encoder sees `</s>`.
    Phold,
}

impl Preprocessing {
    /// All of them.
    pub const ALL: [Preprocessing; 3] = [
        Preprocessing::Standard,
        Preprocessing::GenomeEntropy,
        Preprocessing::Phold,
    ];

    /// The name used in flags.
    pub const fn name(self) -> &'static str {
        match self {
            Preprocessing::Standard => "standard",
            Preprocessing::GenomeEntropy => "genome-entropy",
            Preprocessing::Phold => "phold",
        }
    }

    /// Whether the encoder sees the end of the sequence.
    pub const fn sees_end(self) -> bool {
        !matches!(self, Preprocessing::GenomeEntropy)
    }

    /// A residue as the model sees it, in upper case.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::tokenizer::Preprocessing;
    ///
    /// assert_eq!(Preprocessing::Standard.residue(b'b'), b'X');
    /// assert_eq!(Preprocessing::GenomeEntropy.residue(b'b'), b'B');
    /// assert_eq!(Preprocessing::Phold.residue(b'B'), b'B');
    /// ```
    pub const fn residue(self, residue: u8) -> u8 {
        let upper = residue.to_ascii_uppercase();
        let rare = match self {
            Preprocessing::Standard => matches!(upper, b'U' | b'Z' | b'O' | b'B'),
            Preprocessing::GenomeEntropy => matches!(residue, b'U' | b'Z' | b'O' | b'B'),
            Preprocessing::Phold => matches!(upper, b'U' | b'Z' | b'O'),
        };
        if rare { b'X' } else { upper }
    }
}

impl std::fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Preprocessing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Preprocessing::ALL
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| format!("`{text}` is none of standard, genome-entropy and phold"))
    }
}

/// The tokenizer of ProstT5.
#[derive(Clone, Debug)]
pub struct ProstT5Tokenizer {
    pieces: Unigram,
    /// Cut out before anything else, longest first.
    added: Vec<AddedToken>,
    /// The bytes that added tokens start with.
    added_starts: Box<[bool; 256]>,
    /// Before residues, where the vocabulary has it: that of ProtT5 does not.
    prefix: Option<u32>,
    end: u32,
    /// Ids of single residues, where one piece is sure to be taken.
    residues: Box<[Option<u32>; 256]>,
    /// Whether every standard residue is a single token.
    has_residues: bool,
    /// Before states, where the vocabulary has it.
    structure_prefix: Option<u32>,
    /// Ids of single states, in lower case.
    states: Box<[Option<u32>; 256]>,
    /// What is written of each token; nothing of special ones.
    texts: Vec<Box<str>>,
    preprocessing: Preprocessing,
    len: usize,
}

impl ProstT5Tokenizer {
    /// The published vocabulary.
    pub fn published(preprocessing: Preprocessing) -> Self {
        let mut pieces = vec![
            unigram::Piece::control("<pad>"),
            unigram::Piece::control(END),
            unigram::Piece::unknown("<unk>"),
        ];
        pieces.extend(RESIDUES.chars().zip(0_u8..).map(|(residue, order)| {
            unigram::Piece::normal(
                &format!("\u{2581}{residue}"),
                -2.0 - f32::from(order) / 10.0,
            )
        }));
        let first_state = pieces.len() + SENTINELS;
        let states = STATES
            .chars()
            .map(String::from)
            .chain([STRUCTURE_PREFIX.to_owned(), PREFIX.to_owned()]);
        let added = states
            .zip(first_state as u32..)
            .map(|(content, id)| AddedToken::plain(&content, id))
            .collect();
        let pieces = Unigram::new(pieces, Spaces::Sentence);
        ProstT5Tokenizer::new(pieces, SENTINELS, added, preprocessing)
            .expect("the published vocabulary has the prefix and the end")
    }

    /// Reads `tokenizer.json`, or `spiece.model`, with what lies beside them. It is the published
    /// vocabulary where the directory has no file of a tokenizer.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unreadable`, `Malformed`, or `Unsupported` for a vocabulary that is not a
    /// unigram model or that does not know the prefix of ProstT5.
    pub fn from_directory(
        directory: &Path,
        preprocessing: Preprocessing,
    ) -> Result<Self, ModelError> {
        let tokenizer = read::read(directory, preprocessing)?;
        Ok(tokenizer.unwrap_or_else(|| ProstT5Tokenizer::published(preprocessing)))
    }

    /// The same for a model with `rows` embeddings. One with more of them than the vocabulary has
    /// tokens is a ProstT5 whose own tokens are missing; else there need be no prefix, as in ProtT5
    /// and Ankh.
    ///
    /// # Errors
    ///
    /// As [`from_directory`](Self::from_directory).
    pub(crate) fn for_rows(
        directory: &Path,
        preprocessing: Preprocessing,
        rows: usize,
    ) -> Result<Self, ModelError> {
        let tokenizer = ProstT5Tokenizer::from_directory(directory, preprocessing)?;
        match tokenizer.has_prefix() || tokenizer.len() >= rows {
            true => Ok(tokenizer),
            false => Err(read::lacks(directory, PREFIX)),
        }
    }

    /// The error names what is missing.
    fn new(
        pieces: Unigram,
        sentinels: usize,
        mut added: Vec<AddedToken>,
        preprocessing: Preprocessing,
    ) -> Result<Self, &'static str> {
        let end = pieces.id(END).ok_or(END)?;
        let first = pieces.len();
        let known: HashSet<String> = added.iter().map(|token| token.content.clone()).collect();
        let sentinels = (0..sentinels).map(|number| {
            let id = (first + sentinels - 1 - number) as u32;
            AddedToken::plain(&format!("<extra_id_{number}>"), id)
        });
        let special = ["<pad>", END, "<unk>"].map(|special| {
            let id = pieces.id(special);
            id.map(|id| AddedToken::plain(special, id))
        });
        let own = sentinels.chain(special.into_iter().flatten());
        added.extend(own.filter(|token| !known.contains(&token.content)));
        added.sort_by_key(|token| std::cmp::Reverse(token.content.len()));
        let mut added_starts = Box::new([false; 256]);
        for token in &added {
            added_starts[usize::from(token.content.as_bytes()[0])] = true;
        }
        let prefix = added.iter().find(|token| token.content == PREFIX);
        let prefix = prefix.map(|token| token.id);
        let largest = added.iter().map(|token| token.id as usize + 1).max();
        let len = largest.unwrap_or(0).max(pieces.len());
        let added_id = |content: &str| {
            let token = added.iter().find(|token| token.content == content);
            token.map(|token| token.id)
        };
        let mut states = Box::new([None; 256]);
        for state in b'a'..=b'z' {
            states[usize::from(state)] = added_id(&char::from(state).to_string());
        }
        let mut texts = vec![Box::from(""); len];
        for (text, id) in pieces.texts() {
            texts[id as usize] = text.into();
        }
        for token in &added {
            // Everything in angle brackets is special; what is left are the states.
            let text = if token.content.starts_with('<') {
                ""
            } else {
                &token.content
            };
            texts[token.id as usize] = text.into();
        }
        let structure_prefix = added_id(STRUCTURE_PREFIX);
        let is_alone = |letter: char| pieces.sole(&['\u{2581}', letter]).is_some();
        let has_residues = STANDARD.chars().all(is_alone);
        let mut residues = Box::new([None; 256]);
        for residue in b'A'..=b'Z' {
            residues[usize::from(residue)] = pieces.sole(&['\u{2581}', char::from(residue)]);
        }
        Ok(ProstT5Tokenizer {
            len,
            pieces,
            added,
            added_starts,
            prefix,
            end,
            residues,
            has_residues,
            structure_prefix,
            states,
            texts,
            preprocessing,
        })
    }

    /// Ids are below this number.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the vocabulary is empty; it never is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Special tokens before and after every protein.
    pub fn special_tokens(&self) -> (usize, usize) {
        (
            usize::from(self.prefix.is_some()),
            usize::from(self.preprocessing.sees_end()),
        )
    }

    /// Whether it knows the prefixes of ProstT5. Without them it is that of an encoder of residues.
    pub(crate) fn has_prefix(&self) -> bool {
        self.prefix.is_some()
    }

    /// What is done to residues.
    pub fn preprocessing(&self) -> Preprocessing {
        self.preprocessing
    }

    /// Encodes a protein: the prefix, a token per residue, and `</s>` where the encoder sees it.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::tokenizer::{Preprocessing, ProstT5Tokenizer};
    ///
    /// let tokenizer = ProstT5Tokenizer::published(Preprocessing::Standard);
    /// assert_eq!(tokenizer.encode(b"MAU").tokens, [149, 19, 3, 23, 1]);
    /// ```
    pub fn encode(&self, residues: &[u8]) -> Encoding {
        if !self.has_residues {
            return self.encode_spaced(residues);
        }
        let mut tokens = Vec::with_capacity(residues.len() + 2);
        tokens.extend(self.prefix);
        let mut unknown = None;
        for (at, &residue) in residues.iter().enumerate() {
            let letter = self.preprocessing.residue(residue);
            match self.residues[usize::from(letter)] {
                Some(id) => tokens.push(id),
                None => {
                    // One token for each residue, so that an answer has as many states; the
                    // library makes one of neighbours that are unknown.
                    tokens.push(self.pieces.unknown());
                    unknown = unknown.or(Some((at, residue)));
                }
            }
        }
        if self.preprocessing.sees_end() {
            tokens.push(self.end);
        }
        Encoding { tokens, unknown }
    }

    /// A protein in a vocabulary that may cut a residue into pieces: as text, with a space before
    /// each residue.
    fn encode_spaced(&self, residues: &[u8]) -> Encoding {
        let mut text = String::with_capacity(PREFIX.len() + 2 * residues.len());
        if self.prefix.is_some() {
            text.push_str(PREFIX);
        }
        let mut unknown = None;
        let mut pieces = Vec::new();
        for (at, &residue) in residues.iter().enumerate() {
            let letter = char::from(self.preprocessing.residue(residue));
            text.extend([' ', letter]);
            pieces.clear();
            self.pieces
                .encode(letter.encode_utf8(&mut [0; 4]), true, &mut pieces);
            if pieces.contains(&self.pieces.unknown()) {
                unknown = unknown.or(Some((at, residue)));
            }
        }
        let mut tokens = self.encode_text(&text);
        if !self.preprocessing.sees_end() {
            tokens.pop();
        }
        Encoding { tokens, unknown }
    }

    /// Refuses a vocabulary where a residue is not a token of its own: a token's state is then no
    /// residue's. `path` is where the vocabulary is.
    ///
    /// # Errors
    ///
    /// `Unsupported`.
    pub fn check_residues(&self, path: &Path) -> Result<(), ModelError> {
        if self.has_residues {
            return Ok(());
        }
        Err(ModelError::new(
            ModelErrorKind::Unsupported,
            format!(
                "{}: a residue is not a single token, so that states of residues cannot be told",
                path.display()
            ),
        )
        .with_hint("take ProstT5 with its own vocabulary"))
    }

    /// Encodes the 3Di states of a structure, in either case, for the way back to residues: the
    /// prefix, a token per state, and `</s>`. `None` when something is no state, or when the
    /// vocabulary does not have this direction.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::tokenizer::{Preprocessing, ProstT5Tokenizer};
    ///
    /// let tokenizer = ProstT5Tokenizer::published(Preprocessing::Standard);
    /// assert_eq!(tokenizer.encode_states(b"DV"), Some(vec![148, 135, 131, 1]));
    /// assert_eq!(tokenizer.encode_states(b"DX"), None);
    /// ```
    pub fn encode_states(&self, states: &[u8]) -> Option<Vec<u32>> {
        let token = |state: &u8| self.states[usize::from(state.to_ascii_lowercase())];
        let prefix = self.structure_prefix.into_iter().map(Some);
        prefix
            .chain(states.iter().map(token))
            .chain([Some(self.end)])
            .collect::<Option<Vec<u32>>>()
            .filter(|tokens| tokens.len() == states.len() + 2)
    }

    /// The tokens of the 20 states.
    pub fn state_tokens(&self) -> Vec<u32> {
        self.states.iter().flatten().copied().collect()
    }

    /// The tokens of the residues.
    pub fn residue_tokens(&self) -> Vec<u32> {
        self.residues.iter().flatten().copied().collect()
    }

    /// The text of tokens, without special ones and without spaces: states in lower case, residues
    /// in upper case.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::tokenizer::{Preprocessing, ProstT5Tokenizer};
    ///
    /// let tokenizer = ProstT5Tokenizer::published(Preprocessing::Standard);
    /// assert_eq!(tokenizer.decode(&[0, 135, 131, 19, 1]), "dvM");
    /// ```
    pub fn decode(&self, tokens: &[u32]) -> String {
        let text = |&token: &u32| self.texts.get(token as usize).map(|text| &**text);
        tokens.iter().filter_map(text).collect()
    }

    /// At most `most` of the tokens of a source: the first ones, and `</s>` where it ends the
    /// source. Returns whether anything was cut.
    pub fn truncate(&self, tokens: &mut Vec<u32>, most: usize) -> bool {
        if tokens.len() <= most {
            return false;
        }
        let has_end = tokens.last() == Some(&self.end);
        tokens.truncate(most);
        if let Some(last) = tokens.last_mut()
            && has_end
        {
            *last = self.end;
        }
        true
    }

    /// Encodes text as `T5Tokenizer` does: added tokens are cut out, what is between them is cut
    /// into pieces, and `</s>` follows.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::tokenizer::{Preprocessing, ProstT5Tokenizer};
    ///
    /// let tokenizer = ProstT5Tokenizer::published(Preprocessing::Standard);
    /// assert_eq!(tokenizer.encode_text("<fold2AA> d v"), [148, 135, 131, 1]);
    /// ```
    pub fn encode_text(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut from = 0;
        let mut at = 0;
        let cut = |from: usize, to: usize, tokens: &mut Vec<u32>| {
            self.pieces.encode(&text[from..to], from == 0, tokens);
        };
        while at < text.len() {
            let rest = &text[at..];
            let added = match self.added_starts[usize::from(rest.as_bytes()[0])] {
                true => (self.added.iter()).find(|token| rest.starts_with(&token.content)),
                false => None,
            };
            match added {
                Some(token) => {
                    let before = &text[from..at];
                    let to = match token.takes_left {
                        true => from + before.trim_end().len(),
                        false => at,
                    };
                    cut(from, to, &mut tokens);
                    tokens.push(token.id);
                    at += token.content.len();
                    if token.takes_right {
                        at = text.len() - text[at..].trim_start().len();
                    }
                    from = at;
                }
                None => at += rest.chars().next().map_or(1, char::len_utf8),
            }
        }
        cut(from, text.len(), &mut tokens);
        tokens.push(self.end);
        tokens
    }

    /// The added token that has an id, if one has.
    pub(in crate::tokenizer) fn added_name(&self, id: u32) -> Option<&str> {
        let token = self.added.iter().find(|token| token.id == id);
        token.map(|token| token.content.as_str())
    }

    /// What [`encode_text`](Self::encode_text) and [`truncate`](Self::truncate) give, from no more
    /// of the text than can matter.
    pub(super) fn beginning(&self, text: &str, most: usize) -> Result<Beginning, LongWord> {
        // Pieces reach no further than the longest of them; four times of that is beyond doubt.
        const FAR: usize = 4;
        let added = self.added.iter().map(|token| token.content.len());
        let longest = added.max().unwrap_or(0).max(self.pieces.longest());
        let most_bytes = most.saturating_mul(longest).saturating_mul(FAR);
        let mut bytes = 0_usize;
        let mut was_space = true;
        let end = text.char_indices().find_map(|(at, character)| {
            let is_space = character.is_whitespace();
            // White space counts once, as the piece that begins a word does.
            if !is_space || !was_space {
                bytes += character.len_utf8();
            }
            was_space = is_space;
            (bytes > most_bytes).then_some(at)
        });
        let mut tokens = self.encode_text(&text[..end.unwrap_or(text.len())]);
        let is_cut = self.truncate(&mut tokens, most);
        if end.is_some() && !is_cut {
            // Unknown characters in a row are one token.
            return Err(LongWord {
                bytes: text.len(),
                most: most_bytes,
            });
        }
        let is_whole = !is_cut;
        Ok(Beginning { tokens, is_whole })
    }
}
