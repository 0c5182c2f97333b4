//! The service over a socket.
//! One binary: every test file here is a module of it.

mod bad_input;
mod contract;
mod encryption;
mod faults;
#[path = "running/faulty.rs"]
mod faulty;
mod grpc;
mod pressure;
mod replay;
mod running;
mod three_di;
mod traces;
mod v1;
mod writing;
