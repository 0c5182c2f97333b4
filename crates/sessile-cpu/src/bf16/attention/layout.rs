//! Where the packed head and the intermediate tiles lie in the scratch memory.

/// Bytes of a tile: 16 rows of 64.
const TILE_BYTES: usize = 1024;

/// Keys of a unit: two tiles of scores, one tile of weights.
pub(crate) const UNIT: usize = 32;

/// Queries of a row tile.
pub(crate) const ROWS: usize = 16;

/// Row tiles that share the keys and values in the L1 cache.
pub(crate) const ROW_TILES: usize = 2;

/// Value tiles that stay in registers at once: a part of the values.
pub(crate) const VALUE_TILES: usize = 2;

/// Elements of bf16 in a tile.
pub(crate) const TILE: usize = TILE_BYTES / 2;

/// Sizes of one head of one sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Queries and keys.
    pub(crate) len: usize,
    /// Columns of the head.
    pub(crate) dim: usize,
    /// Steps of 32 columns of queries and keys.
    pub(crate) steps: usize,
    /// Tiles of 16 columns of values.
    pub(crate) value_tiles: usize,
    /// Units of 32 keys.
    pub(crate) units: usize,
    /// Most units of a group: what is in the works at once.
    pub(crate) group: usize,
    /// Whether the bias of a score depends on the distance of key and query.
    distances: bool,
}

/// The parts of the scratch memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// `[row tile][step][16 queries][32]`.
    pub(crate) q: *mut u16,
    /// `[unit][half][step][16 pairs][16 keys][2]`.
    pub(crate) k: *mut u16,
    /// `[unit][value tile][16 pairs of keys][16][2]`.
    pub(crate) v: *mut u16,
    /// The tile whose first column adds up weights, for a full unit and for the last one.
    pub(crate) ones: *mut u16,
    /// `[2][unit of the group][2][16][16]` f32.
    pub(crate) scores: *mut f32,
    /// `[2][unit of the group][16][32]`.
    pub(crate) weights: *mut u16,
    /// `[row tile][value tile, then sums][16][16]` f32.
    pub(crate) sums: *mut f32,
    /// What is added to a score (in units of the weights' bits) by `key − query + `[`Layout::middle`].
    pub(crate) distances: *mut f32,
}

impl Layout {
    pub(crate) fn new(len: usize, dim: usize, distances: bool) -> Self {
        let steps = dim.div_ceil(32);
        Layout {
            len,
            dim,
            steps,
            value_tiles: dim.div_ceil(16),
            units: len.div_ceil(UNIT),
            // With more columns, fewer keys fill the L1 cache.
            group: if steps == 1 { 4 } else { 2 },
            distances,
        }
    }

    /// Whether the column of ones has a tile of its own; else it is in the last value tile.
    pub(crate) fn ones_apart(&self) -> bool {
        self.dim.is_multiple_of(16)
    }

    /// Parts of the values.
    pub(crate) fn parts(&self) -> usize {
        self.value_tiles.div_ceil(VALUE_TILES)
    }

    /// Value tiles of a part.
    pub(crate) fn part_tiles(&self, part: usize) -> usize {
        VALUE_TILES.min(self.value_tiles - part * VALUE_TILES)
    }

    /// Whether the sums of weights, with a tile of their own, go with this part.
    pub(crate) fn part_has_ones(&self, part: usize) -> bool {
        self.ones_apart() && part + 1 == self.parts()
    }

    /// Tiles of sums of one row tile.
    pub(crate) fn sum_tiles(&self) -> usize {
        self.value_tiles + usize::from(self.ones_apart())
    }

    /// Row tiles of queries, whole blocks of them.
    pub(crate) fn row_tiles(&self) -> usize {
        self.units * UNIT / ROWS
    }

    /// Where distance 0 is.
    pub(crate) fn middle(&self) -> usize {
        self.units * UNIT
    }

    fn sizes(&self) -> [usize; 8] {
        let tile = TILE_BYTES / size_of::<f32>();
        [
            self.row_tiles() * self.steps * tile,
            self.units * 2 * self.steps * tile,
            self.units * self.value_tiles * tile,
            2 * tile,
            2 * (self.group + 1) * 2 * tile,
            2 * (self.group + 2) * tile,
            ROW_TILES * self.sum_tiles() * tile,
            // The last vector of keys of the first query reaches 16 beyond.
            if self.distances {
                2 * self.middle() + 16
            } else {
                0
            },
        ]
    }

    /// Floats that [`Layout::place`] takes, with some to align.
    pub(crate) fn floats(&self) -> usize {
        self.sizes().iter().sum::<usize>() + 16
    }

    /// The parts of `scratch`, each at a cache line.
    pub(crate) fn place(&self, scratch: &mut [f32]) -> Places {
        assert!(self.floats() <= scratch.len());
        let start = scratch.as_mut_ptr();
        let mut next = start.wrapping_add(start.align_offset(64));
        let [q, k, v, ones, scores, weights, sums, distances] = self.sizes().map(|size| {
            let place = next;
            next = next.wrapping_add(size);
            place
        });
        Places {
            q: q.cast(),
            k: k.cast(),
            v: v.cast(),
            ones: ones.cast(),
            scores,
            weights: weights.cast(),
            sums,
            distances,
        }
    }
}

/// Floats of scratch that one head of a sequence of `len` needs.
pub(crate) fn scratch_floats(len: usize, dim: usize) -> usize {
    Layout::new(len, dim, true).floats()
}
