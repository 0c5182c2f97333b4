//! From text to token ids.

mod esm;

pub use esm::EsmTokenizer;

/// Token ids of one sequence, and what the text had that the vocabulary has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids, special ones included.
    pub tokens: Vec<u32>,
    /// The first symbol that is not in the vocabulary, with its position in the text (from 0).
    pub unknown: Option<(usize, u8)>,
}
