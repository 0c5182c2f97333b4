//! The six ways to read a nucleotide sequence in codons.

use std::fmt;

/// One of the two strands of a nucleic acid.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Strand {
    /// The strand that the file shows.
    Plus,
    /// Its reverse complement.
    Minus,
}

impl fmt::Display for Strand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plus => "+",
            Self::Minus => "-",
        })
    }
}

/// A strand and the base, 1 to 3, at which its first codon begins.
///
/// Minus frames count from the first base of the reverse complement.
///
/// # Examples
///
/// ```
/// use sessile_seq::reading_frame::{ReadingFrame, Strand};
///
/// let names = ReadingFrame::ALL.map(|frame| frame.to_string());
/// assert_eq!(names, ["+1", "+2", "+3", "-1", "-2", "-3"]);
/// assert_eq!(ReadingFrame::new(Strand::Minus, 3).map(|f| f.number()), Some(3));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReadingFrame {
    strand: Strand,
    number: u8,
}

impl ReadingFrame {
    /// All six, in the customary order: +1 +2 +3 -1 -2 -3.
    pub const ALL: [Self; 6] = {
        let mut all = [Self {
            strand: Strand::Plus,
            number: 1,
        }; 6];
        let mut i = 0;
        while i < 6 {
            all[i].number = i as u8 % 3 + 1;
            if i >= 3 {
                all[i].strand = Strand::Minus;
            }
            i += 1;
        }
        all
    };

    /// The frame of a strand and a number from 1 to 3.
    pub fn new(strand: Strand, number: u8) -> Option<Self> {
        (1..=3).contains(&number).then_some(Self { strand, number })
    }

    /// The strand that is read.
    pub fn strand(self) -> Strand {
        self.strand
    }

    /// The base of the strand at which the first codon begins, from 1.
    pub fn number(self) -> u8 {
        self.number
    }

    /// The bases of the strand before the first codon: 0, 1 or 2.
    pub fn offset(self) -> usize {
        usize::from(self.number) - 1
    }
}

impl fmt::Display for ReadingFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.strand, self.number)
    }
}
