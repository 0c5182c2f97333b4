//! A unigram model (Kudo, 2018, arXiv:1804.10959): text is cut into the pieces whose scores have
//! the largest sum.

use std::collections::HashMap;

/// White space in pieces.
const SPACE: char = '\u{2581}';

/// How much worse than the worst piece an unknown character is, as in sentencepiece.
const UNKNOWN_PENALTY: f32 = 10.0;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    /// Never found in text.
    Control,
}

/// A piece of the vocabulary. Its id is its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

impl Piece {
    pub(super) fn normal(text: &str, score: f32) -> Self {
        Piece {
            text: text.to_owned(),
            score,
            kind: Kind::Normal,
        }
    }

    pub(super) fn control(text: &str) -> Self {
        Piece {
            text: text.to_owned(),
            score: 0.0,
            kind: Kind::Control,
        }
    }

    pub(super) fn unknown(text: &str) -> Self {
        Piece {
            kind: Kind::Unknown,
            ..Piece::control(text)
        }
    }
}

/// How white space is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spaces {
    /// As sentencepiece: around a text and more than one in a row they do not count.
    Sentence,
    /// As the `tokenizers` library: what stands between added tokens is a text of its own, and a
    /// space at its end counts.
    Metaspace {
        /// Whether spaces do not count as in a sentence.
        splits_first: bool,
        /// Whether a space at the end of a text does not count.
        trims_end: bool,
        /// Whether more than one space in a row are one.
        squeezes: bool,
        /// Whether only the first text begins with a space that is not there.
        first_only: bool,
    },
}

/// The vocabulary.
#[derive(Clone, Debug)]
pub(super) struct Unigram {
    spaces: Spaces,
    ids: HashMap<String, u32>,
    /// Ids and scores of what is found in text, by its characters.
    found: HashMap<Vec<char>, (u32, f32)>,
    /// Characters of the longest piece.
    longest: usize,
    unknown: u32,
    unknown_score: f32,
    len: usize,
}

impl Unigram {
    pub(super) fn new(pieces: Vec<Piece>, spaces: Spaces) -> Self {
        let unknown = pieces.iter().position(|piece| piece.kind == Kind::Unknown);
        let normal = || pieces.iter().filter(|piece| piece.kind == Kind::Normal);
        let worst = normal().map(|piece| piece.score).fold(0.0, f32::min);
        let found: HashMap<Vec<char>, (u32, f32)> = pieces
            .iter()
            .zip(0_u32..)
            .filter(|(piece, _)| piece.kind == Kind::Normal)
            .map(|(piece, id)| (piece.text.chars().collect(), (id, piece.score)))
            .collect();
        Unigram {
            spaces,
            longest: found.keys().map(Vec::len).max().unwrap_or(0),
            ids: pieces
                .iter()
                .zip(0..)
                .map(|(piece, id)| (piece.text.clone(), id))
                .collect(),
            found,
            unknown: unknown.unwrap_or(0) as u32,
            unknown_score: worst - UNKNOWN_PENALTY,
            len: pieces.len(),
        }
    }

    /// Number of pieces.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Characters of the longest piece.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The id of a piece of any kind.
    pub(super) fn id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }

    /// What is written of the pieces that are found in text, without spaces, with their ids.
    pub(super) fn texts(&self) -> impl Iterator<Item = (String, u32)> {
        let text = |piece: &[char]| piece.iter().filter(|&&c| c != SPACE).collect();
        self.found
            .iter()
            .map(move |(piece, (id, _))| (text(piece), *id))
    }

    /// The id of what is not in the vocabulary.
    pub(super) fn unknown(&self) -> u32 {
        self.unknown
    }

    /// The id of a piece that is taken whenever its characters are seen, because none of them is
    /// in any other piece that could be found there.
    pub(super) fn sole(&self, piece: &[char]) -> Option<u32> {
        let (id, _) = self.found.get(piece)?;
        // A piece of other lengths could be taken across the border of two residues.
        self.found
            .keys()
            .all(|other| other.len() == 2 && other[0] == SPACE && other[1] != SPACE)
            .then_some(*id)
    }

    /// Appends the ids of a text, which may be the first of several. Neighbours that are unknown
    /// are one.
    pub(super) fn encode(&self, text: &str, is_first: bool, out: &mut Vec<u32>) {
        let mut words = Vec::with_capacity(text.len() + 1);
        match self.spaces {
            Spaces::Sentence => {
                for word in text.split_whitespace() {
                    words.push(SPACE);
                    words.extend(word.chars());
                }
                self.encode_word(&words, out);
            }
            Spaces::Metaspace {
                splits_first: true, ..
            } => {
                for word in text.split_whitespace() {
                    words.clear();
                    words.push(SPACE);
                    words.extend(word.chars());
                    self.encode_word(&words, out);
                }
            }
            Spaces::Metaspace {
                trims_end,
                squeezes,
                first_only,
                ..
            } => {
                let text = if trims_end { text.trim_end() } else { text };
                // The library's normaliser makes spaces of all white space.
                let spaced = |c: char| if c.is_whitespace() { SPACE } else { c };
                let prepends = is_first || !first_only;
                if prepends && !text.is_empty() && !text.starts_with(char::is_whitespace) {
                    words.push(SPACE);
                }
                for character in text.chars().map(spaced) {
                    if character == SPACE && words.last() == Some(&SPACE) && squeezes {
                        continue;
                    }
                    if character == SPACE && !words.is_empty() {
                        self.encode_word(&words, out);
                        words.clear();
                    }
                    words.push(character);
                }
                self.encode_word(&words, out);
            }
        }
    }

    fn encode_word(&self, characters: &[char], out: &mut Vec<u32>) {
        // The best way to each position: its score, and the piece that ends it.
        let mut best: Vec<Option<(f32, usize, u32)>> = vec![None; characters.len() + 1];
        best[0] = Some((0.0, 0, 0));
        for from in 0..characters.len() {
            let Some((till, _, _)) = best[from] else {
                continue;
            };
            let mut consider = |to: usize, score: f32, id: u32| {
                let score = till + score;
                if best[to].is_none_or(|(have, _, _)| score > have) {
                    best[to] = Some((score, from, id));
                }
            };
            let mut is_known = false;
            for to in from + 1..=characters.len().min(from + self.longest) {
                if let Some(&(id, score)) = self.found.get(&characters[from..to]) {
                    consider(to, score, id);
                    is_known |= to == from + 1;
                }
            }
            if !is_known {
                consider(from + 1, self.unknown_score, self.unknown);
            }
        }
        let start = out.len();
        let mut at = characters.len();
        while at > 0 {
            // Every position can be reached: one character at a time, if nothing else.
            let Some((_, from, id)) = best[at] else { break };
            if id != self.unknown || out.len() == start || out.last() != Some(&id) {
                out.push(id);
            }
            at = from;
        }
        out[start..].reverse();
    }
}
