//! The innermost product: a tile of sums in registers.
//!
//! Every sum is one chain of multiply-adds over ascending depth. A chain can stop, be stored and
//! go on without changing a bit, and no chain knows of another: that is why the bytes of a product
//! do not depend on how many rows there are, where a row lies, or who computes it.

use crate::simd::{Kernel, Simd};

/// Floats from row to row of a left factor that is not packed. Not a power of two, or all rows
/// would meet in one set of the L1 cache.
pub(crate) const ROW_STRIDE: usize = 528;

/// Steps of depth by which the factors are asked for before they are used. Without it, a 3840×1280
/// weight over 1000 rows runs at 0.61 of the f32 peak of a Xeon with AVX-512, with it at 0.75.
const AHEAD: usize = 12;

/// Where the left factor lies.
#[derive(Clone, Copy)]
pub(crate) enum Left {
    /// `[depth][rows of a tile]`.
    Packed(*const f32),
    /// `[row][depth]`, rows [`ROW_STRIDE`] apart.
    Rows(*const f32),
}

/// Where the sums go: rows of the tile's columns, `stride` floats apart.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) start: *mut f32,
    pub(crate) stride: usize,
    /// Continue from the sums that are there.
    pub(crate) resume: bool,
}

/// One tile: `rows × (COLS vectors)` sums of `depth` products.
///
/// # Safety
///
/// - `left` is readable over `rows` and `depth`; `rows` is at most the set's tile,
/// - `right` is readable as `[depth][COLS vectors]`,
/// - `sums` is writable over `rows` rows of `COLS` vectors.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, const COLS: usize>(
    s: S,
    rows: usize,
    depth: usize,
    left: Left,
    right: *const f32,
    sums: Sums,
) {
    macro_rules! by_rows {
        ($($rows:literal)+) => {
            match (rows, left) {
                $(
                    // Larger tiles than the set's are not compiled.
                    ($rows, Left::Packed(left)) if $rows <= S::SHAPE.tile_rows => {
                        s.enter(Tile::<$rows, COLS, true> { depth, left, right, sums });
                    }
                    ($rows, Left::Rows(left)) if $rows <= S::SHAPE.tile_rows => {
                        s.enter(Tile::<$rows, COLS, false> { depth, left, right, sums });
                    }
                )+
                _ => debug_assert!(rows == 0),
            }
        };
    }
    by_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

/// A tile whose shape the compiler knows, so that its sums stay in registers. It is a kernel of
/// its own, and not inlined, so that nothing else competes for them.
struct Tile<const ROWS: usize, const COLS: usize, const PACKED: bool> {
    depth: usize,
    left: *const f32,
    right: *const f32,
    sums: Sums,
}

impl<const ROWS: usize, const COLS: usize, const PACKED: bool> Kernel for Tile<ROWS, COLS, PACKED> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tile {
            depth,
            mut left,
            mut right,
            sums,
        } = self;
        let (by_row, by_depth) = if PACKED {
            (1, S::SHAPE.tile_rows)
        } else {
            (ROW_STRIDE, 1)
        };
        let mut acc = [[s.splat(0.0); COLS]; ROWS];
        if sums.resume {
            for (row, acc) in acc.iter_mut().enumerate() {
                for (col, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: inside of the sums, as `tile`'s caller promises.
                    *acc = unsafe { s.load(sums.start.add(row * sums.stride + col * S::LANES)) };
                }
            }
        }
        for _ in 0..depth {
            for col in 0..COLS {
                s.prefetch(right.wrapping_add(AHEAD * COLS * S::LANES + col * S::LANES));
            }
            if PACKED {
                s.prefetch(left.wrapping_add(AHEAD * by_depth));
            }
            let mut w = [s.splat(0.0); COLS];
            for (col, w) in w.iter_mut().enumerate() {
                // SAFETY: inside of `right`, as `tile`'s caller promises.
                *w = unsafe { s.load(right.add(col * S::LANES)) };
            }
            for (row, acc) in acc.iter_mut().enumerate() {
                // SAFETY: inside of `left`, as `tile`'s caller promises.
                let x = s.splat(unsafe { *left.add(row * by_row) });
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = s.fma(x, w, *acc);
                }
            }
            left = left.wrapping_add(by_depth);
            right = right.wrapping_add(COLS * S::LANES);
        }
        for (row, acc) in acc.iter().enumerate() {
            for (col, acc) in acc.iter().enumerate() {
                // SAFETY: inside of the sums, as `tile`'s caller promises.
                unsafe { s.store(sums.start.add(row * sums.stride + col * S::LANES), *acc) };
            }
        }
    }
}
