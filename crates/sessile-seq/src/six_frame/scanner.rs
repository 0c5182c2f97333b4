//! Reading one chunk in six frames, with memory that is used again.

use memchr::memchr;

use super::ReferenceProteins;
use crate::genetic_code::{GeneticCode, STOP, UNKNOWN_RESIDUE};
use crate::nucleotide::AMBIGUOUS;
use crate::reading_frame::{ReadingFrame, Strand};

/// The ambiguity codes of DNA: training leaves out a chunk that has one.
const AMBIGUITY_CODES: &[u8; 11] = b"NRYMKSWHBVD";

/// The codes of upper-case `ACGT`; every other byte is ambiguous, `U` and lower case included.
static STRICT_CODES: [u8; 256] = {
    let mut codes = [AMBIGUOUS; 256];
    codes[b'A' as usize] = 0;
    codes[b'C' as usize] = 1;
    codes[b'G' as usize] = 2;
    codes[b'T' as usize] = 3;
    codes
};

/// Translates a frame under the standard code, leaving out codons that are not upper-case `ACGT`.
///
/// # Examples
///
/// ```
/// use sessile_seq::reading_frame::ReadingFrame;
/// use sessile_seq::six_frame::translate_known_codons;
///
/// let [first, ..] = ReadingFrame::ALL;
/// assert_eq!(translate_known_codons(b"ATGNAATTTCC", first), b"MF");
/// ```
pub fn translate_known_codons(sequence: &[u8], frame: ReadingFrame) -> Vec<u8> {
    let codes: Vec<u8> = sequence
        .iter()
        .map(|&base| STRICT_CODES[usize::from(base)])
        .collect();
    let mut residues = Vec::new();
    GeneticCode::STANDARD.translate_codes(&codes, frame, &mut residues);
    residues.retain(|&residue| residue != UNKNOWN_RESIDUE);
    residues
}

/// Finds the open frames of one chunk after the other.
///
/// # Examples
///
/// ```
/// use sessile_seq::six_frame::FrameScanner;
///
/// let mut scanner = FrameScanner::new();
/// let found: Vec<_> = scanner
///     .scan(b"taatagtga")
///     .map(|open| (open.suffix(), open.protein.to_vec(), open.nucleotide.to_vec()))
///     .collect();
/// assert_eq!(found[0], ("F2", b"NS".to_vec(), b"AATAGTG".to_vec()));
/// assert_eq!(found.len(), 5);
/// ```
#[derive(Clone, Debug, Default)]
pub struct FrameScanner {
    bases: Vec<u8>,
    codes: Vec<u8>,
    reverse: Vec<u8>,
    proteins: [Vec<u8>; 6],
    open: [bool; 6],
}

/// A frame without a stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenFrame<'a> {
    /// The frame.
    pub frame: ReadingFrame,
    /// The bases that go with the protein, in upper case, on the strand that is read.
    pub nucleotide: &'a [u8],
    /// The residues; empty when no codon could be read. VirNucPro's files leave those out.
    pub protein: &'a [u8],
}

impl OpenFrame<'_> {
    /// What is added to the name of the chunk: `F1` to `R3`.
    pub fn suffix(&self) -> &'static str {
        match (self.frame.strand(), self.frame.number()) {
            (Strand::Plus, 1) => "F1",
            (Strand::Plus, 2) => "F2",
            (Strand::Plus, _) => "F3",
            (Strand::Minus, 1) => "R1",
            (Strand::Minus, 2) => "R2",
            (Strand::Minus, _) => "R3",
        }
    }
}

impl FrameScanner {
    /// A scanner without memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frames without a stop, in the order F1 F2 F3 R1 R2 R3.
    pub fn scan(&mut self, chunk: &[u8]) -> impl Iterator<Item = OpenFrame<'_>> {
        self.read(chunk);
        self.found()
    }

    /// The open frames whose protein is a part of a reference protein, for training sets.
    ///
    /// Returns `None` for a chunk with an ambiguity code, which VirNucPro leaves out whole.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::six_frame::{FrameScanner, ReferenceProteins};
    ///
    /// let references: ReferenceProteins = ["MAAVIYH"].into_iter().collect();
    /// let mut scanner = FrameScanner::new();
    /// let found: Vec<_> = scanner
    ///     .scan_for_training(b"GCGGCAGTA", &references)
    ///     .into_iter()
    ///     .flatten()
    ///     .map(|open| open.protein.to_vec())
    ///     .collect();
    /// assert_eq!(found, [b"AAV"]);
    /// assert!(scanner.scan_for_training(b"GCGNCAGTA", &references).is_none());
    /// ```
    pub fn scan_for_training(
        &mut self,
        chunk: &[u8],
        references: &ReferenceProteins,
    ) -> Option<impl Iterator<Item = OpenFrame<'_>>> {
        let ambiguous = |base: &u8| AMBIGUITY_CODES.contains(&base.to_ascii_uppercase());
        if chunk.iter().any(ambiguous) {
            return None;
        }
        self.read(chunk);
        for (open, protein) in self.open.iter_mut().zip(&self.proteins) {
            *open &= references.contain(protein);
        }
        Some(self.found())
    }

    fn read(&mut self, chunk: &[u8]) {
        self.bases.clear();
        self.bases.extend(chunk.iter().map(u8::to_ascii_uppercase));
        self.codes.clear();
        let codes = self
            .bases
            .iter()
            .map(|&base| STRICT_CODES[usize::from(base)]);
        self.codes.extend(codes);
        let all_known = !self.codes.contains(&AMBIGUOUS);
        for (index, frame) in ReadingFrame::ALL.into_iter().enumerate() {
            let protein = &mut self.proteins[index];
            GeneticCode::STANDARD.translate_codes(&self.codes, frame, protein);
            self.open[index] = memchr(STOP, protein).is_none();
            if self.open[index] && !all_known {
                protein.retain(|&residue| residue != UNKNOWN_RESIDUE);
            }
        }
        self.reverse.clear();
        if self.open[3..].contains(&true) {
            let complements = self.bases.iter().rev().map(|&base| match base {
                b'A' => b'T',
                b'C' => b'G',
                b'G' => b'C',
                b'T' => b'A',
                other => other,
            });
            self.reverse.extend(complements);
        }
    }

    fn found(&self) -> impl Iterator<Item = OpenFrame<'_>> {
        let frames = ReadingFrame::ALL.into_iter().zip(&self.proteins);
        frames
            .zip(self.open)
            .filter(|&(_, open)| open)
            .map(|((frame, protein), _)| {
                let strand = match frame.strand() {
                    Strand::Plus => &self.bases,
                    Strand::Minus => &self.reverse,
                };
                let start = frame.offset().min(strand.len());
                let end = (usize::from(frame.number()) + 3 * protein.len()).min(strand.len());
                OpenFrame {
                    frame,
                    nucleotide: &strand[start..end],
                    protein,
                }
            })
    }
}
