//! Does an ORF that was found belong to a CDS that is annotated? Two rules.
//!
//! - [`LastResidues`]: genome_entropy up to schema 2.0. The last ten residues of the proteins are
//!   equal; where the genes lie does not matter, and any record of the file may match.
//! - [`CdsIndex`]: genome_entropy from schema 2.2. The genes share record, strand, codon phase and
//!   most of their bases, and their proteins agree codon by codon.

mod last_residues;
mod place;

pub use last_residues::LastResidues;
pub use place::CdsIndex;
