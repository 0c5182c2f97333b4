//! The sequence layer of Sessile: from files to named sequences, reading frames and chunks.
//!
//! # The subject in a minute
//!
//! DNA is a text over four bases, `A C G T`. It has two strands that run against each other: the
//! second is the *reverse complement* of the first (`A`↔`T`, `C`↔`G`, read backwards). A cell reads
//! DNA in steps of three bases, *codons*, and a *genetic code* says which of twenty amino acids each
//! of the 64 codons stands for, or that it is a *stop*. Two strands and three places to begin make
//! six *reading frames*. A stretch without a stop inside is an *open reading frame* (ORF) and may be
//! a gene; what is known to be one is annotated as a *coding sequence* (CDS). A protein is a text
//! over the amino acids, its *residues*.
//!
//! Files come from sequencers and databases: [`fasta`] holds names and sequences, [`genbank`] the
//! annotation as well. Letters beyond the four bases are common (`N` means any base) and so are
//! broken files; every reader keeps the good records of a file and says what is wrong with the rest.
//!
//! # What is here
//!
//! | module | holds |
//! | --- | --- |
//! | [`inputs`], [`compression`], [`text`] | files, patterns, folders, standard input; gzip, bzip2, xz, zstd; line ends, byte order marks |
//! | [`fasta`], [`genbank`] | streaming readers, the FASTA writer |
//! | [`alphabet`] | which letters a sequence may hold |
//! | [`nucleotide`], [`genetic_code`], [`reading_frame`] | complement, translation, frames |
//! | [`orf`], [`cds_match`] | ORFs as `get_orfs` finds them, and whether they are annotated |
//! | [`entropy`] | Shannon entropy and mutual information |
//! | [`chunk`], [`six_frame`] | chunks and open frames as VirNucPro makes them |
//! | [`parallel`] | many cores on one stream, in order |
//!
//! Nothing here knows of models. Positions are 0-based and half-open unless a field follows a
//! program's custom and says so.
//!
//! # Examples
//!
//! The proteins of a genome's long ORFs:
//!
//! ```
//! use sessile_seq::fasta::Reader;
//! use sessile_seq::genetic_code::GeneticCode;
//! use sessile_seq::orf::OrfFinder;
//!
//! let finder = OrfFinder::new(GeneticCode::of(11)?).longer_than(3);
//! for record in Reader::new(&b">toy\nATGAAACCCTAA\n"[..]) {
//!     let record = record?;
//!     let orfs = finder.find(&record.sequence);
//!     assert_eq!(orfs.iter().next().map(|orf| orf.protein()), Some(&b"MKP*"[..]));
//! }
//! # Ok::<(), sessile_seq::Error>(())
//! ```

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
pub mod text;

pub use error::{Error, ErrorKind, Result};
