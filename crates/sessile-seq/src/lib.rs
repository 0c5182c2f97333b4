//! The sequence layer of Sessile: from files to named sequences, reading frames and chunks.
//!
//! # The subject in a minute
//!
//! Under construction.

pub mod alphabet;
pub mod cds_match;
pub mod chunk;
pub mod compression;
pub mod entropy;
mod error;
pub mod fasta;
pub mod genbank;
pub mod genetic_code;
pub mod inputs;
pub mod nucleotide;
pub mod orf;
pub mod parallel;
pub mod reading_frame;
pub mod six_frame;

pub use error::{Error, ErrorKind, Result};
