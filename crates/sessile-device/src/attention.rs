//! Attention over packed sequences: one operation with the variations of all models.

use crate::buffer::Buf;

/// Queries, keys and values: `[tokens, heads × head_dim]` each, in `Heads` format, usually column
/// ranges of one fused product.
#[derive(Clone, Copy, Debug)]
pub struct AttentionInput {
    /// Queries.
    pub q: Buf,
    /// Keys.
    pub k: Buf,
    /// Values.
    pub v: Buf,
}

impl AttentionInput {
    /// The thirds of a fused product, `[tokens, 3 × heads × head_dim]`.
    pub fn fused(qkv: Buf) -> Self {
        let width = qkv.cols() / 3;
        AttentionInput {
            q: qkv.columns(0..width),
            k: qkv.columns(width..2 * width),
            v: qkv.columns(2 * width..3 * width),
        }
    }
}

/// Rotary position embedding in the "rotate half" form: element *i* of a head is rotated with
/// element *i + head_dim / 2* by the angle of position and *i* (Su et al., 2021,
/// arXiv:2104.09864).
#[derive(Debug)]
pub struct Rotary<'a, W> {
    /// `[positions, head_dim]` in f32: the cosines of the `head_dim / 2` angles, then the sines.
    pub table: &'a W,
}

impl<W> Clone for Rotary<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Rotary<'_, W> {}

/// What is added to a score before the softmax.
#[derive(Debug)]
pub enum Bias<'a, W> {
    /// Nothing.
    None,
    /// A learned value by head and distance, constant beyond `reach` (T5's relative buckets):
    /// `table[head][clamp(key − query, −reach, reach) + reach]`.
    ByDistance {
        /// `[heads, 2 × reach + 1]` in f32.
        table: &'a W,
        /// Distance from which on the bias is constant.
        reach: usize,
    },
    /// `−slope[head] × |key − query|` (Press et al., 2021, arXiv:2108.12409, both ways).
    Alibi {
        /// `[1, heads]` in f32.
        slopes: &'a W,
    },
}

impl<W> Clone for Bias<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Bias<'_, W> {}

/// The parameters of an attention operation.
#[derive(Debug)]
pub struct AttentionSpec<'a, W> {
    /// Number of heads.
    pub heads: usize,
    /// Columns of one head.
    pub head_dim: usize,
    /// Factor on `q · k`.
    pub scale: f32,
    /// Rotation of queries and keys by position.
    pub rotary: Option<Rotary<'a, W>>,
    /// Additive bias.
    pub bias: Bias<'a, W>,
    /// A query sees keys at most this far away (`|key − query| ≤ window`); `None`: all.
    pub window: Option<usize>,
}

impl<W> Clone for AttentionSpec<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for AttentionSpec<'_, W> {}
