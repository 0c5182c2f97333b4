//! Softmax attention over packed sequences, in f32.
//!
//! One task is one head of one sequence (of a long one: of some of its queries). Keys and values
//! are taken in blocks that fit the L2 cache and are packed for the tiles, rotated on the way.
//! For every tile of queries, the scores of a block stay in L1 while they become weights, with a
//! running maximum and sum from block to block (Dao et al., 2022, arXiv:2205.14135). Blocks are
//! counted from the start of a sequence, so a row's bytes depend on its own sequence alone.

mod flash;
mod map;
mod pack;
mod scores;

#[cfg(test)]
mod tests;

use std::ops::Range;

use sessile_device::{AttentionSpec, Bias};

use crate::isa::Isa;
use crate::rows::{Rows, RowsMut};
use crate::simd::{self, Shape};
use crate::team::Team;
use crate::weight::CpuWeight;
use flash::Flash;
use map::Map;
use scores::Layout;

/// Keys of a block. With 64 columns a head's keys and values take 256 KiB.
const KEY_BLOCK: usize = 512;

/// Queries of a task. Each task packs the keys once more, which is nothing beside this many.
const QUERY_CHUNK: usize = 2048;

/// Queries of a task of a map.
const MAP_CHUNK: usize = 256;

/// Queries, keys and values of all sequences.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    pub(crate) q: Rows<'a>,
    pub(crate) k: Rows<'a>,
    pub(crate) v: Rows<'a>,
}

/// The parameters of an attention, with the weights they name looked up.
#[derive(Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) scale: f32,
    /// One row for every position: the cosines, then the sines.
    pub(crate) rotary: Option<Rows<'a>>,
    pub(crate) bias: DistanceBias<'a>,
    pub(crate) window: Option<usize>,
}

/// What is added to a score. All kinds depend on the head and on `key − query` alone.
#[derive(Clone, Copy)]
pub(crate) enum DistanceBias<'a> {
    None,
    Learned { table: Rows<'a>, reach: usize },
    Slopes(&'a [f32]),
}

/// One head of one sequence.
#[derive(Clone)]
struct Head<'a> {
    input: Heads<'a>,
    spec: Attention<'a>,
    /// The sequence's rows.
    rows: Range<usize>,
    head: usize,
}

/// Floats of scratch that every thread needs.
pub(crate) fn scratch_floats(isa: Isa, head_dim: usize) -> usize {
    Layout::new(Shape::of(isa), head_dim).floats()
}

/// Attention of every sequence over itself, with all threads of a lane.
pub(crate) fn attention(
    isa: Isa,
    team: &mut Team,
    input: Heads<'_>,
    offsets: &[u32],
    spec: &Attention<'_>,
    out: RowsMut<'_>,
) {
    spec.check([input.q.cols(), input.k.cols(), input.v.cols()]);
    assert!(out.cols() == spec.heads * spec.head_dim);
    let longest = offsets.windows(2).map(|pair| pair[1] - pair[0]).max();
    let chunks = (longest.unwrap_or(0) as usize).div_ceil(QUERY_CHUNK);
    let sequences = offsets.len().saturating_sub(1);
    team.share(sequences * spec.heads * chunks, |task, scratch| {
        let (chunk, task) = (task % chunks, task / chunks);
        let (head, sequence) = (task % spec.heads, task / spec.heads);
        let rows = offsets[sequence] as usize..offsets[sequence + 1] as usize;
        // A short sequence has nothing to do in the later chunks.
        let first = rows.len().min(chunk * QUERY_CHUNK);
        let queries = first..rows.len().min(first + QUERY_CHUNK);
        let kernel = Flash {
            head: Head {
                input,
                spec: *spec,
                rows,
                head,
            },
            queries,
            out,
            scratch,
        };
        simd::run(isa, kernel);
    });
}

/// Attention of one sequence over itself by this thread, of a single head that is all of `input`.
pub(crate) fn one_head(
    isa: Isa,
    input: Heads<'_>,
    spec: &Attention<'_>,
    out: RowsMut<'_>,
    scratch: &mut [f32],
) {
    spec.check([input.q.cols(), input.k.cols(), input.v.cols()]);
    let len = input.q.rows();
    for first in (0..len).step_by(QUERY_CHUNK) {
        let kernel = Flash {
            head: Head {
                input,
                spec: *spec,
                rows: 0..len,
                head: 0,
            },
            queries: first..len.min(first + QUERY_CHUNK),
            out,
            scratch: &mut *scratch,
        };
        simd::run(isa, kernel);
    }
}

/// The attention probabilities of one head of the sequence in `rows`, `[length, length]`.
pub(crate) fn attention_map(
    isa: Isa,
    team: &mut Team,
    input: Heads<'_>,
    rows: Range<usize>,
    head: usize,
    spec: &Attention<'_>,
    out: RowsMut<'_>,
) {
    spec.check([input.q.cols(), input.k.cols(), input.v.cols()]);
    assert!(head < spec.heads && out.rows() == rows.len() && out.cols() == rows.len());
    team.share(rows.len().div_ceil(MAP_CHUNK), |chunk, scratch| {
        let first = chunk * MAP_CHUNK;
        let kernel = Map {
            head: Head {
                input,
                spec: *spec,
                rows: rows.clone(),
                head,
            },
            queries: first..rows.len().min(first + MAP_CHUNK),
            out,
            scratch,
        };
        simd::run(isa, kernel);
    });
}

impl<'a> Attention<'a> {
    pub(crate) fn new(spec: &AttentionSpec<'a, CpuWeight>) -> Self {
        Attention {
            heads: spec.heads,
            head_dim: spec.head_dim,
            scale: spec.scale,
            rotary: spec.rotary.map(|rotary| rotary.table.table()),
            bias: match spec.bias {
                Bias::None => DistanceBias::None,
                Bias::ByDistance {
                    table: learned,
                    reach,
                } => DistanceBias::Learned {
                    table: learned.table(),
                    reach,
                },
                Bias::Alibi { slopes } => DistanceBias::Slopes(slopes.values()),
            },
            window: spec.window,
        }
    }

    /// The same for one of its heads alone.
    pub(crate) fn alone(&self, head: usize) -> Self {
        Attention {
            heads: 1,
            bias: match self.bias {
                DistanceBias::None => DistanceBias::None,
                DistanceBias::Learned { table, reach } => DistanceBias::Learned {
                    table: table.range(head, 1),
                    reach,
                },
                DistanceBias::Slopes(slopes) => DistanceBias::Slopes(&slopes[head..=head]),
            },
            ..*self
        }
    }

    /// The longest sequence that there are rotary angles for.
    pub(crate) fn positions(&self) -> usize {
        self.rotary.map_or(usize::MAX, |table| table.rows())
    }

    /// Whether the shapes fit each other, which is the program's duty.
    pub(crate) fn check(&self, columns: [usize; 3]) {
        assert_eq!(columns, [self.heads * self.head_dim; 3]);
        if let Some(table) = self.rotary {
            assert!(
                table.cols() == self.head_dim && self.head_dim.is_multiple_of(2),
                "rotation takes pairs of columns"
            );
        }
        match self.bias {
            DistanceBias::None => {}
            DistanceBias::Learned { table, reach } => {
                assert!(table.cols() > 2 * reach && table.rows() >= self.heads);
            }
            DistanceBias::Slopes(slopes) => assert!(slopes.len() >= self.heads),
        }
    }

    /// Whether scores are anything but products.
    pub(crate) fn is_plain(&self) -> bool {
        self.window.is_none() && matches!(self.bias, DistanceBias::None)
    }

    /// The keys of a sequence of `len` that some of `queries` see.
    pub(crate) fn visible(&self, queries: &Range<usize>, len: usize) -> Range<usize> {
        match self.window {
            None => 0..len,
            Some(window) => {
                let end = (queries.end - 1).saturating_add(window).saturating_add(1);
                queries.start.saturating_sub(window)..end.min(len)
            }
        }
    }
}

impl DistanceBias<'_> {
    /// The bias of `head` at `distance = key − query`.
    #[inline(always)]
    pub(crate) fn at(&self, head: usize, distance: isize) -> f32 {
        match self {
            DistanceBias::None => 0.0,
            DistanceBias::Learned { table, reach } => {
                let reach = *reach as isize;
                table.row(head)[(distance.clamp(-reach, reach) + reach) as usize]
            }
            DistanceBias::Slopes(slopes) => -slopes[head] * distance.unsigned_abs() as f32,
        }
    }
}
