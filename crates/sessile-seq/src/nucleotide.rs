//! Bases, their complements and the number that stands for a base in a codon.

/// The code of anything but `ACGTU`.
pub(crate) const AMBIGUOUS: u8 = 4;

/// A 0, C 1, G 2, T and U 3, everything else [`AMBIGUOUS`]; case does not matter.
///
/// With these numbers the complement of an unambiguous base is 3 minus its code.
pub(crate) const fn base_code(base: u8) -> u8 {
    BASE_CODES[base as usize]
}

static BASE_CODES: [u8; 256] = {
    let mut codes = [AMBIGUOUS; 256];
    let bases = *b"ACGTU";
    let mut i = 0;
    while i < bases.len() {
        let code = if i == 4 { 3 } else { i as u8 };
        codes[bases[i] as usize] = code;
        codes[bases[i].to_ascii_lowercase() as usize] = code;
        i += 1;
    }
    codes
};

static COMPLEMENTS: [u8; 256] = {
    let mut complements = [0; 256];
    let mut i = 0;
    while i < 256 {
        complements[i] = i as u8;
        i += 1;
    }
    let (from, to) = (*b"ACGTURYKMBVDH", *b"TGCAAYRMKVBHD");
    let mut i = 0;
    while i < from.len() {
        complements[from[i] as usize] = to[i];
        complements[from[i].to_ascii_lowercase() as usize] = to[i].to_ascii_lowercase();
        i += 1;
    }
    complements
};

/// The complement of an IUPAC code, in its case; `U` becomes `A`, other bytes stay.
///
/// Codes after Cornish-Bowden 1985, <https://doi.org/10.1093/nar/13.9.3021>.
///
/// # Examples
///
/// ```
/// use sessile_seq::nucleotide::complement;
///
/// assert_eq!([b'A', b'g', b'R', b'N', b'-'].map(complement), [b'T', b'c', b'Y', b'N', b'-']);
/// ```
pub fn complement(base: u8) -> u8 {
    COMPLEMENTS[usize::from(base)]
}

/// The other strand, read in its own direction, as DNA.
///
/// # Examples
///
/// ```
/// use sessile_seq::nucleotide::reverse_complement;
///
/// assert_eq!(reverse_complement(b"ATGcRN-"), b"-NYgCAT");
/// ```
pub fn reverse_complement(sequence: &[u8]) -> Vec<u8> {
    sequence
        .iter()
        .rev()
        .map(|&base| complement(base))
        .collect()
}

/// Writes RNA as DNA: `U` becomes `T`, in its case.
///
/// # Examples
///
/// ```
/// let mut bases = *b"AUgu";
/// sessile_seq::nucleotide::rna_to_dna(&mut bases);
/// assert_eq!(&bases, b"ATgt");
/// ```
pub fn rna_to_dna(sequence: &mut [u8]) {
    for base in sequence {
        match base {
            b'U' => *base = b'T',
            b'u' => *base = b't',
            _ => {}
        }
    }
}
