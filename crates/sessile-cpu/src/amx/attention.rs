//! Attention of one head of one sequence on AMX tiles. Scalar twin:
//! `crate::scalar::bf16::attention`.
//!
//! Scores `Q · Kᵀ`, weights `2^(score)` and sums `P · V` of three neighbouring groups of keys are
//! in the works at once: between the tile instructions that make the scores of the next group and
//! add up the previous one stand the vector instructions that turn the scores of this group into
//! weights, so both units are busy ([`pipeline`]).
//!
//! There is no running maximum. Weights are bf16, which has the range of f32, so a weight is
//! simply `2^s` of its scaled score `s`; the row's sum comes out of the same tile products, from a
//! column of ones beside `V`, and tells afterwards whether the range sufficed. If any row of a
//! tile fell outside (a score above about 69 or a maximum below −41, in natural units), that tile
//! is computed again with its maxima found first ([`exact`]). Which way a tile goes depends on its
//! own sequence alone.

mod exact;
mod pipeline;
mod rows;
mod tiles;

use crate::amx::tile::Tiles;
use crate::bf16::attention::layout::{Layout, Places};
use crate::bf16::attention::softmax::Weights;
use crate::bf16::attention::{Head, pack};

/// Computes one head of one sequence.
///
/// # Safety
///
/// - AMX is available, with AVX-512 F, BW, VL, DQ, BF16 and VBMI, and no `Tiles` lives on this
///   thread.
/// - Nobody else reads or writes the columns of this head in the rows of this sequence.
/// - `scratch` has [`scratch_floats`](crate::bf16::attention::layout::scratch_floats) values for this head.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
pub(crate) unsafe fn run(head: &Head<'_>, scratch: &mut [f32]) {
    if head.len() == 0 {
        return;
    }
    let layout = Layout::new(head.len(), head.dim(), head.has_distances());
    assert!(layout.floats() <= scratch.len(), "attention scratch");
    // SAFETY: the scratch is as large as the layout says, which all of the following stay inside;
    // the rest is the caller's promise.
    unsafe {
        let places = layout.place(scratch);
        let tame = pack::head(head, &layout, &places);
        let tiles = Tiles::configure();
        let job = Job {
            tiles: &tiles,
            head,
            layout: &layout,
            places: &places,
            weights: &Weights::new(head),
            tame,
        };
        match (layout.steps, head.has_distances()) {
            (1, false) => pipeline::run::<1, false>(&job),
            (1, true) => pipeline::run::<1, true>(&job),
            (2, false) => pipeline::run::<2, false>(&job),
            (2, true) => pipeline::run::<2, true>(&job),
            (_, false) => pipeline::run::<0, false>(&job),
            (_, true) => pipeline::run::<0, true>(&job),
        }
    }
}

/// What all steps of one head work with.
struct Job<'a> {
    tiles: &'a Tiles,
    head: &'a Head<'a>,
    layout: &'a Layout,
    places: &'a Places,
    weights: &'a Weights,
    /// Whether no score can overflow an integer.
    tame: bool,
}
