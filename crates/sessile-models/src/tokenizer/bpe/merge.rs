//! The merging of one word.
//!
//! What must come out is simple: of all pairs of neighbours take the one whose merge comes first
//! in the file, leftmost first, merge it, and again. A heap of pairs does that in
//! *O(n log n)* with many cache misses. Here pairs lie in one list for each merge, and the merges
//! with a list that is not empty are bits of a set; merges are done in order of the file, a list
//! at a time. That is the same as long as a merge never makes a pair whose own merge comes
//! earlier, which holds for every vocabulary that was learned (a token is made before it is used)
//! and is checked when the file is read. For others there is the heap.
//!
//! Pairs of one merge do not overlap, so their order does not matter, but for a token beside
//! itself (`AA` in `AAA`): these lists are sorted.
//!
//! What takes the time are branches that no processor can foresee. So every pair is looked up and
//! noted the same way, whether it merges or not: those that do not go to a list that nobody reads.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::NONE;

/// A merge: two tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) left: u32,
    pub(super) right: u32,
    pub(super) into: u32,
}

/// All merges, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct Merges {
    merges: Vec<Merge>,
    ranks: Ranks,
}

/// The number of a pair's merge.
#[derive(Clone, Debug)]
enum Ranks {
    /// For the lists: no merge makes a pair whose merge comes earlier, and ids have 16 bits.
    Ordered(Table),
    /// For the heap.
    Any(HashMap<(u32, u32), u32>),
}

/// An open hash table from pairs to numbers.
#[derive(Clone, Debug)]
struct Table {
    slots: Vec<Slot>,
    shift: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Left and right token, 16 bits each.
    pair: u32,
    /// In an empty slot, the number of the list that nobody reads.
    rank: u32,
}

/// The pair of an empty slot. No token is merged with itself into the last id.
const EMPTY: u32 = u32::MAX;

/// The memory of the merging, used again and again.
#[derive(Debug, Default)]
pub(super) struct Room {
    word: Vec<Link>,
    /// The last entry of each merge's list, and of the one that nobody reads.
    lists: Vec<u32>,
    /// One bit for each list that is not empty.
    filled: Vec<u64>,
    /// Position of a pair's left token, and the entry before it in the same list.
    entries: Vec<(u32, u32)>,
    positions: Vec<u32>,
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

/// A token in the word, a doubly linked list.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// [`NONE`] where the token went into the one before it.
    token: u32,
    next: u32,
    previous: u32,
}

impl Room {
    /// Gives memory back that only a very long word needed.
    pub(super) fn give_back(&mut self) {
        const KEPT: usize = 1 << 16;
        self.word.shrink_to(KEPT);
        self.entries.clear();
        self.entries.shrink_to(KEPT);
        self.positions.clear();
        self.positions.shrink_to(KEPT);
        self.heap.clear();
        self.heap.shrink_to(KEPT);
    }

    /// Appends a letter to the word.
    #[inline]
    pub(super) fn push(&mut self, id: u32) {
        let at = self.word.len() as u32;
        self.word.push(Link {
            token: id,
            next: at + 1,
            previous: at.wrapping_sub(1),
        });
    }
}

impl Table {
    /// A table for merges whose ids have 16 bits.
    fn new(merges: &[Merge]) -> Self {
        // At most a quarter full: most look-ups are for pairs that do not merge, and should end at
        // the first slot.
        let size = (merges.len() * 4).next_power_of_two().max(4);
        let empty = Slot {
            pair: EMPTY,
            rank: unread(merges.len()) as u32,
        };
        let mut table = Table {
            slots: vec![empty; size],
            shift: 64 - size.trailing_zeros(),
        };
        for (rank, merge) in (0_u32..).zip(merges) {
            // As in the library, the last of two merges of the same pair counts.
            let pair = merge.left << 16 | merge.right;
            let slot = table.slot(pair);
            table.slots[slot] = Slot { pair, rank };
        }
        table
    }

    /// The slot of a pair: where it is, or where it would be.
    #[inline]
    fn slot(&self, pair: u32) -> usize {
        // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4).
        let mut at = (u64::from(pair).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize;
        loop {
            let found = self.slots[at].pair;
            if found == pair || found == EMPTY {
                return at;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    fn rank(&self, left: u32, right: u32) -> u32 {
        self.slots[self.slot(left << 16 | right)].rank
    }
}

/// The number of the list that nobody reads: behind the words of bits of those that are read.
const fn unread(merges: usize) -> usize {
    merges.next_multiple_of(64)
}

impl Merges {
    pub(super) fn new(merges: Vec<Merge>) -> Self {
        let mut last_made = HashMap::new();
        for (rank, merge) in (0_u32..).zip(&merges) {
            last_made.insert(merge.into, rank);
        }
        let is_ordered = (0_u32..).zip(&merges).all(|(rank, merge)| {
            [merge.left, merge.right]
                .iter()
                .all(|part| last_made.get(part).is_none_or(|&made| made < rank))
        });
        let is_short = merges
            .iter()
            .all(|merge| merge.left.max(merge.right).max(merge.into) < 0xffff);
        let ranks = if is_ordered && is_short {
            Ranks::Ordered(Table::new(&merges))
        } else {
            let pairs = (0_u32..).zip(&merges);
            Ranks::Any(
                pairs
                    .map(|(rank, merge)| ((merge.left, merge.right), rank))
                    .collect(),
            )
        };
        Merges { merges, ranks }
    }

    /// Merges the word in `room`, appends its tokens to `out` and empties it.
    pub(super) fn finish(&self, room: &mut Room, out: &mut Vec<u32>) {
        if let Some(last) = room.word.last_mut() {
            last.next = NONE;
        }
        if room.word.len() > 1 {
            match &self.ranks {
                // A letter of the word that no merge knows may have a longer id.
                Ranks::Ordered(table) if room.word.iter().all(|link| link.token < 0xffff) => {
                    self.by_lists(table, room);
                }
                Ranks::Ordered(table) => self.by_heap(room, |left, right| {
                    let is_short = left.max(right) < 0xffff;
                    let rank = is_short.then(|| table.rank(left, right));
                    rank.filter(|&rank| (rank as usize) < self.merges.len())
                }),
                Ranks::Any(ranks) => {
                    self.by_heap(room, |left, right| ranks.get(&(left, right)).copied());
                }
            }
        }
        let tokens = room.word.iter().map(|link| link.token);
        out.extend(tokens.filter(|&token| token != NONE));
        room.word.clear();
    }

    /// Merges in the order of the file, all pairs of a merge after another.
    fn by_lists(&self, table: &Table, room: &mut Room) {
        let unread = unread(self.merges.len());
        room.lists.resize(unread + 1, NONE);
        room.filled.resize(unread / 64 + 1, 0);
        room.entries.clear();
        // Every merge takes a token away and makes two pairs at most.
        room.entries.reserve(3 * room.word.len());
        for at in 0..room.word.len() - 1 {
            let rank = table.rank(room.word[at].token, room.word[at + 1].token);
            room.note(rank, at as u32);
        }
        let mut word = 0;
        while word < unread / 64 {
            let bits = room.filled[word];
            if bits == 0 {
                word += 1;
                continue;
            }
            let rank = word * 64 + bits.trailing_zeros() as usize;
            room.filled[word] = bits & (bits - 1);
            let mut entry = std::mem::replace(&mut room.lists[rank], NONE);
            let merge = self.merges[rank];
            if merge.left == merge.right {
                let mut positions = std::mem::take(&mut room.positions);
                positions.clear();
                while entry != NONE {
                    let (at, before) = room.entries[entry as usize];
                    positions.push(at);
                    entry = before;
                }
                positions.sort_unstable();
                for &at in &positions {
                    room.merge(table, merge, at);
                }
                room.positions = positions;
            } else {
                while entry != NONE {
                    let (at, before) = room.entries[entry as usize];
                    room.merge(table, merge, at);
                    entry = before;
                }
            }
        }
        room.lists[unread] = NONE;
        room.filled[unread / 64] = 0;
    }

    /// Merges the first pair by the file, again and again.
    fn by_heap(&self, room: &mut Room, rank: impl Fn(u32, u32) -> Option<u32>) {
        room.heap.clear();
        for at in 0..room.word.len() - 1 {
            if let Some(rank) = rank(room.word[at].token, room.word[at + 1].token) {
                room.heap.push(Reverse((rank, at as u32)));
            }
        }
        while let Some(Reverse((number, at))) = room.heap.pop() {
            let merge = self.merges[number as usize];
            let Some((before, after)) = room.join(merge, at) else {
                continue;
            };
            for (left, right) in [(before, at), (at, after)] {
                if left == NONE || right == NONE {
                    continue;
                }
                let token = |at: u32| room.word[at as usize].token;
                if let Some(rank) = rank(token(left), token(right)) {
                    room.heap.push(Reverse((rank, left)));
                }
            }
        }
    }
}

impl Room {
    /// Puts the pair at `at` on the list of its merge.
    #[inline]
    fn note(&mut self, rank: u32, at: u32) {
        let list = &mut self.lists[rank as usize];
        let before = std::mem::replace(list, self.entries.len() as u32);
        self.entries.push((at, before));
        self.filled[rank as usize / 64] |= 1 << (rank % 64);
    }

    /// Merges the pair at `at`, if it is still that pair, and notes the pairs that come of it.
    #[inline]
    fn merge(&mut self, table: &Table, merge: Merge, at: u32) {
        if let Some((before, after)) = self.join(merge, at) {
            if before != NONE {
                let rank = table.rank(self.word[before as usize].token, merge.into);
                self.note(rank, before);
            }
            if after != NONE {
                let rank = table.rank(merge.into, self.word[after as usize].token);
                self.note(rank, at);
            }
        }
    }

    /// Joins the pair at `at` and gives its neighbours' positions, if it is still that pair.
    #[inline]
    fn join(&mut self, merge: Merge, at: u32) -> Option<(u32, u32)> {
        let here = self.word[at as usize];
        // What has gone into its neighbour is no token of any merge.
        if here.token != merge.left || here.next == NONE {
            return None;
        }
        let right = &mut self.word[here.next as usize];
        if right.token != merge.right {
            return None;
        }
        let after = right.next;
        right.token = NONE;
        let here = &mut self.word[at as usize];
        here.token = merge.into;
        here.next = after;
        let before = here.previous;
        if after != NONE {
            self.word[after as usize].previous = at;
        }
        Some((before, after))
    }
}
