//! Finding identifiers that come twice, in memory that the caller bounds.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Whether an identifier came before.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Seen {
    /// The first time.
    First,
    /// It came before.
    Again,
    /// Not remembered: the limit was reached, and it is none of the remembered ones.
    Unknown,
}

/// Remembers identifiers as 128-bit hashes, 16 bytes each however long they are.
///
/// The readers do not look for duplicates: they would need memory that grows with the file, and
/// what to do about one (refuse, rename, keep) is the caller's decision. Every record has a unique
/// `ordinal` for callers that only need a key. With random keys, two of a billion different
/// identifiers share a hash with a probability below 10⁻²⁰.
///
/// # Examples
///
/// ```
/// use sessile_seq::fasta::{Ids, Seen};
///
/// let mut ids = Ids::new();
/// assert_eq!(ids.insert("contig1"), Seen::First);
/// assert_eq!(ids.insert("contig1"), Seen::Again);
/// ```
#[derive(Clone, Debug)]
pub struct Ids {
    keys: [RandomState; 2],
    hashes: HashSet<u128>,
    limit: usize,
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

impl Ids {
    /// The number of identifiers that [`Ids::new`] remembers: 16,777,216, at most about 0.6 GB.
    pub const DEFAULT_LIMIT: usize = 1 << 24;

    /// Remembers up to [`Ids::DEFAULT_LIMIT`] identifiers.
    pub fn new() -> Self {
        Self::with_limit(Self::DEFAULT_LIMIT)
    }

    /// Remembers the first `limit` different identifiers.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            keys: [RandomState::new(), RandomState::new()],
            hashes: HashSet::new(),
            limit,
        }
    }

    /// Notes `id` and says whether it came before.
    pub fn insert(&mut self, id: &str) -> Seen {
        let [high, low] = self.keys.each_ref().map(|key| key.hash_one(id));
        let hash = u128::from(high) << 64 | u128::from(low);
        if self.hashes.contains(&hash) {
            Seen::Again
        } else if self.hashes.len() >= self.limit {
            Seen::Unknown
        } else {
            self.hashes.insert(hash);
            Seen::First
        }
    }
}
