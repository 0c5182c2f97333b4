//! One GenBank record.

use super::Cds;
use crate::error::Error;

/// A sequence with its coding sequences.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Record {
    /// The accession with its version, else the accession, else the locus name.
    pub id: String,
    /// The locus name.
    pub name: String,
    /// The definition on one line.
    pub definition: String,
    /// Whether the molecule is a circle.
    pub circular: bool,
    /// The genetic code that the `source` feature says; rare.
    pub transl_table: Option<u8>,
    /// The bases in upper case; never empty.
    pub sequence: Vec<u8>,
    /// The coding sequences in the order of the file.
    pub cds: Vec<Cds>,
    /// The features that could not be used, and why; at most [`Record::MAX_ISSUES`].
    pub issues: Vec<Error>,
    /// The number of the record in its file, from 1, counting records that failed.
    pub ordinal: u64,
    /// The line of its `LOCUS` in the decompressed file, from 1.
    pub line: u64,
}

impl Record {
    /// The most issues that are kept for one record.
    pub const MAX_ISSUES: usize = 1_000;

    pub(super) fn note(&mut self, issue: Error) {
        if self.issues.len() < Self::MAX_ISSUES {
            self.issues.push(issue);
        }
    }
}
