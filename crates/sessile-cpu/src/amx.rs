//! Intel AMX: matrix tiles of 16 rows × 64 bytes and one instruction that multiplies them.
//!
//! A tile product takes `A` (16 rows × 32 bf16), `B` (16 pairs of `k` × 16 columns, "VNNI" order)
//! and adds to `C` (16 × 16 f32). The instructions are written as inline assembly, because their
//! intrinsics are not stable. All layouts of [`crate::bf16`] are made of whole tiles, so one tile
//! configuration serves everything, and everything that touches a tile holds a [`tile::Tiles`].

pub(crate) mod attention;
pub(crate) mod detect;
pub(crate) mod peak;
pub(crate) mod product;
pub(crate) mod tile;

pub(crate) use detect::available;
