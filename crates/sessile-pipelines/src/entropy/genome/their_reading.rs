//! The letters of ORFs as genome_entropy 0.3.0 has them.
//!
//! It finds ORFs with get_orfs, cuts their bases out of the record itself, and translates these
//! anew: with pygenetic_code where there are the four bases only, else with Biopython. Its reverse
//! complement leaves every letter but the four bases as it is.

use std::borrow::Cow;

use sessile_seq::genetic_code::{GeneticCode, STOP};
use sessile_seq::orf::Orf;
use sessile_seq::reading_frame::Strand;

/// A record's strands as genome_entropy reads them.
pub(super) struct TheirReading<'s> {
    plus: &'s [u8],
    minus: Vec<u8>,
    code: GeneticCode,
}

impl<'s> TheirReading<'s> {
    /// Of a sequence in upper case.
    pub(super) fn of(sequence: &'s [u8], code: GeneticCode) -> Self {
        let complement = |&base: &u8| match base {
            b'A' => b'T',
            b'C' => b'G',
            b'G' => b'C',
            b'T' => b'A',
            other => other,
        };
        TheirReading {
            plus: sequence,
            minus: sequence.iter().rev().map(complement).collect(),
            code,
        }
    }

    /// The bases of an ORF, and its residues without one `*` at the end.
    pub(super) fn letters(&self, orf: &Orf<'_>) -> (Cow<'_, [u8]>, Cow<'_, [u8]>) {
        let strand = match orf.frame().strand() {
            Strand::Plus => self.plus,
            Strand::Minus => &self.minus[..],
        };
        let bases = &strand[orf.start() - 1..orf.end().min(strand.len())];
        let mut residues = self.code.translate_ambiguous(bases);
        if residues.last() == Some(&STOP) {
            residues.pop();
        }
        (Cow::Borrowed(bases), Cow::Owned(residues))
    }
}
