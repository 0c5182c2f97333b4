//! Asking memory for cells before they are worked on.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::{BLOCK, Heads};
use super::STEP;
use crate::rows::Rows;

/// What a task will read, in the order of memory: the keys of all positions, then the values of all
/// positions. A *place* is one of them.
pub(super) struct Ahead<'a> {
    lists: &'a [&'a [u32]],
    positions: usize,
    keys: Rows<'a, u16>,
    values: Rows<'a, u16>,
    /// Of all heads of the task.
    columns: Range<usize>,
    /// The next to ask for.
    next: usize,
}

impl<'a> Ahead<'a> {
    /// Asks for the first block.
    pub(super) fn new(heads: &Heads<'a, '_, u16>) -> Self {
        let first = heads.columns(heads.heads.start).start;
        let mut ahead = Ahead {
            lists: heads.group.lists(),
            positions: heads.group.longest(),
            keys: heads.input.keys,
            values: heads.input.values,
            columns: first..first + heads.heads.len() * heads.spec.head_dim,
            next: 0,
        };
        ahead.go_to(BLOCK);
        ahead
    }

    /// The place at which the values begin.
    pub(super) fn values_from(&self) -> usize {
        self.positions
    }

    /// Asks for everything before this place that has not been asked for.
    pub(super) fn go_to(&mut self, place: usize) {
        while self.next < place.min(2 * self.positions) {
            let (from, position) = if self.next < self.positions {
                (self.keys, self.next)
            } else {
                (self.values, self.next - self.positions)
            };
            let mut last = None;
            for list in self.lists {
                let cell = list.get(position);
                if cell != last
                    && let Some(&cell) = cell
                {
                    let columns = &from.row(cell as usize)[self.columns.clone()];
                    for line in columns.chunks(STEP) {
                        // SAFETY: asking for memory does not fault.
                        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
                    }
                }
                last = cell;
            }
            self.next += 1;
        }
    }
}
