//! Asking memory for cells before they are worked on.
//!
//! A core waits for some ten cache lines at a time, and what it works on needs that room too. So
//! lines are asked for a few at a time, between other instructions.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::{BLOCK, Heads};
use super::STEP;
use crate::rows::Rows;

/// What a task will read, in the order of memory: the keys of all positions, then the values of all
/// positions. A *place* is one of them, a *line* 32 columns of it.
pub(super) struct Ahead<'a> {
    lists: &'a [&'a [u32]],
    positions: usize,
    keys: Rows<'a, u16>,
    values: Rows<'a, u16>,
    /// Of all heads of the task.
    columns: Range<usize>,
    /// The place after the one that is being asked for.
    place: usize,
    /// The rest of that one. When all has been asked for, the last one over and over.
    next: *const u16,
    end: *const u16,
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
            place: 0,
            next: std::ptr::null(),
            end: std::ptr::null(),
        };
        ahead.go_to(BLOCK);
        ahead
    }

    /// The place at which the values begin.
    pub(super) fn values_from(&self) -> usize {
        self.positions
    }

    /// Asks for so many more lines.
    #[inline(always)]
    pub(super) fn ask<const LINES: usize>(&mut self) {
        for line in 0..LINES {
            // SAFETY: asking for memory does not fault.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(self.next.wrapping_add(line * STEP).cast()) };
        }
        self.next = self.next.wrapping_add(LINES * STEP);
        if self.next >= self.end {
            self.turn();
        }
    }

    /// Asks for everything before this place that has not been asked for.
    pub(super) fn go_to(&mut self, place: usize) {
        while self.place < place.min(2 * self.positions) {
            while self.next < self.end {
                // SAFETY: as in `ask`.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(self.next.cast()) };
                self.next = self.next.wrapping_add(STEP);
            }
            self.turn();
        }
    }

    /// Goes on to the next place: to the first row's cell, and asks for those of other rows.
    #[inline(never)]
    fn turn(&mut self) {
        let place = self.place.min((2 * self.positions).saturating_sub(1));
        self.place += 1;
        let (from, position) = if place < self.positions {
            (self.keys, place)
        } else {
            (self.values, place - self.positions)
        };
        let (mut first, mut last) = (None, None);
        for list in self.lists {
            let cell = list.get(position);
            if let Some(&one) = cell
                && cell != last
            {
                let columns = &from.row(one as usize)[self.columns.clone()];
                if first.is_none() {
                    first = Some(columns.as_ptr_range());
                } else if place + 1 == self.place {
                    for line in columns.chunks(STEP) {
                        // SAFETY: as in `ask`.
                        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
                    }
                }
            }
            last = cell;
        }
        if let Some(columns) = first {
            (self.next, self.end) = (columns.start, columns.end);
        }
    }
}
