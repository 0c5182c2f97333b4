//! The CPU device of Sessile: packed weights and kernels from AMX to plain Rust.
//!
//! # How it works
//!
//! A transformer spends its time in products `x · Wᵀ`, and a processor spends it on moving numbers
//! unless they lie where the arithmetic wants them. So everything is laid out once and flows
//! through:
//!
//! - **Weights are packed at load.** [`CpuDevice`] reads the rows of a weight in bounded blocks, on
//!   several threads, and stores them in panels as wide as a tile of registers. A product reads a
//!   panel from its first to its last byte, and reads nothing else of W.
//! - **A product keeps its sums in registers.** A tile of rows × columns is summed over all of K
//!   before anything is stored; a block of rows of x stays in the L2 cache while the panels pass
//!   by. Bias, activation and residual are applied while the tile is in L1.
//! - **Attention never stores its scores.** A block of keys and values stays in L2; the scores of
//!   a few queries against it become weights in L1 and are used at once. Rotation happens while
//!   queries and keys are packed.
//! - **A lane owns its memory.** The arena is one block, on huge pages where the system has them;
//!   every thread of a [`CpuLane`] has scratch beside it that grows in the first pass and stays
//!   (about 1 MiB per thread in f32). After the first pass nothing is allocated.
//!
//! # Which kernels run
//!
//! [`Isa::detect`] asks what the machine can really do, capped by `SESSILE_ISA`. The f32 kernels
//! are written once, over vectors of any width, and compiled for AVX-512, AVX2 with FMA, NEON and
//! plain Rust. bf16 runs on AMX tiles, or on pairs by AVX512-BF16 where that is faster than f32
//! arithmetic (a Zen 4, not a Xeon), or on the f32 kernels over values that are widened once for
//! many rows. [`Rates`] tells which number format is the faster one here. Each has a *scalar twin*, the same thing written as its definition reads, which the
//! tests compare it with.
//!
//! # Equal bytes
//!
//! A sum over K is one chain of multiply-adds with K ascending, whatever the number of rows, their
//! place in the batch and the threads at work; rows and columns that do not fill a tile take the
//! same chain. Norms and softmax sum in an order that the length of the row decides, and attention
//! counts its blocks from the start of each sequence. So the bytes of an answer depend on the
//! sequence, the weights and the instruction set alone.
//!
//! # Threads
//!
//! For throughput, run many lanes of one thread each: they share the weights and never wait for
//! each other. A lane of several threads ([`LaneSpec::threads`](sessile_device::LaneSpec)) answers
//! a lone long sequence sooner; its threads divide each operation among them and meet at its end.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod bf16;
mod cells;
mod contacts;
mod device;
mod gate;
mod gather;
mod geometry;
mod isa;
mod lane;
mod linear;
mod memory;
mod norm;
pub mod peak;
mod pool;
mod rates;
mod rows;
#[cfg(test)]
mod scalar;
mod simd;
mod softmax;
mod taps;
mod team;
#[cfg(test)]
mod tests;
mod weight;

pub use device::{CpuDevice, CpuOptions};
pub use geometry::CpuGeometry;
pub use isa::{ISA_VARIABLE, Isa, ParseIsaError, processor_name};
pub use lane::CpuLane;
pub use rates::Rates;
pub use weight::CpuWeight;
