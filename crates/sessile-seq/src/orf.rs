//! Open reading frames from stop to stop, as the program `get_orfs` 1.1 finds them.
//!
//! An ORF here is every stretch of codons between two stop codons of one reading frame; it needs no
//! start codon. The stop belongs to it (`*` ends the protein). A stretch that reaches the end of
//! the sequence is an ORF without a stop, one at the beginning may be cut as well.
//!
//! # Coordinates
//!
//! `start` and `end` are 1-based and inclusive, on the strand that is read: on the minus strand
//! they count from the first base of the reverse complement. An ORF that is open at the end has
//! `end` = length + 1, whatever its frame; that is `get_orfs`' custom and kept everywhere, because
//! it marks open ends. [`Orf::coding`] gives the bases that were really translated.
//!
//! # Where `get_orfs` misbehaves
//!
//! | input | `get_orfs` 1.1 | here | with [`OrfFinder::like_get_orfs`] |
//! | --- | --- | --- | --- |
//! | a base other than `ACGT` | read as A, and as T on the minus strand | residue `X` | as `get_orfs` |
//! | RNA `U` | the same | read as T | as `get_orfs` |
//! | a record under 8 bases | division by zero, the run dies | its ORFs | its ORFs |
//! | a short record with many stops | memory overflow, the run dies | its ORFs | its ORFs |
//! | an empty record | the run dies | no ORFs | no ORFs |
//! | an unknown table | usage text or crash | an error with the list | the same |
//!
//! On sequences of `ACGT` in either case all three agree.

mod finder;
pub mod get_orfs;

pub use finder::{Iter, Orf, OrfFinder, Orfs};
