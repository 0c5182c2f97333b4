//! Packed batches: sequences laid end to end, no padding.

use crate::buffer::Buf;

/// Token ids of several sequences, laid end to end.
///
/// Sequence *i* is `tokens[offsets[i]..offsets[i + 1]]`; `offsets` starts with 0 (it is the
/// `cu_seqlens` of variable-length attention).
///
/// # Examples
///
/// ```
/// use sessile_device::PackedBatch;
///
/// let mut batch = PackedBatch::default();
/// batch.push(&[0, 20, 2]);
/// batch.push(&[0, 20, 7, 2]);
/// assert_eq!(batch.offsets(), [0, 3, 7]);
/// assert_eq!(batch.sequence(1), [0, 20, 7, 2]);
/// assert_eq!(batch.longest(), 4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedBatch {
    tokens: Vec<u32>,
    offsets: Vec<u32>,
}

impl Default for PackedBatch {
    fn default() -> Self {
        PackedBatch {
            tokens: Vec::new(),
            offsets: vec![0],
        }
    }
}

impl PackedBatch {
    /// Appends a sequence.
    ///
    /// # Panics
    ///
    /// When the batch would hold 2³² tokens or more: batches are bounded by a token budget.
    pub fn push(&mut self, sequence: &[u32]) {
        self.tokens.extend_from_slice(sequence);
        let end = u32::try_from(self.tokens.len()).expect("a batch below 2^32 tokens");
        self.offsets.push(end);
    }

    /// Forgets all sequences and keeps the memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.offsets.truncate(1);
    }

    /// All tokens, sequence after sequence.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Where each sequence starts, and the end of the last one.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// The tokens of sequence `index`.
    pub fn sequence(&self, index: usize) -> &[u32] {
        &self.tokens[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of the longest sequence.
    pub fn longest(&self) -> usize {
        self.offsets
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as usize)
            .max()
            .unwrap_or(0)
    }

    /// Sum of the squared lengths, what attention costs.
    pub fn squared_lengths(&self) -> u64 {
        self.offsets
            .windows(2)
            .map(|pair| u64::from(pair[1] - pair[0]).pow(2))
            .sum()
    }
}

/// A batch in the memory of a lane.
#[derive(Clone, Copy, Debug)]
pub struct BatchBuf {
    /// Token ids, `Index` format, `[tokens, 1]`.
    pub tokens: Buf,
    /// Sequence starts and the last end, `Index` format, `[sequences + 1, 1]`.
    pub offsets: Buf,
    /// Number of sequences.
    pub sequences: usize,
    /// Tokens of the longest sequence: what launch shapes and scratch memory are made for.
    pub longest: usize,
    /// Sum of the squared lengths, for counting work.
    pub squared_lengths: u64,
}

impl BatchBuf {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.rows()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
