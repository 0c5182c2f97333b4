//! The program as people run it.
//! One binary: every test file here is a module of it.

mod accounting;
mod bad_input;
mod contract;
mod devices;
mod embed;
mod encode3di;
mod entropy;
mod entropy_kill;
mod entropy_ml;
mod environment;
mod inputs;
mod kill;
mod messages;
mod model_files;
mod outputs;
mod running;
mod serve;
mod serve_pressure;
#[path = "../../sessile-server/tests/running/mod.rs"]
mod service;
mod shards;
mod stopping;
mod summarize;
mod viral;
mod viral_predict;
mod viral_training;
