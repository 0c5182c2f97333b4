//! Genetic codes: which amino acid, start or stop a codon stands for.
//!
//! NCBI numbers the codes 1 to 33; 7, 8 and 17 to 20 were withdrawn or never given. In the codes
//! 27, 28 and 31 some codons are a stop or an amino acid depending on their surroundings; as in
//! NCBI's tables they read as the amino acid here, and [`GeneticCode::stops`] lists them too.

mod ambiguous;
mod tables;

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::nucleotide::{AMBIGUOUS, base_code};
use crate::reading_frame::{ReadingFrame, Strand};

/// What a codon with an ambiguous base translates to.
pub const UNKNOWN_RESIDUE: u8 = b'X';

/// The residue letter of a stop codon.
pub const STOP: u8 = b'*';

/// The bases in the order of NCBI's tables.
const NCBI_ORDER: [u8; 4] = *b"TCAG";

/// One of NCBI's genetic codes.
///
/// # Examples
///
/// ```
/// use sessile_seq::genetic_code::GeneticCode;
///
/// let code = GeneticCode::of(11)?;
/// assert_eq!(code.name(), "Bacterial; Archaeal; Plant Plastid");
/// assert_eq!(code.translate(b"ATGaaaUAGNAA"), b"MK*X");
/// assert!(code.is_start(*b"GTG") && code.is_stop(*b"TGA"));
/// assert!(GeneticCode::of(7).is_err());
/// # Ok::<(), sessile_seq::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct GeneticCode(&'static Table);

/// One table, with its translation spread out over every triple of base codes.
struct Table {
    id: u8,
    name: &'static str,
    amino_acids: &'static [u8; 64],
    roles: &'static [u8; 64],
    /// The residue of three base codes read as they stand.
    forward: [u8; 512],
    /// The residue of three base codes of the plus strand read on the minus strand.
    backward: [u8; 512],
}

impl Table {
    const fn new(
        id: u8,
        name: &'static str,
        amino_acids: &'static [u8; 64],
        roles: &'static [u8; 64],
    ) -> Self {
        let mut forward = [UNKNOWN_RESIDUE; 512];
        let mut backward = [UNKNOWN_RESIDUE; 512];
        let mut codon = 0;
        while codon < 64 {
            let first = base_code(NCBI_ORDER[codon / 16]);
            let second = base_code(NCBI_ORDER[codon / 4 % 4]);
            let third = base_code(NCBI_ORDER[codon % 4]);
            forward[triple(first, second, third)] = amino_acids[codon];
            // A and T, C and G are each other's complement: 3 minus the code.
            backward[triple(3 - third, 3 - second, 3 - first)] = amino_acids[codon];
            codon += 1;
        }
        Self {
            id,
            name,
            amino_acids,
            roles,
            forward,
            backward,
        }
    }
}

/// The place of three base codes (0 to 4, three bits each) in a table of 512.
const fn triple(first: u8, second: u8, third: u8) -> usize {
    (((first & 7) as usize) << 6) | (((second & 7) as usize) << 3) | (third & 7) as usize
}

impl GeneticCode {
    /// The standard code, table 1.
    pub const STANDARD: Self = Self(&tables::TABLES[0]);

    /// The code of an NCBI table number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownGeneticCode`] for a number without a table; the hint lists all numbers.
    pub fn of(id: u8) -> Result<Self> {
        match Self::all().find(|code| code.id() == id) {
            Some(code) => Ok(code),
            None => {
                let ids: Vec<_> = Self::all().map(|code| code.id().to_string()).collect();
                let message = format!("NCBI has no genetic code {id}");
                let hint = format!("the codes are {}", ids.join(", "));
                Err(Error::new(ErrorKind::UnknownGeneticCode, message).hinting(hint))
            }
        }
    }

    /// Every code, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        tables::TABLES.iter().map(Self)
    }

    /// NCBI's number.
    pub fn id(self) -> u8 {
        self.0.id
    }

    /// NCBI's name; `; ` stands between several.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The residue of a codon: a letter, [`STOP`], or [`UNKNOWN_RESIDUE`] when a base is none of
    /// `ACGTU` (of either case).
    pub fn residue(self, codon: [u8; 3]) -> u8 {
        let [first, second, third] = codon.map(base_code);
        self.0.forward[triple(first, second, third)]
    }

    /// Whether translation can start at a codon.
    pub fn is_start(self, codon: [u8; 3]) -> bool {
        self.role(codon) == b'M'
    }

    /// Whether a codon always ends translation (see the module for those that sometimes do).
    pub fn is_stop(self, codon: [u8; 3]) -> bool {
        self.residue(codon) == STOP
    }

    /// The codons at which translation can start.
    pub fn starts(self) -> impl Iterator<Item = [u8; 3]> {
        self.codons_of_role(b'M')
    }

    /// The codons that end or can end translation.
    pub fn stops(self) -> impl Iterator<Item = [u8; 3]> {
        self.codons_of_role(b'*')
    }

    /// The 64 amino acids with the bases in the order T, C, A, G, as NCBI prints them.
    pub fn amino_acids(self) -> &'static [u8; 64] {
        self.0.amino_acids
    }

    /// Translates whole codons from the first base; one or two bases left over are not read.
    ///
    /// Stops are written `*` and do not end the translation.
    pub fn translate(self, sequence: &[u8]) -> Vec<u8> {
        sequence
            .as_chunks::<3>()
            .0
            .iter()
            .map(|&codon| self.residue(codon))
            .collect()
    }

    /// Translates one of the six reading frames.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::genetic_code::GeneticCode;
    /// use sessile_seq::reading_frame::ReadingFrame;
    ///
    /// let frames = ReadingFrame::ALL.map(|frame| {
    ///     String::from_utf8(GeneticCode::STANDARD.translate_frame(b"ATGAAATAG", frame))
    /// });
    /// assert_eq!(frames.map(Result::unwrap), ["MK*", "*N", "EI", "LFH", "YF", "IS"]);
    /// ```
    pub fn translate_frame(self, sequence: &[u8], frame: ReadingFrame) -> Vec<u8> {
        let codes: Vec<u8> = sequence.iter().map(|&base| base_code(base)).collect();
        let mut residues = Vec::new();
        self.translate_codes(&codes, frame, &mut residues);
        residues
    }

    /// Translates a frame of base codes into `residues`, replacing what they held.
    ///
    /// The minus strand is read off the plus strand's codes, backwards; no complement is made.
    pub(crate) fn translate_codes(self, codes: &[u8], frame: ReadingFrame, residues: &mut Vec<u8>) {
        let offset = frame.offset().min(codes.len());
        residues.clear();
        match frame.strand() {
            Strand::Plus => {
                let (codons, _) = codes[offset..].as_chunks::<3>();
                let table = &self.0.forward;
                residues.extend(codons.iter().map(|&[a, b, c]| table[triple(a, b, c)]));
            }
            Strand::Minus => {
                let (_, codons) = codes[..codes.len() - offset].as_rchunks::<3>();
                let table = &self.0.backward;
                residues.extend(codons.iter().rev().map(|&[a, b, c]| table[triple(a, b, c)]));
            }
        }
    }

    fn role(self, codon: [u8; 3]) -> u8 {
        let codes = codon.map(base_code);
        if codes.contains(&AMBIGUOUS) {
            return b'-';
        }
        // From A, C, G, T to NCBI's order of the bases.
        let [first, second, third] = codes.map(|code| [2, 1, 3, 0][usize::from(code)]);
        self.0.roles[first * 16 + second * 4 + third]
    }

    fn codons_of_role(self, role: u8) -> impl Iterator<Item = [u8; 3]> {
        (0..64)
            .filter(move |&codon| self.0.roles[codon] == role)
            .map(|codon| [codon / 16, codon / 4 % 4, codon % 4].map(|base| NCBI_ORDER[base]))
    }
}

impl Default for GeneticCode {
    fn default() -> Self {
        Self::STANDARD
    }
}

impl PartialEq for GeneticCode {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for GeneticCode {}

impl fmt::Debug for GeneticCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GeneticCode({}: {})", self.id(), self.name())
    }
}
