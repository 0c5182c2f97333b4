//! An annotated coding sequence.

use gb_io::seq::Feature;

use super::Location;
use crate::error::{Error, ErrorKind, Result};
use crate::genetic_code::GeneticCode;

/// A `CDS` feature.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Cds {
    /// Where it lies; inside the sequence of its record.
    pub location: Location,
    /// The base, 1 to 3, of the location at which the first whole codon begins.
    pub codon_start: u8,
    /// The number of its genetic code, if the record says one.
    pub transl_table: Option<u8>,
    /// The protein that the record gives.
    pub translation: Option<String>,
    /// `/protein_id`
    pub protein_id: Option<String>,
    /// `/locus_tag`
    pub locus_tag: Option<String>,
    /// `/gene`
    pub gene: Option<String>,
    /// `/product`
    pub product: Option<String>,
    /// The line of the feature in the decompressed file, from 1.
    pub line: u64,
}

impl Cds {
    pub(super) fn from_gb(feature: &Feature, line: u64) -> Result<Self> {
        let value = |key| feature.qualifier_values(key).next();
        let text = |key| value(key).map(str::to_owned);
        let codon_start = match value("codon_start") {
            None => 1,
            Some(start) => match start.trim().parse() {
                Ok(start @ 1..=3) => start,
                _ => return Err(not_valid("codon_start", start)),
            },
        };
        Ok(Self {
            location: wrapped_location(feature)?,
            codon_start,
            transl_table: transl_table(feature)?,
            translation: text("translation"),
            protein_id: text("protein_id"),
            locus_tag: text("locus_tag"),
            gene: text("gene"),
            product: text("product"),
            line,
        })
    }

    /// Its genetic code: the one that the record says, else `fallback`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownGeneticCode`] when the record says a number without a table.
    pub fn genetic_code(&self, fallback: GeneticCode) -> Result<GeneticCode> {
        self.transl_table.map_or(Ok(fallback), GeneticCode::of)
    }

    /// Its protein translated from the bases, from `codon_start`, stops written `*`.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::genetic_code::GeneticCode;
    ///
    /// let text = b"LOCUS       TOY 9 bp
    /// FEATURES             Location/Qualifiers
    ///      CDS             1..9
    ///                      /transl_table=4
    /// ORIGIN
    ///         1 atgtgataa
    /// //
    /// ";
    /// let record = sessile_seq::genbank::Reader::new(&text[..]).next().unwrap()?;
    /// let protein = record.cds[0].translate(&record.sequence, GeneticCode::STANDARD)?;
    /// assert_eq!(protein, b"MW*");
    /// # Ok::<(), sessile_seq::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidFeature`] when it does not lie within `sequence`.
    /// - [`ErrorKind::UnknownGeneticCode`], see [`Cds::genetic_code`].
    pub fn translate(&self, sequence: &[u8], fallback: GeneticCode) -> Result<Vec<u8>> {
        let code = self.genetic_code(fallback)?;
        let bases = self.location.extract(sequence)?;
        let first = usize::from(self.codon_start.saturating_sub(1)).min(bases.len());
        Ok(code.translate(&bases[first..]))
    }
}

/// `/transl_table` of a feature, a `source` too.
pub(super) fn transl_table(feature: &Feature) -> Result<Option<u8>> {
    match feature.qualifier_values("transl_table").next() {
        None => Ok(None),
        Some(table) => match table.trim().parse() {
            Ok(table) => Ok(Some(table)),
            Err(_) => Err(not_valid("transl_table", table)),
        },
    }
}

/// The location out of the brackets that [`super::feature_table`] puts around it.
fn wrapped_location(feature: &Feature) -> Result<Location> {
    match &feature.location {
        gb_io::seq::Location::Join(parts) if parts.len() == 1 => Location::from_gb(&parts[0]),
        _ => Err(Error::new(
            ErrorKind::InvalidFeature,
            "the location cannot be understood",
        )),
    }
}

fn not_valid(qualifier: &str, value: &str) -> Error {
    let value: String = value.chars().take(20).collect();
    let message = format!("/{qualifier} is {value:?}");
    Error::new(ErrorKind::InvalidFeature, message)
}
