//! Six-frame identification: which readings of a chunk have no stop, as VirNucPro finds them.
//!
//! A chunk is put in upper case and read in its six frames under the standard code. Frames without
//! a stop are candidates: each gives a protein and the nucleotides that go with it. Two habits of
//! VirNucPro are kept, because its classifiers were trained with them:
//!
//! - A codon with anything but `ACGT` is left out, not written `X`: the protein gets shorter. The
//!   reverse complement leaves such letters as they are.
//! - The nucleotides of a frame begin at its first base and are 3 · residues + 1 long, one base
//!   too many where there is one; a left-out codon shortens them at the end.
//!
//! Names are the chunk's and `F1` to `F3` or `R1` to `R3`.

mod references;
mod run;
mod scanner;

pub use references::ReferenceProteins;
pub use run::{Counts, Outputs, run, run_batches};
pub use scanner::{FrameScanner, OpenFrame, translate_known_codons};
