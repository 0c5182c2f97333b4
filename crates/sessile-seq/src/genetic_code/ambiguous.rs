//! Codons with IUPAC codes, read by what they can stand for.

use super::{GeneticCode, STOP, UNKNOWN_RESIDUE};

/// Residues that a letter of proteins stands for together.
const SHARED_LETTERS: [(&[u8], u8); 3] = [(b"DN", b'B'), (b"EQ", b'Z'), (b"IL", b'J')];

/// The bases of an IUPAC code, one bit each in the order `ACGT`; 0 for other letters.
fn bases(letter: u8) -> u8 {
    match letter.to_ascii_uppercase() {
        b'A' => 0b0001,
        b'C' => 0b0010,
        b'G' => 0b0100,
        b'T' | b'U' => 0b1000,
        b'R' => 0b0101,
        b'Y' => 0b1010,
        b'S' => 0b0110,
        b'W' => 0b1001,
        b'K' => 0b1100,
        b'M' => 0b0011,
        b'B' => 0b1110,
        b'D' => 0b1101,
        b'H' => 0b1011,
        b'V' => 0b0111,
        b'N' => 0b1111,
        _ => 0,
    }
}

fn each_base(letter: u8) -> impl Iterator<Item = u8> + Clone {
    let set = bases(letter);
    (0..4).filter_map(move |bit| (set & (1 << bit) != 0).then_some(b"ACGT"[bit]))
}

impl GeneticCode {
    /// Translates whole codons, those with IUPAC codes by all codons that they stand for: `GCN` is
    /// `A`, `TAR` a stop, `RAY` is `B`, and `NNN` or a codon that may be a stop or a residue (`TAN`)
    /// is `X`. These are the rules of Biopython's `Seq.translate` (1.88); [`Self::translate`] reads
    /// every such codon as `X`.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::genetic_code::GeneticCode;
    ///
    /// let code = GeneticCode::STANDARD;
    /// assert_eq!(code.translate_ambiguous(b"GCNUARRAYSARMTTTANNNNCTNA"), b"A*BZJXXL");
    /// ```
    pub fn translate_ambiguous(self, sequence: &[u8]) -> Vec<u8> {
        let (codons, _) = sequence.as_chunks::<3>();
        codons
            .iter()
            .map(|&codon| self.residue_of_all(codon))
            .collect()
    }

    fn residue_of_all(self, codon: [u8; 3]) -> u8 {
        let [first, second, third] = codon.map(each_base);
        let mut seen: Vec<u8> = first
            .flat_map(|a| second.clone().map(move |b| (a, b)))
            .flat_map(|(a, b)| third.clone().map(move |c| self.residue([a, b, c])))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        match seen[..] {
            [residue] => residue,
            [] => UNKNOWN_RESIDUE,
            _ if seen.contains(&STOP) => UNKNOWN_RESIDUE,
            _ => (SHARED_LETTERS.iter())
                .find(|(residues, _)| *residues == seen)
                .map_or(UNKNOWN_RESIDUE, |&(_, letter)| letter),
        }
    }
}
