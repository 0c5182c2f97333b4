//! Views of row-major matrices: a pointer, a shape and the distance from row to row.

use std::marker::PhantomData;
use std::ops::Range;

/// A matrix to read.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T = f32> {
    start: *const T,
    rows: usize,
    cols: usize,
    stride: usize,
    life: PhantomData<&'a [T]>,
}

/// A matrix that several threads write to, each its own rows or columns.
#[derive(Clone, Copy)]
pub(crate) struct RowsMut<'a, T = f32> {
    start: *mut T,
    rows: usize,
    cols: usize,
    stride: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Rows` is a shared slice in another shape.
unsafe impl<T: Sync> Send for Rows<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Rows<'_, T> {}
// SAFETY: a `RowsMut` stands for an exclusive slice; all access through it is `unsafe` and
// promises that no two threads touch the same element.
unsafe impl<T: Send> Send for RowsMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for RowsMut<'_, T> {}

/// Elements from the first to the end of the last row.
fn extent(rows: usize, cols: usize, stride: usize) -> usize {
    if rows == 0 || cols == 0 {
        0
    } else {
        (rows - 1) * stride + cols
    }
}

impl<'a, T> Rows<'a, T> {
    /// `rows` rows of `cols` elements, `stride` apart, from the start of `data`.
    pub(crate) fn new(data: &'a [T], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(cols <= stride && extent(rows, cols, stride) <= data.len());
        Rows {
            start: data.as_ptr(),
            rows,
            cols,
            stride,
            life: PhantomData,
        }
    }

    /// The same from a pointer.
    ///
    /// # Safety
    ///
    /// The rows are readable, and nobody writes to them, for as long as `'a`.
    pub(crate) unsafe fn from_ptr(
        start: *const T,
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Self {
        Rows {
            start,
            rows,
            cols,
            stride,
            life: PhantomData,
        }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Row `index`.
    #[inline(always)]
    pub(crate) fn row(&self, index: usize) -> &'a [T] {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        // SAFETY: the row is inside the matrix, which is readable for `'a`.
        unsafe { std::slice::from_raw_parts(self.start.add(index * self.stride), self.cols) }
    }

    /// The columns `first..first + count`.
    pub(crate) fn columns(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.cols);
        Rows {
            // `wrapping_add`: an empty matrix has nowhere to point to.
            start: self.start.wrapping_add(first),
            cols: count,
            ..self
        }
    }

    /// The rows `first..first + count`.
    pub(crate) fn range(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.rows);
        Rows {
            start: self.start.wrapping_add(first * self.stride),
            rows: count,
            ..self
        }
    }
}

impl<'a, T> RowsMut<'a, T> {
    /// `rows` rows of `cols` elements, `stride` apart, from the start of `data`.
    #[cfg(test)]
    pub(crate) fn new(data: &'a mut [T], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(cols <= stride && extent(rows, cols, stride) <= data.len());
        RowsMut {
            start: data.as_mut_ptr(),
            rows,
            cols,
            stride,
            life: PhantomData,
        }
    }

    /// A matrix of one row.
    pub(crate) fn of_row(row: &'a mut [T]) -> Self {
        RowsMut {
            start: row.as_mut_ptr(),
            rows: 1,
            cols: row.len(),
            stride: row.len(),
            life: PhantomData,
        }
    }

    /// The same from a pointer.
    ///
    /// # Safety
    ///
    /// Nobody else reads or writes the rows for as long as `'a`.
    pub(crate) unsafe fn from_ptr(start: *mut T, rows: usize, cols: usize, stride: usize) -> Self {
        RowsMut {
            start,
            rows,
            cols,
            stride,
            life: PhantomData,
        }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Row `index`, to write to.
    ///
    /// # Safety
    ///
    /// Nobody else has this row at the same time.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // The matrix is shared by threads that each take their rows.
    pub(crate) unsafe fn row(&self, index: usize) -> &'a mut [T] {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        // SAFETY: the row is inside the matrix, which is writable for `'a`; the caller promises
        // that this is the only reference to it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(index * self.stride), self.cols) }
    }

    /// The columns `range` of row `index`, to write to.
    ///
    /// # Safety
    ///
    /// Nobody else has these elements at the same time.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // As for `row`.
    pub(crate) unsafe fn part(&self, index: usize, range: Range<usize>) -> &'a mut [T] {
        assert!(index < self.rows && range.start <= range.end && range.end <= self.cols);
        // SAFETY: the part is inside the matrix, which is writable for `'a`; the caller promises
        // that this is the only reference to it.
        unsafe {
            let start = self.start.add(index * self.stride + range.start);
            std::slice::from_raw_parts_mut(start, range.len())
        }
    }
}
