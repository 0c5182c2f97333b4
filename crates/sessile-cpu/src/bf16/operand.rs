//! Activations as a product reads them: `[panel of 32 rows][step of 32 columns][2][16][32]`.
//!
//! Each innermost `[16][32]` is one AMX tile of 1 KiB. A row of 32 columns is 64 bytes in one
//! place, so norms, activations and attention write this layout as easily as rows; nothing is
//! repacked. Columns beyond the last are zero (a weight's are too, but a stray NaN times zero is a
//! NaN); rows beyond the last hold anything.

/// Rows of a panel.
pub(crate) const PANEL: usize = 32;

/// Columns of a step.
pub(crate) const STEP: usize = 32;

/// Elements of one step of one panel.
pub(crate) const BLOCK: usize = PANEL * STEP;

/// Steps that `cols` columns take.
pub(crate) const fn steps(cols: usize) -> usize {
    cols.div_ceil(STEP)
}

/// Elements of an operand of this shape.
#[cfg(test)]
pub(crate) const fn len(rows: usize, cols: usize) -> usize {
    rows.div_ceil(PANEL) * steps(cols) * BLOCK
}

/// Bytes of an operand of this shape; as many as there can be where it fits no address space.
pub(crate) const fn bytes(rows: usize, cols: usize) -> usize {
    rows.div_ceil(PANEL)
        .saturating_mul(steps(cols))
        .saturating_mul(BLOCK * 2)
}

/// Where row `row` starts in an operand of `steps` steps. Its next 32 columns are [`BLOCK`]
/// elements further.
#[inline]
pub(crate) const fn row(row: usize, steps: usize) -> usize {
    row / PANEL * steps * BLOCK + row % PANEL * STEP
}

/// Where one value is.
#[inline]
pub(crate) const fn index(at: usize, col: usize, steps: usize) -> usize {
    row(at, steps) + col / STEP * BLOCK + col % STEP
}

/// Sets the columns beyond the last of a row that starts at `row` to zero.
///
/// # Safety
///
/// It is a row of an operand of `cols` columns, and nobody else uses its last step.
pub(crate) unsafe fn zero_tail(row: *mut u16, cols: usize) {
    let first = cols % STEP;
    if first > 0 {
        // SAFETY: the rest of the last step of the row.
        unsafe {
            let tail = row.add(cols / STEP * BLOCK + first);
            std::slice::from_raw_parts_mut(tail, STEP - first).fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{index, len, steps};

    #[test]
    fn every_value_has_its_own_place() {
        for (rows, cols) in [(1, 1), (33, 48), (64, 320)] {
            let mut seen = vec![false; len(rows, cols)];
            for row in 0..rows {
                for col in 0..cols {
                    let at = index(row, col, steps(cols));
                    assert!(!std::mem::replace(&mut seen[at], true), "{row} {col}");
                }
            }
        }
    }
}
