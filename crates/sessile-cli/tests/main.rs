//! The program as people run it.
//! One binary: every test file here is a module of it.

mod bad_input;
mod devices;
mod embed;
mod encode3di;
mod entropy;
mod entropy_kill;
mod entropy_ml;
mod environment;
mod kill;
mod running;
mod serve;
#[path = "../../sessile-server/tests/running/mod.rs"]
mod service;
mod summarize;
mod viral;
mod viral_predict;
mod viral_training;
