//! The rule of schema 2.0: equal ends of the proteins.

use std::collections::HashSet;

/// How many residues at the end are compared; a shorter protein is compared whole.
const COMPARED: usize = 10;

/// The ends of annotated proteins.
///
/// # Examples
///
/// ```
/// use sessile_seq::cds_match::LastResidues;
///
/// let ends: LastResidues = ["MKTAYIAKQRQISFVK", "MSHORT*"].into_iter().collect();
/// assert!(ends.matches(b"VVVVAKQRQISFVK*"));
/// assert!(!ends.matches(b"VVVVAKQRQISFVR*"));
/// assert!(ends.matches(b"MSHORT") && !ends.matches(b"KMSHORT"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct LastResidues {
    ends: HashSet<Vec<u8>>,
}

impl LastResidues {
    /// Whether the protein of an ORF ends like an annotated one; stops at the ends do not count.
    pub fn matches(&self, protein: &[u8]) -> bool {
        !protein.is_empty() && self.ends.contains(end(protein))
    }
}

impl<P: AsRef<[u8]>> Extend<P> for LastResidues {
    fn extend<I: IntoIterator<Item = P>>(&mut self, proteins: I) {
        for protein in proteins {
            // A CDS without a translation matches nothing.
            if !protein.as_ref().is_empty() {
                self.ends.insert(end(protein.as_ref()).to_vec());
            }
        }
    }
}

impl<P: AsRef<[u8]>> FromIterator<P> for LastResidues {
    fn from_iter<I: IntoIterator<Item = P>>(proteins: I) -> Self {
        let mut ends = Self::default();
        ends.extend(proteins);
        ends
    }
}

fn end(protein: &[u8]) -> &[u8] {
    let stops = protein.iter().rev().take_while(|&&r| r == b'*').count();
    let residues = &protein[..protein.len() - stops];
    &residues[residues.len().saturating_sub(COMPARED)..]
}
