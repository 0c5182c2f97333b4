//! Attention over packed sequences.

use sessile_device::{AttentionSpec, Bias};

use crate::rows::Rows;
use crate::weight::CpuWeight;

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

impl<'a> Attention<'a> {
    pub(crate) fn new(spec: &AttentionSpec<'a, CpuWeight>) -> Self {
        Attention {
            heads: spec.heads,
            head_dim: spec.head_dim,
            scale: spec.scale,
            rotary: spec.rotary.map(|rotary| table(rotary.table)),
            bias: match spec.bias {
                Bias::None => DistanceBias::None,
                Bias::ByDistance {
                    table: learned,
                    reach,
                } => {
                    assert!(learned.cols() > 2 * reach && learned.rows() >= spec.heads);
                    DistanceBias::Learned {
                        table: table(learned),
                        reach,
                    }
                }
                Bias::Alibi { slopes } => {
                    assert!(slopes.values().len() >= spec.heads);
                    DistanceBias::Slopes(slopes.values())
                }
            },
            window: spec.window,
        }
    }

    /// The longest sequence that there are rotary angles for.
    pub(crate) fn positions(&self) -> usize {
        self.rotary.map_or(usize::MAX, |table| table.rows())
    }
}

impl DistanceBias<'_> {
    /// The bias of `head` at `distance = key − query`.
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

fn table(weight: &CpuWeight) -> Rows<'_> {
    Rows::new(weight.values(), weight.rows(), weight.cols(), weight.cols())
}
