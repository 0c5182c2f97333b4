//! One FASTA record and where it came from.

/// A named sequence, as it stands in the file.
///
/// # Examples
///
/// ```
/// use sessile_seq::fasta::Record;
///
/// let record = Record::new("orf1", "MKT*");
/// assert_eq!((record.id.as_str(), record.sequence.len()), ("orf1", 4));
/// ```
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Record {
    /// The header up to its first blank, without `>`.
    pub id: String,
    /// The rest of the header, without blanks around it; often empty.
    pub description: String,
    /// The residues or bases of all lines, with their case.
    pub sequence: Vec<u8>,
    /// The number of the record in its file, from 1, counting records that failed.
    ///
    /// Unlike the identifier it is unique within the file.
    pub ordinal: u64,
    /// The line of the header in the decompressed file, from 1; 0 for a record made by a program.
    pub line: u64,
}

impl Record {
    /// A record without description or place, for writing.
    pub fn new(id: impl Into<String>, sequence: impl Into<Vec<u8>>) -> Self {
        Self {
            id: id.into(),
            sequence: sequence.into(),
            ..Self::default()
        }
    }

    /// The header line without `>`: the identifier, and the description if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::fasta::Record;
    ///
    /// let mut record = Record::new("orf1", "MKT*");
    /// assert_eq!(record.header(), "orf1");
    /// record.description = "from contig 3".to_owned();
    /// assert_eq!(record.header(), "orf1 from contig 3");
    /// ```
    pub fn header(&self) -> String {
        if self.description.is_empty() {
            self.id.clone()
        } else {
            format!("{} {}", self.id, self.description)
        }
    }

    pub(super) fn clear(&mut self) {
        self.id.clear();
        self.description.clear();
        self.sequence.clear();
        self.ordinal = 0;
        self.line = 0;
    }
}
