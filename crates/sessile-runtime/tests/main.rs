//! The pool with real models: reference outputs, faults, plans.
//! One binary: every test file here is a module of it.

mod checkpoint_layouts;
mod checkpoint_matrix;
mod classifier;
mod faults;
mod generation_faults;
mod golden;
mod golden_bart;
mod golden_checkpoints;
mod golden_dnabert_s;
mod golden_esm2;
mod golden_families;
mod golden_modernbert;
mod golden_prostt5;
mod golden_prostt5_generation;
mod gpu_plans;
mod instances;
mod invariance;
mod real_models;
