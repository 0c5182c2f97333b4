//! Where a feature lies: spans on one or both strands, in the order in which they are read.

use gb_io::seq::{After, Before, Location as GbLocation};

use crate::error::{Error, ErrorKind, Result};
use crate::nucleotide::reverse_complement;
use crate::reading_frame::Strand;

/// The deepest nesting of brackets that a location may have; real ones have two or three.
const MAX_DEPTH: usize = 16;

/// The most digits of a position: more could overflow in arithmetic, and no genome needs them.
const MAX_DIGITS: usize = 15;

/// A stretch of bases on one strand.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Span {
    /// The first base on the plus strand, 0-based.
    pub start: usize,
    /// One past the last base on the plus strand.
    pub end: usize,
    /// The strand that the feature is read on.
    pub strand: Strand,
    /// The feature begins before `start` (written `<`).
    pub open_start: bool,
    /// The feature goes on behind `end` (written `>`).
    pub open_end: bool,
}

/// The spans of a feature, in reading order.
///
/// `complement(join(1..3,7..9))` reads 7..9 first, on the minus strand.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Location {
    spans: Vec<Span>,
}

impl Location {
    /// The spans, in reading order; never empty.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The only span, unless the location is joined from several.
    pub fn single(&self) -> Option<Span> {
        match self.spans[..] {
            [span] => Some(span),
            _ => None,
        }
    }

    /// The bases of the feature in reading order, on the strand that is read.
    ///
    /// # Examples
    ///
    /// ```
    /// let text = b"LOCUS       TOY 9 bp
    /// FEATURES             Location/Qualifiers
    ///      CDS             complement(join(1..3,7..9))
    /// ORIGIN
    ///         1 atgaaacgt
    /// //
    /// ";
    /// let record = sessile_seq::genbank::Reader::new(&text[..]).next().unwrap()?;
    /// let location = &record.cds[0].location;
    /// assert_eq!(location.extract(&record.sequence)?, b"ACGCAT");
    /// assert_eq!((location.spans()[0].start, location.single()), (6, None));
    /// # Ok::<(), sessile_seq::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidFeature`] when a span ends behind the sequence.
    pub fn extract(&self, sequence: &[u8]) -> Result<Vec<u8>> {
        let mut bases = Vec::new();
        for span in &self.spans {
            let Some(part) = sequence.get(span.start..span.end) else {
                return Err(self.outside(sequence.len()));
            };
            match span.strand {
                Strand::Plus => bases.extend_from_slice(part),
                Strand::Minus => bases.extend(reverse_complement(part)),
            }
        }
        Ok(bases)
    }

    /// Refuses a location that ends behind a sequence of `length` bases.
    pub(super) fn check_within(&self, length: usize) -> Result<()> {
        if self.spans.iter().all(|span| span.end <= length) {
            Ok(())
        } else {
            Err(self.outside(length))
        }
    }

    fn outside(&self, length: usize) -> Error {
        let end = self.spans.iter().map(|span| span.end).max().unwrap_or(0);
        let message = format!("the feature ends at base {end} of a sequence of {length} bases");
        Error::new(ErrorKind::InvalidFeature, message)
    }

    /// Takes over what gb-io read.
    pub(super) fn from_gb(location: &GbLocation) -> Result<Self> {
        let mut spans = Vec::new();
        collect(location, Strand::Plus, &mut spans)?;
        if spans.is_empty() {
            return Err(invalid("the location is empty"));
        }
        Ok(Self { spans })
    }
}

/// Settles positions that are only known to lie between two, `(365.368)..697`: as Biopython does, a
/// feature begins at the first of them and ends at the last. Other text comes back as it is.
pub(super) fn settle_uncertain(text: &str) -> String {
    let mut settled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('(') {
        settled.push_str(before);
        rest = behind;
        let pair = behind.split_once(')').and_then(|(inner, after)| {
            let (low, high) = inner.split_once('.')?;
            let is_number =
                |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            (is_number(low) && is_number(high)).then_some((low, high, after))
        });
        match pair {
            Some((low, high, after)) => {
                let is_start = after.starts_with("..");
                settled.push_str(if is_start { low } else { high });
                rest = after;
            }
            None => settled.push('('),
        }
    }
    settled.push_str(rest);
    settled
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidFeature, message)
}

/// Checks brackets and numbers before a location is parsed, because the parser calls itself for
/// every bracket and computes with what it reads.
pub(super) fn check_text(text: &str) -> Result<()> {
    let (mut depth, mut digits) = (0_usize, 0_usize);
    for byte in text.bytes() {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        match byte {
            b'(' => depth += 1,
            b')' => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return Err(invalid("the location has a bracket too many")),
            },
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(invalid("the location has too many nested brackets"));
        }
        if digits > MAX_DIGITS {
            return Err(invalid("the location has a position that is too large"));
        }
    }
    match (depth, text.is_empty()) {
        (_, true) => Err(invalid("the feature has no location")),
        (0, _) => Ok(()),
        _ => Err(invalid("the location has an open bracket")),
    }
}

fn collect(location: &GbLocation, strand: Strand, spans: &mut Vec<Span>) -> Result<()> {
    match location {
        GbLocation::Range((start, Before(open_start)), (end, After(open_end))) => {
            let (Ok(start), Ok(end)) = (usize::try_from(*start), usize::try_from(*end)) else {
                return Err(invalid("the location has a position below 1"));
            };
            if start >= end {
                return Err(invalid("the location ends before it starts"));
            }
            spans.push(Span {
                start,
                end,
                strand,
                open_start: *open_start,
                open_end: *open_end,
            });
            Ok(())
        }
        GbLocation::Complement(inner) => {
            let first = spans.len();
            let other = match strand {
                Strand::Plus => Strand::Minus,
                Strand::Minus => Strand::Plus,
            };
            collect(inner, other, spans)?;
            spans[first..].reverse();
            Ok(())
        }
        // `order` says nothing about joining; as Biopython does, its parts are read in turn.
        GbLocation::Join(parts) | GbLocation::Order(parts) => parts
            .iter()
            .try_for_each(|part| collect(part, strand, spans)),
        GbLocation::External(_, Some(_)) => Err(invalid("the feature lies on another record")),
        GbLocation::External(_, None) => Err(invalid("the location cannot be understood")),
        GbLocation::Between(..)
        | GbLocation::Bond(_)
        | GbLocation::OneOf(_)
        | GbLocation::Gap(_) => Err(invalid("the location is no stretch of bases")),
    }
}
