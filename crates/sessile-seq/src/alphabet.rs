//! Which letters a sequence may hold, and where it breaks the rule.
//!
//! The readers keep every printable byte, because models differ in what they understand. A caller
//! that needs DNA or protein asks here. Letters stand for the IUPAC-IUB codes (Cornish-Bowden 1985,
//! <https://doi.org/10.1093/nar/13.9.3021>; IUPAC-IUB JCBN 1984); case does not matter.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// A set of letters.
///
/// # Examples
///
/// ```
/// use sessile_seq::alphabet::Alphabet;
///
/// assert!(Alphabet::PROTEIN.check(b"MKTAYIAK").is_ok());
/// let found = Alphabet::DNA.check(b"ACGTNN").unwrap_err();
/// assert_eq!((found.symbol, found.position), (b'N', 4));
/// assert_eq!(found.to_string(), "'N' at position 5 is not one of the four bases of DNA");
/// ```
#[derive(Clone, Copy)]
pub struct Alphabet {
    name: &'static str,
    letters: &'static [u8],
    holds: [bool; 256],
}

impl Alphabet {
    /// `ACGT`.
    pub const DNA: Self = Self::new("one of the four bases of DNA", b"ACGT");
    /// `ACGT` and the ambiguity codes `RYSWKMBDHVN`.
    pub const DNA_IUPAC: Self = Self::new("an IUPAC code of DNA", b"ACGTRYSWKMBDHVN");
    /// `ACGTU` and the ambiguity codes.
    pub const NUCLEIC_IUPAC: Self = Self::new("an IUPAC code of DNA or RNA", b"ACGTURYSWKMBDHVN");
    /// The twenty standard amino acids.
    pub const PROTEIN: Self = Self::new(
        "one of the twenty standard amino acids",
        b"ACDEFGHIKLMNPQRSTVWY",
    );
    /// The twenty, the ambiguous `B J X Z`, selenocysteine `U` and pyrrolysine `O`.
    pub const PROTEIN_IUPAC: Self = Self::new(
        "an IUPAC code of an amino acid",
        b"ACDEFGHIKLMNPQRSTVWYBJXZUO",
    );
    /// [`Alphabet::PROTEIN_IUPAC`] and `*` for a stop.
    pub const TRANSLATION: Self = Self::new(
        "an IUPAC code of an amino acid or a stop '*'",
        b"ACDEFGHIKLMNPQRSTVWYBJXZUO*",
    );

    /// An alphabet of a caller's own; `name` completes "is not …", `letters` are upper-case.
    pub const fn new(name: &'static str, letters: &'static [u8]) -> Self {
        let mut holds = [false; 256];
        let mut i = 0;
        while i < letters.len() {
            holds[letters[i].to_ascii_uppercase() as usize] = true;
            holds[letters[i].to_ascii_lowercase() as usize] = true;
            i += 1;
        }
        Self {
            name,
            letters,
            holds,
        }
    }

    /// The upper-case letters.
    pub fn letters(&self) -> &'static [u8] {
        self.letters
    }

    /// Whether a letter (of either case) belongs to it.
    pub fn contains(&self, symbol: u8) -> bool {
        self.holds[usize::from(symbol)]
    }

    /// Finds the first symbol that does not belong.
    ///
    /// # Errors
    ///
    /// The symbol and its place.
    pub fn check(&self, sequence: &[u8]) -> Result<(), UnexpectedSymbol> {
        match sequence.iter().position(|&symbol| !self.contains(symbol)) {
            None => Ok(()),
            Some(position) => Err(UnexpectedSymbol {
                symbol: sequence[position],
                position,
                wanted: self.name,
            }),
        }
    }
}

impl fmt::Debug for Alphabet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alphabet({})", String::from_utf8_lossy(self.letters))
    }
}

/// A symbol outside an alphabet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UnexpectedSymbol {
    /// The byte as it stands in the sequence.
    pub symbol: u8,
    /// Its offset in the sequence, from 0.
    pub position: usize,
    wanted: &'static str,
}

impl fmt::Display for UnexpectedSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol = char::from(self.symbol).escape_default();
        let position = self.position + 1;
        write!(
            f,
            "'{symbol}' at position {position} is not {}",
            self.wanted
        )
    }
}

impl std::error::Error for UnexpectedSymbol {}

impl UnexpectedSymbol {
    /// The same as an error of a FASTA record, with its place in the file.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::alphabet::Alphabet;
    /// use sessile_seq::fasta::Record;
    ///
    /// let record = Record::new("p1", "ACGTE");
    /// let found = Alphabet::DNA_IUPAC.check(&record.sequence).unwrap_err();
    /// let error = found.in_record(&record, "reads.fa");
    /// assert_eq!(error.message(), "'E' at position 5 is not an IUPAC code of DNA");
    /// ```
    pub fn in_record(self, record: &crate::fasta::Record, file: &str) -> Error {
        Error::new(ErrorKind::UnexpectedSymbol, self.to_string())
            .in_file(file)
            .in_record(record.ordinal, &record.id)
            .at_line(record.line)
            .for_record_only()
    }
}
