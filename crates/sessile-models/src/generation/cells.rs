//! Which cells of a cache are free, and how many hypotheses use each of the others.

/// The cells of a cache.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    free: Vec<u32>,
    users: Vec<u32>,
}

impl Cells {
    pub(super) fn new(count: usize) -> Self {
        Cells {
            // The last is handed out first: low numbers, near each other.
            free: (0..count as u32).rev().collect(),
            users: vec![0; count],
        }
    }

    /// Cells that nobody uses.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// A cell with one user, while there are any.
    pub(super) fn take(&mut self) -> Option<u32> {
        let cell = self.free.pop()?;
        self.users[cell as usize] = 1;
        Some(cell)
    }

    /// One more user of each.
    pub(super) fn share(&mut self, cells: &[u32]) {
        for &cell in cells {
            self.users[cell as usize] += 1;
        }
    }

    /// One user less of each; the last one frees it.
    pub(super) fn drop(&mut self, cells: &[u32]) {
        for &cell in cells {
            let users = &mut self.users[cell as usize];
            *users -= 1;
            if *users == 0 {
                self.free.push(cell);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cells;

    #[test]
    fn a_cell_is_free_when_its_last_user_leaves() {
        let mut cells = Cells::new(2);
        let (a, b) = (cells.take().unwrap(), cells.take().unwrap());
        assert_eq!((a, b, cells.take()), (0, 1, None));
        cells.share(&[a]);
        cells.drop(&[a, b]);
        assert_eq!(cells.free(), 1);
        assert_eq!(cells.take(), Some(b));
        cells.drop(&[a]);
        assert_eq!(cells.take(), Some(a));
    }
}
