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

use std::cmp::Reverse;
use std::collections::BinaryHeap;

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
    /// An open hash table from a pair to its merge's number: pairs and numbers beside each other.
    slots: Vec<Slot>,
    shift: u32,
    /// Whether no merge makes a pair whose merge comes earlier.
    ordered: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    left: u32,
    right: u32,
    rank: u32,
}

/// The memory of the merging, used again and again.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The word: tokens in a doubly linked list. [`NONE`] where a token went into its neighbour.
    tokens: Vec<u32>,
    next: Vec<u32>,
    previous: Vec<u32>,
    /// The last entry of each merge's list.
    lists: Vec<u32>,
    /// One bit for each list that is not empty.
    filled: Vec<u64>,
    /// Position of a pair's left token, and the entry before it in the same list.
    entries: Vec<(u32, u32)>,
    positions: Vec<u32>,
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

impl Room {
    /// Appends a letter to the word.
    #[inline]
    pub(super) fn push(&mut self, id: u32) {
        self.tokens.push(id);
    }
}

impl Merges {
    pub(super) fn new(merges: Vec<Merge>) -> Self {
        // At most a quarter full: most look-ups are for pairs that do not merge, and should end at
        // the first slot.
        let size = (merges.len() * 4).next_power_of_two().max(4);
        let empty = Slot {
            left: NONE,
            right: NONE,
            rank: NONE,
        };
        let mut table = Merges {
            slots: vec![empty; size],
            shift: 64 - size.trailing_zeros(),
            ordered: true,
            merges,
        };
        let mut last_made = std::collections::HashMap::new();
        for (rank, merge) in (0_u32..).zip(&table.merges) {
            last_made.insert(merge.into, rank);
        }
        for rank in 0..table.merges.len() {
            let Merge { left, right, .. } = table.merges[rank];
            table.ordered &= [left, right].iter().all(|part| {
                last_made
                    .get(part)
                    .is_none_or(|&made| (made as usize) < rank)
            });
            // As in the library, the last of two merges of the same pair counts.
            let slot = table.slot(left, right);
            table.slots[slot] = Slot {
                left,
                right,
                rank: rank as u32,
            };
        }
        table
    }

    /// The slot of a pair: where it is, or where it would be.
    #[inline]
    fn slot(&self, left: u32, right: u32) -> usize {
        let key = u64::from(left) << 32 | u64::from(right);
        // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4).
        let mut at = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize;
        loop {
            let slot = &self.slots[at];
            if slot.rank == NONE || (slot.left == left && slot.right == right) {
                return at;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The number of the merge of a pair; [`NONE`] when it does not merge.
    #[inline]
    fn rank(&self, left: u32, right: u32) -> u32 {
        self.slots[self.slot(left, right)].rank
    }

    /// Merges the word in `room`, appends its tokens to `out` and empties it.
    pub(super) fn finish(&self, room: &mut Room, out: &mut Vec<u32>) {
        let len = room.tokens.len();
        if len > 1 {
            room.next.clear();
            room.next.extend(1..len as u32);
            room.next.push(NONE);
            room.previous.clear();
            room.previous.push(NONE);
            room.previous.extend(0..len as u32 - 1);
            if self.ordered {
                self.by_lists(room);
            } else {
                self.by_heap(room);
            }
            out.extend(room.tokens.iter().filter(|&&token| token != NONE));
        } else {
            out.extend_from_slice(&room.tokens);
        }
        room.tokens.clear();
    }

    /// Merges in the order of the file, all pairs of a merge after another.
    fn by_lists(&self, room: &mut Room) {
        room.lists.resize(self.merges.len(), NONE);
        room.filled.resize(self.merges.len().div_ceil(64), 0);
        room.entries.clear();
        for at in 0..room.tokens.len() - 1 {
            let rank = self.rank(room.tokens[at], room.tokens[at + 1]);
            room.note(rank, at as u32);
        }
        let mut word = 0;
        while word < room.filled.len() {
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
                    self.merge(room, merge, at);
                }
                room.positions = positions;
            } else {
                while entry != NONE {
                    let (at, before) = room.entries[entry as usize];
                    self.merge(room, merge, at);
                    entry = before;
                }
            }
        }
    }

    /// Merges the pair at `at`, if it is still that pair, and notes the pairs that come of it.
    #[inline]
    fn merge(&self, room: &mut Room, merge: Merge, at: u32) {
        if let Some((before, after)) = room.join(merge, at) {
            if before != NONE {
                let rank = self.rank(room.tokens[before as usize], merge.into);
                room.note(rank, before);
            }
            if after != NONE {
                let rank = self.rank(merge.into, room.tokens[after as usize]);
                room.note(rank, at);
            }
        }
    }

    /// Merges the first pair by the file, again and again.
    fn by_heap(&self, room: &mut Room) {
        room.heap.clear();
        for at in 0..room.tokens.len() - 1 {
            let rank = self.rank(room.tokens[at], room.tokens[at + 1]);
            if rank != NONE {
                room.heap.push(Reverse((rank, at as u32)));
            }
        }
        while let Some(Reverse((rank, at))) = room.heap.pop() {
            let merge = self.merges[rank as usize];
            let Some((before, after)) = room.join(merge, at) else {
                continue;
            };
            for (left, right) in [(before, at), (at, after)] {
                if left == NONE || right == NONE {
                    continue;
                }
                let rank = self.rank(room.tokens[left as usize], room.tokens[right as usize]);
                if rank != NONE {
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
        if rank != NONE {
            let list = &mut self.lists[rank as usize];
            self.entries.push((at, *list));
            *list = (self.entries.len() - 1) as u32;
            self.filled[rank as usize / 64] |= 1 << (rank % 64);
        }
    }

    /// Joins the pair at `at` and gives its neighbours' positions, if it is still that pair.
    #[inline]
    fn join(&mut self, merge: Merge, at: u32) -> Option<(u32, u32)> {
        let here = at as usize;
        let right = self.next[here];
        if self.tokens[here] != merge.left
            || right == NONE
            || self.tokens[right as usize] != merge.right
        {
            return None;
        }
        let after = self.next[right as usize];
        self.tokens[here] = merge.into;
        self.tokens[right as usize] = NONE;
        self.next[here] = after;
        if after != NONE {
            self.previous[after as usize] = at;
        }
        Some((self.previous[here], after))
    }
}
