//! The proteins of a genome's annotation, to be searched for parts.

use memchr::memmem;

/// Stands between two proteins; no residue is a line break.
const SEPARATOR: u8 = b'\n';

/// Reference proteins of one record.
///
/// # Examples
///
/// ```
/// use sessile_seq::six_frame::ReferenceProteins;
///
/// let references: ReferenceProteins = ["MKTAY", "IAKQR"].into_iter().collect();
/// assert!(references.contain(b"KTA") && references.contain(b"KQR"));
/// assert!(!references.contain(b"AYIA"), "not across two proteins");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReferenceProteins {
    text: Vec<u8>,
}

impl ReferenceProteins {
    /// Whether one of the proteins has `part` in it.
    ///
    /// An empty part is in every protein, but in none when there are no proteins.
    pub fn contain(&self, part: &[u8]) -> bool {
        !self.text.is_empty() && memmem::find(&self.text, part).is_some()
    }
}

impl<P: AsRef<[u8]>> FromIterator<P> for ReferenceProteins {
    fn from_iter<I: IntoIterator<Item = P>>(proteins: I) -> Self {
        let mut text = Vec::new();
        for protein in proteins {
            text.extend_from_slice(protein.as_ref());
            text.push(SEPARATOR);
        }
        Self { text }
    }
}
