//! The rule of schema 2.2: place, phase and residues.

use std::ops::Range;

use crate::alphabet::Alphabet;
use crate::error::{Error, Result};
use crate::genbank::Record;
use crate::genetic_code::{GeneticCode, UNKNOWN_RESIDUE};
use crate::orf::Orf;
use crate::reading_frame::Strand;

/// The CDS of one record, ready to be compared with its ORFs.
///
/// An ORF matches a CDS when
///
/// 1. they lie on one strand and in one codon phase: their first bases (on the minus strand: their
///    last bases on the plus strand) are equal modulo 3. `codon_start` shifts the CDS;
/// 2. they share at least 90 % of the bases of the shorter one;
/// 3. at the shared codons, compared without gaps, both proteins have a residue at all but at most
///    one codon, and at least 98 % of those agree. `X` agrees with every letter. One `*` at the end
///    is dropped; a protein with another `*` matches nothing.
///
/// A CDS that is joined from several spans is left out. Its protein is the `/translation` of the
/// record, else translated with its own genetic code, else the record's, else the run's.
///
/// # Examples
///
/// ```
/// use sessile_seq::cds_match::CdsIndex;
/// use sessile_seq::genbank::Reader;
/// use sessile_seq::genetic_code::GeneticCode;
/// use sessile_seq::orf::OrfFinder;
///
/// let text = b"LOCUS       TOY 15 bp DNA
/// FEATURES             Location/Qualifiers
///      CDS             1..12
/// ORIGIN
///         1 atgaaaccct aaggg
/// //
/// ";
/// let record = Reader::new(&text[..]).next().unwrap()?;
/// let (index, issues) = CdsIndex::new(&record, GeneticCode::STANDARD);
/// let orfs = OrfFinder::new(GeneticCode::STANDARD).find(&record.sequence);
/// let matching: Vec<_> = orfs.iter().filter(|orf| index.matches(orf)).collect();
/// assert_eq!(matching[0].protein(), b"MKP*");
/// assert!(matching.len() == 1 && issues.is_empty());
/// # Ok::<(), sessile_seq::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CdsIndex {
    length: usize,
    /// By strand and phase, each sorted by start.
    groups: [Vec<Placed>; 6],
    /// The length of the longest CDS: how far before an ORF one may begin and still reach it.
    longest: usize,
}

/// A protein at its place on the plus strand.
#[derive(Clone, Debug)]
struct Placed {
    span: Range<usize>,
    residues: Vec<u8>,
}

impl CdsIndex {
    /// Collects the CDS of a record; those without a usable protein come back as errors.
    pub fn new(record: &Record, run_code: GeneticCode) -> (Self, Vec<Error>) {
        let mut index = Self {
            length: record.sequence.len(),
            groups: Default::default(),
            longest: 0,
        };
        let mut issues = Vec::new();
        let fallback = record.transl_table.map_or(Ok(run_code), GeneticCode::of);
        for cds in &record.cds {
            let Some(mut span) = cds.location.single() else {
                continue;
            };
            let protein = match (&cds.translation, &fallback) {
                (Some(translation), _) => Ok(translation.clone().into_bytes()),
                (None, Ok(code)) => cds.translate(&record.sequence, *code),
                // Only a CDS with a code of its own can do without the record's.
                (None, Err(_)) => translate_alone(cds, record),
            };
            let protein = match protein {
                Ok(protein) => protein,
                Err(error) => {
                    issues.push(
                        error
                            .in_record(record.ordinal, &record.id)
                            .at_line(cds.line),
                    );
                    continue;
                }
            };
            let shift = usize::from(cds.codon_start.saturating_sub(1));
            match span.strand {
                Strand::Plus => span.start += shift,
                Strand::Minus => span.end = span.end.saturating_sub(shift),
            }
            if let Some(residues) = comparable(&protein)
                && span.start < span.end
            {
                let placed = Placed {
                    span: span.start..span.end,
                    residues: residues.to_vec(),
                };
                index.longest = index.longest.max(placed.span.len());
                index.groups[group(&placed.span, span.strand)].push(placed);
            }
        }
        for placed in &mut index.groups {
            placed.sort_by_key(|cds| cds.span.start);
        }
        (index, issues)
    }

    /// Whether an ORF of the record's sequence belongs to one of the CDS.
    pub fn matches(&self, orf: &Orf<'_>) -> bool {
        let strand = orf.frame().strand();
        let Some(span) = self.genomic(orf) else {
            return false;
        };
        let Some(residues) = comparable(orf.protein()) else {
            return false;
        };
        let group = &self.groups[group(&span, strand)];
        let earliest = span.start.saturating_sub(self.longest);
        let first = group.partition_point(|cds| cds.span.start < earliest);
        group[first..]
            .iter()
            .take_while(|cds| cds.span.start < span.end)
            .any(|cds| agree(&span, residues, cds, strand))
    }

    /// The bases of an ORF on the plus strand, 0-based.
    ///
    /// An ORF that is open at the end of the minus strand has no such place, because its `end`
    /// lies behind the sequence.
    fn genomic(&self, orf: &Orf<'_>) -> Option<Range<usize>> {
        match orf.frame().strand() {
            Strand::Plus => Some(orf.start() - 1..orf.end()),
            Strand::Minus => {
                let start = self.length.checked_sub(orf.end())?;
                Some(start..self.length - orf.start() + 1)
            }
        }
    }
}

fn translate_alone(cds: &crate::genbank::Cds, record: &Record) -> Result<Vec<u8>> {
    let id = cds.transl_table.or(record.transl_table).unwrap_or(0);
    cds.translate(&record.sequence, GeneticCode::of(id)?)
}

/// Strand and phase as a number below 6.
fn group(span: &Range<usize>, strand: Strand) -> usize {
    match strand {
        Strand::Plus => span.start % 3,
        Strand::Minus => 3 + span.end % 3,
    }
}

/// The residues without one `*` at the end, unless another `*` is left.
fn comparable(protein: &[u8]) -> Option<&[u8]> {
    let residues = protein.strip_suffix(b"*").unwrap_or(protein);
    (!residues.contains(&b'*')).then_some(residues)
}

fn agree(span: &Range<usize>, residues: &[u8], cds: &Placed, strand: Strand) -> bool {
    let start = span.start.max(cds.span.start);
    let end = span.end.min(cds.span.end);
    let shared = end.saturating_sub(start);
    let shorter = span.len().min(cds.span.len());
    // Shared bases of at least 90 % of the shorter.
    if shared == 0 || shared * 10 < shorter * 9 {
        return false;
    }
    let (orf_skipped, cds_skipped) = match strand {
        Strand::Plus => (start - span.start, start - cds.span.start),
        Strand::Minus => (span.end - end, cds.span.end - end),
    };
    let codons = shared / 3;
    let orf_residues = residues.get(orf_skipped / 3..).unwrap_or_default();
    let cds_residues = cds.residues.get(cds_skipped / 3..).unwrap_or_default();
    let pairs = orf_residues.iter().zip(cds_residues).take(codons);
    let (compared, equal) = pairs.fold((0_usize, 0_usize), |(compared, equal), (&a, &b)| {
        (compared + 1, equal + usize::from(compatible(a, b)))
    });
    // All but one codon compared, 98 % of them equal.
    compared > 0 && compared + 1 >= codons && equal * 100 >= compared * 98
}

fn compatible(a: u8, b: u8) -> bool {
    let (a, b) = (a.to_ascii_uppercase(), b.to_ascii_uppercase());
    let valid = |residue| Alphabet::PROTEIN_IUPAC.contains(residue);
    valid(a) && valid(b) && (a == b || a == UNKNOWN_RESIDUE || b == UNKNOWN_RESIDUE)
}
