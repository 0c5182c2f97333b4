//! The CPU device.

mod attention;
mod device;
mod geometry;
mod isa;
mod lane;
mod memory;
mod rows;
mod scalar;
mod weight;

pub use device::{CpuDevice, CpuOptions};
pub use geometry::CpuGeometry;
pub use isa::{ISA_VARIABLE, Isa, ParseIsaError};
pub use lane::CpuLane;
pub use weight::CpuWeight;
