//! The CPU device.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod bf16;
mod device;
mod geometry;
mod isa;
mod lane;
mod linear;
mod memory;
pub mod peak;
mod rows;
mod scalar;
mod simd;
mod team;
#[cfg(test)]
mod tests;
mod weight;

pub use device::{CpuDevice, CpuOptions};
pub use geometry::CpuGeometry;
pub use isa::{ISA_VARIABLE, Isa, ParseIsaError};
pub use lane::CpuLane;
pub use weight::CpuWeight;
