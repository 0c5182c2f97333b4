//! What needs no model: reading frames and information.

use pyo3::prelude::*;
use sessile::seq::genetic_code::GeneticCode;
use sessile::seq::orf::OrfFinder;
use sessile::seq::reading_frame::Strand;

use crate::errors::unknown;

/// A reading frame: frame, start, end, protein, nucleotides.
type Orf = (i8, usize, usize, String, String);

/// The open reading frames of a sequence.
#[pyfunction]
pub(crate) fn orfs(
    py: Python<'_>,
    sequence: &str,
    table: u8,
    min_length: usize,
) -> PyResult<Vec<Orf>> {
    let code = GeneticCode::of(table).map_err(|error| unknown(error.to_string()))?;
    let finder = OrfFinder::new(code).longer_than(min_length.saturating_sub(1));
    let text = |letters: &[u8]| String::from_utf8_lossy(letters).into_owned();
    Ok(py.detach(|| {
        let orfs = finder.find(sequence.as_bytes());
        orfs.iter()
            .map(|orf| {
                let frame = orf.frame();
                let number = frame.offset() as i8 + 1;
                let frame = match frame.strand() {
                    Strand::Plus => number,
                    Strand::Minus => -number,
                };
                let (protein, bases) = (text(orf.protein()), text(orf.coding()));
                (frame, orf.start(), orf.end(), protein, bases)
            })
            .collect()
    }))
}

/// Shannon entropy of a sequence, in bits per symbol.
#[pyfunction]
pub(crate) fn entropy(sequence: &str) -> f64 {
    sessile::seq::entropy::shannon(sequence.as_bytes())
}

/// Mutual information of two aligned sequences, in bits.
#[pyfunction]
pub(crate) fn mutual_information(first: &str, second: &str) -> PyResult<f64> {
    sessile::seq::entropy::mutual_information(first.as_bytes(), second.as_bytes())
        .map_err(|error| unknown(error.to_string()))
}
