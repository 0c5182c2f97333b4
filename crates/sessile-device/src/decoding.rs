//! What decoders need beyond encoders: a cache of keys and values, and attention over parts of it.
//!
//! A cache is two buffers of *cells*, one row of keys and one of values for every token. Which
//! cells belong to which hypothesis is said by lists of cell numbers, not by their places: beams
//! that share a beginning share its cells, and a beam that goes on from another one copies a list
//! of numbers and no keys (the idea of paged attention, Kwon et al., 2023, arXiv:2309.06180, with
//! pages of one token).

use crate::attention::AttentionSpec;
use crate::buffer::Buf;
use crate::error::DeviceError;
use crate::lane::Lane;

/// Keys and values of one layer, `[cells, heads × head_dim]` each, in `Heads` format.
#[derive(Clone, Copy, Debug)]
pub struct CellCache {
    /// Keys.
    pub keys: Buf,
    /// Values.
    pub values: Buf,
}

/// Lists of cells, and the neighbouring query rows that attend to each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellTable {
    cells: Vec<u32>,
    cell_offsets: Vec<u32>,
    row_offsets: Vec<u32>,
}

impl Default for CellTable {
    fn default() -> Self {
        CellTable {
            cells: Vec::new(),
            cell_offsets: vec![0],
            row_offsets: vec![0],
        }
    }
}

impl CellTable {
    /// Forgets all lists and keeps the memory.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.cell_offsets.truncate(1);
        self.row_offsets.truncate(1);
    }

    /// Appends a list that the next `rows` query rows attend to, in the order of the positions.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_device::CellTable;
    ///
    /// let mut table = CellTable::default();
    /// table.push([7, 3], 1);
    /// table.push([0, 1, 2], 4);
    /// assert_eq!((table.lists(), table.rows(), table.longest()), (2, 5, 3));
    /// ```
    pub fn push(&mut self, cells: impl IntoIterator<Item = u32>, rows: usize) {
        self.cells.extend(cells);
        self.cell_offsets.push(self.cells.len() as u32);
        self.row_offsets.push(self.rows() as u32 + rows as u32);
    }

    /// Number of lists.
    pub fn lists(&self) -> usize {
        self.cell_offsets.len() - 1
    }

    /// Number of query rows.
    pub fn rows(&self) -> usize {
        self.row_offsets.last().map_or(0, |&end| end as usize)
    }

    /// Cells of the longest list.
    pub fn longest(&self) -> usize {
        let lengths = self.cell_offsets.windows(2).map(|pair| pair[1] - pair[0]);
        lengths.max().unwrap_or(0) as usize
    }

    /// Pairs of a query row and a cell.
    pub fn pairs(&self) -> u64 {
        let lists = self
            .cell_offsets
            .windows(2)
            .zip(self.row_offsets.windows(2));
        lists
            .map(|(cells, rows)| u64::from(cells[1] - cells[0]) * u64::from(rows[1] - rows[0]))
            .sum()
    }
}

/// A [`CellTable`] on a device.
#[derive(Clone, Copy, Debug)]
pub struct CellLists {
    /// All lists, one after the other: `Index`.
    pub cells: Buf,
    /// Where each list starts in `cells`, and the end: `Index`, `[lists + 1, 1]`.
    pub cell_offsets: Buf,
    /// The first query row of each list, and the end: `Index`, `[lists + 1, 1]`.
    pub row_offsets: Buf,
    /// Number of lists.
    pub lists: usize,
    /// Cells of the longest list.
    pub longest: usize,
    /// Pairs of a query row and a cell.
    pub pairs: u64,
}

/// A lane that can also decode.
pub trait DecodingLane: Lane {
    /// Copies lists of cells to the device.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the arena is full.
    fn upload_cells(&mut self, table: &CellTable) -> Result<CellLists, DeviceError> {
        Ok(CellLists {
            cells: self.upload_indices(&table.cells)?,
            cell_offsets: self.upload_indices(&table.cell_offsets)?,
            row_offsets: self.upload_indices(&table.row_offsets)?,
            lists: table.lists(),
            longest: table.longest(),
            pairs: table.pairs(),
        })
    }

    /// `out[cells[i]] = x[i]`: new keys or values into a cache. Both `Heads`.
    fn scatter_rows(&mut self, x: Buf, cells: Buf, out: Buf);

    /// Softmax attention of every query row over the cells of its list, into `out`
    /// (`[rows, heads × head_dim]`, f32). A bias by distance takes the query to stand at the
    /// list's last cell. `spec.rotary` and `spec.window` must be none.
    fn attention_cells(
        &mut self,
        q: Buf,
        cache: CellCache,
        lists: &CellLists,
        spec: &AttentionSpec<'_, Self::Weight>,
        out: Buf,
    );

    /// `out[i] = log Σ exp x[i]`, `x` f32, `out` `[rows, 1]`.
    fn log_sum_exp(&mut self, x: Buf, out: Buf);
}
