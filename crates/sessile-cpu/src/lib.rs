//! The CPU device.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod bf16;
mod contacts;
mod device;
mod gather;
mod geometry;
mod isa;
mod lane;
mod linear;
mod memory;
mod norm;
pub mod peak;
mod pool;
mod rows;
#[cfg(test)]
mod scalar;
mod simd;
mod softmax;
mod team;
#[cfg(test)]
mod tests;
mod weight;

pub use device::{CpuDevice, CpuOptions};
pub use geometry::CpuGeometry;
pub use isa::{ISA_VARIABLE, Isa, ParseIsaError};
pub use lane::CpuLane;
pub use weight::CpuWeight;
