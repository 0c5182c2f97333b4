//! What the machine could do at best, measured: the number that every rate is a fraction of.

mod bf16;
mod f32;
mod memory;

pub use self::bf16::bf16_flops;
pub(crate) use self::bf16::pairs_are_fast;
pub use self::f32::f32_flops;
pub use self::memory::memory_bytes;
