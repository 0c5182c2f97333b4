//! Query rows that are attended to together, because they read the same cells.
//!
//! The beams of a source share its cells, and the beginning of what they have written. Rows whose
//! lists begin with the same cell are a group, and whatever cells of a block are the same for
//! several rows of a group is read once for them. What is computed for a row does not depend on it.

use std::ops::Range;

use super::BLOCK;

/// Rows of a group at most: those of a tile.
pub(super) const ROWS: usize = 16;

/// Which cells belong to which list, and which query rows attend to it.
#[derive(Clone, Copy)]
pub(crate) struct Lists<'a> {
    pub(crate) cells: &'a [u32],
    pub(crate) cell_offsets: &'a [u32],
    pub(crate) row_offsets: &'a [u32],
}

impl<'a> Lists<'a> {
    fn cells(&self, list: usize) -> &'a [u32] {
        &self.cells[self.cell_offsets[list] as usize..self.cell_offsets[list + 1] as usize]
    }

    fn rows(&self, list: usize) -> Range<usize> {
        self.row_offsets[list] as usize..self.row_offsets[list + 1] as usize
    }

    /// All rows, in groups of neighbours.
    pub(super) fn groups(&self) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        for list in 0..self.cell_offsets.len() - 1 {
            let cells = self.cells(list);
            for row in self.rows(list) {
                match groups.last_mut() {
                    Some(group) if group.takes(cells) => group.push(cells),
                    _ => groups.push(Group::new(row, cells)),
                }
            }
        }
        groups
    }
}

/// Neighbouring query rows, each with its own list of cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    first_row: usize,
    count: usize,
    lists: [&'a [u32]; ROWS],
}

impl<'a> Group<'a> {
    fn new(first_row: usize, cells: &'a [u32]) -> Self {
        let mut lists: [&[u32]; ROWS] = [&[]; ROWS];
        lists[0] = cells;
        Group {
            first_row,
            count: 1,
            lists,
        }
    }

    fn takes(&self, cells: &[u32]) -> bool {
        self.count < ROWS && self.lists[0].first() == cells.first()
    }

    fn push(&mut self, cells: &'a [u32]) {
        self.lists[self.count] = cells;
        self.count += 1;
    }

    /// The group's first row among all.
    pub(super) fn first_row(&self) -> usize {
        self.first_row
    }

    /// The cells of each row, in the order of the positions.
    pub(super) fn lists(&self) -> &[&'a [u32]] {
        &self.lists[..self.count]
    }

    /// Cells of the longest list.
    pub(super) fn longest(&self) -> usize {
        self.lists()
            .iter()
            .map(|cells| cells.len())
            .max()
            .unwrap_or(0)
    }

    /// The block of cells from position `first` on, once for all rows that have the same ones.
    /// Rows whose lists have ended are left out.
    pub(super) fn shares(&self, first: usize) -> Shares<'_, 'a> {
        Shares {
            group: self,
            first,
            left: u16::MAX >> (ROWS - self.count),
        }
    }

    fn block(&self, row: usize, first: usize) -> &'a [u32] {
        let cells = self.lists[row];
        &cells[first.min(cells.len())..cells.len().min(first + BLOCK)]
    }
}

/// Cells of a block, and the rows of the group that read them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share<'a> {
    pub(super) cells: &'a [u32],
    rows: [u8; ROWS],
    count: usize,
}

impl Share<'_> {
    /// The rows, by their numbers in the group.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        self.rows[..self.count].iter().map(|&row| usize::from(row))
    }

    /// Number of rows.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Up to four of the rows from the `from`th on; the last one again where there are no more.
    pub(super) fn four(&self, from: usize) -> [usize; 4] {
        [0, 1, 2, 3].map(|i| usize::from(self.rows[(from + i).min(self.count - 1)]))
    }
}

/// What [`Group::shares`] goes through.
pub(super) struct Shares<'g, 'a> {
    group: &'g Group<'a>,
    first: usize,
    /// A bit for every row that is to come.
    left: u16,
}

impl<'a> Iterator for Shares<'_, 'a> {
    type Item = Share<'a>;

    fn next(&mut self) -> Option<Share<'a>> {
        while self.left != 0 {
            let leader = self.left.trailing_zeros() as usize;
            let cells = self.group.block(leader, self.first);
            let mut share = Share {
                cells,
                rows: [0; ROWS],
                count: 0,
            };
            for row in leader..self.group.count {
                if self.left >> row & 1 == 1 && self.group.block(row, self.first) == cells {
                    self.left &= !(1 << row);
                    share.rows[share.count] = row as u8;
                    share.count += 1;
                }
            }
            if !cells.is_empty() {
                return Some(share);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_begin_alike_are_a_group_and_share_equal_blocks() {
        let common: Vec<u32> = (0..BLOCK as u32).collect();
        let list = |rest: &[u32]| [&common, rest].concat();
        let lists = [list(&[90, 91]), list(&[90, 92]), list(&[90, 91]), list(&[])];
        let mut cells = lists.concat();
        cells.extend([70, 71]);
        let mut cell_offsets = vec![0];
        for list in &lists {
            cell_offsets.push(cell_offsets[cell_offsets.len() - 1] + list.len() as u32);
        }
        cell_offsets.push(cells.len() as u32);
        let groups = Lists {
            cells: &cells,
            cell_offsets: &cell_offsets,
            row_offsets: &[0, 1, 2, 3, 5, 8],
        }
        .groups();
        let sizes: Vec<_> = groups
            .iter()
            .map(|g| (g.first_row(), g.lists().len()))
            .collect();
        assert_eq!(sizes, [(0, 5), (5, 3)]);
        assert_eq!(groups[0].longest(), BLOCK + 2);
        let shares = |first| -> Vec<(Vec<u32>, Vec<usize>)> {
            let shares = groups[0].shares(first);
            shares
                .map(|one| (one.cells.to_vec(), one.rows().collect()))
                .collect()
        };
        assert_eq!(shares(0), [(common.clone(), vec![0, 1, 2, 3, 4])]);
        assert_eq!(
            shares(BLOCK),
            [(vec![90, 91], vec![0, 2]), (vec![90, 92], vec![1])]
        );
    }

    #[test]
    fn a_crowd_becomes_several_groups() {
        let cells = [4, 5];
        let groups = Lists {
            cells: &cells,
            cell_offsets: &[0, 2, 2],
            row_offsets: &[0, 33, 34],
        }
        .groups();
        let sizes: Vec<_> = groups
            .iter()
            .map(|g| (g.first_row(), g.lists().len()))
            .collect();
        assert_eq!(sizes, [(0, 16), (16, 16), (32, 1), (33, 1)]);
    }
}
