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

/// Floats of a cache line.
const LINE: usize = 16;

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

/// What is asked for while a tile is computed, a cache line in every step of depth. Any addresses
/// will do.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    next: *const f32,
    end: *const f32,
}

/// Rows that a panel serves, up to which the next panel is asked for while they are computed. With
/// more of them it is not memory that they wait for.
const FEW_ROWS: usize = 56;

/// Floats of the next panel up to which it is asked for: 128 KiB. Two longer ones, and the rows, do not
/// fit the L2 cache: with a `k` of 4096 products of 32 rows took 1.0 to 1.2 of their time.
const MOST_AHEAD: usize = 1 << 15;

impl Ahead {
    /// Nothing but `near`, which is in the cache.
    pub(crate) fn nothing(near: *const f32) -> Self {
        Ahead {
            next: near,
            end: near,
        }
    }

    /// The part of the `len` floats (none after the last panel) from `panel` on that tile `index` of `count` asks for, where
    /// weights are read for so few rows that memory must never be idle.
    #[inline(always)]
    pub(crate) fn part(
        panel: *const f32,
        len: usize,
        rows: usize,
        (index, count): (usize, usize),
    ) -> Self {
        // A lone tile waits for its own weights all the time.
        if count < 2 || rows > FEW_ROWS || len == 0 || len > MOST_AHEAD {
            // The line before it has just been read. To ask for memory that is not there would take
            // a walk through the page tables every time.
            return Ahead::nothing(panel.wrapping_sub(LINE));
        }
        Ahead {
            next: panel.wrapping_add(index * len / count),
            end: panel.wrapping_add((index + 1) * len / count),
        }
    }
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
    ahead: Ahead,
) {
    macro_rules! by_rows {
        ($($rows:literal)+) => {
            match (rows, left) {
                $(
                    // Larger tiles than the set's are not compiled.
                    ($rows, Left::Packed(left)) if $rows <= S::SHAPE.tile_rows => {
                        s.enter(Tile::<$rows, COLS, true> { depth, left, right, sums, ahead });
                    }
                    ($rows, Left::Rows(left)) if $rows <= S::SHAPE.tile_rows => {
                        s.enter(Tile::<$rows, COLS, false> { depth, left, right, sums, ahead });
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
    ahead: Ahead,
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
            mut ahead,
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
                s.prefetch_far(ahead.next);
                ahead.next = ahead.next.wrapping_add(LINE).min(ahead.end);
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
