//! Readers and sequence work beside the files of other programs.
//! One binary: every test file here is a module of it.

mod alphabet;
mod fasta;
mod genbank;
mod genome_entropy;
mod golden;
mod orfs;
mod parallel;
mod text;
mod untrusted;
mod virnucpro;
