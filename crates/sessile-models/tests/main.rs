//! Checkpoints, vocabularies and the hub client.
//! One binary: every test file here is a module of it.

mod checkpoint;
mod checkpoint_save;
mod hub;
mod vocabularies;
