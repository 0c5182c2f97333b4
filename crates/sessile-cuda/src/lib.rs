//! The CUDA device of Sessile: a binary built without any NVIDIA tool that finds GPUs when it runs.
//!
//! # How it works
//!
//! - **Nothing is linked.** The driver (`libcuda.so.1`) and, where it is there, cuBLASLt are opened
//!   at run time and asked before they are used. Whatever is missing, a stub or too old is a
//!   sentence for `sessile devices` and never a panic ([`survey`]).
//! - **Kernels are embedded.** Every `kernels/*.cu` is compiled ahead of time for the supported
//!   GPUs, and as PTX that the driver compiles for others. No header and no toolkit is needed, here
//!   or there.
//! - **Products** run on cuBLASLt, with one algorithm for each shape of a weight, or on an embedded
//!   kernel where the library is not there.
//! - **A lane is a stream** with one block of memory that a plan has sized. Weights are copied once
//!   for each GPU, through pinned memory. Operations only queue; who waits for a result hears of
//!   whatever went wrong.
//!
//! # Equal bytes
//!
//! The order in which K is summed follows from the shape of a weight, never from the number of
//! rows; norms and softmax sum in an order that a row's length decides; attention counts its tiles
//! from the start of each sequence. So the bytes of an answer depend on the sequence, the weights,
//! the kind of GPU and the library alone.
//!
//! # Tested without a GPU
//!
//! `tests/emulation` gives the kernels' primitives a meaning on a CPU. A driver made of it runs this
//! very device: what is queued, with which arguments, over which memory.
#![deny(unsafe_op_in_unsafe_fn)]

mod context;
mod cublaslt;
mod device;
mod discovery;
mod driver;
mod geometry;
mod half;
mod kernels;
mod lane;
mod library;
mod packing;
mod peak;
mod products;
mod visibility;
mod weight;

pub use context::memory;
pub use cublaslt::{CUBLASLT_VARIABLE, CublasLt};
pub use device::CudaDevice;
pub use discovery::{Gpu, Libraries, MIN_CAPABILITY, Refusal, Survey, survey};
pub use driver::{Code, DRIVER_VARIABLE, Driver, DriverAbsence, MIN_DRIVER_VERSION};
pub use geometry::CudaGeometry;
pub use lane::CudaLane;
pub use visibility::Visibility;
pub use weight::CudaWeight;
