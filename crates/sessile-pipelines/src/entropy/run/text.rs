//! A record on its way to the files, in every form that is written.

use super::super::cds::{Lost, Prepared};
use super::super::document::{Entropies, Layout};
use super::super::format::{Forms, row};
use super::super::genome::Genome;
use crate::output::Row;

/// A record on its way to the files.
pub(super) struct Text {
    pub(super) id: String,
    pub(super) place: String,
    pub(super) written: Written,
    pub(super) issues: Vec<String>,
}

/// A record in every form that is written.
pub(super) struct Written {
    pub(super) documents: Vec<Vec<u8>>,
    rows: Option<Rows>,
    pub(super) orfs: u64,
    pub(super) residues: u64,
    pub(super) in_genbank: u64,
}

/// What rows are made of, one after the other: as rows they would take ten times the memory.
struct Rows {
    genome: Genome,
    entropies: Vec<Entropies>,
}

impl Written {
    fn of(genome: Genome, forms: &Forms, layout: &Layout) -> serde_json::Result<Self> {
        let documents = forms.documents.iter();
        let documents = documents.map(|document| document.text(&genome, layout));
        Ok(Written {
            documents: documents.collect::<Result<_, _>>()?,
            orfs: genome.len() as u64,
            residues: genome.orfs().map(|orf| orf.residues().len() as u64).sum(),
            in_genbank: genome.orfs().filter(|orf| orf.in_genbank()).count() as u64,
            rows: forms.rows.then(|| Rows {
                entropies: genome.orfs().map(|orf| layout.entropies(&orf)).collect(),
                genome,
            }),
        })
    }

    /// A row for each ORF, where rows are wanted.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        let rows = self.rows.iter();
        let orfs = rows.flat_map(|rows| rows.genome.orfs().zip(&rows.entropies));
        orfs.map(|(orf, entropies)| row(orf, entropies))
    }
}

impl Text {
    /// The texts of a record; its identifier, its place, why there is none, and what else was wrong
    /// with it where it has none.
    pub(super) fn of(
        prepared: Prepared,
        forms: &Forms,
        layout: &Layout,
    ) -> Result<Self, (String, String, Lost, Vec<String>)> {
        let Prepared {
            id,
            place,
            genome,
            issues,
            ..
        } = prepared;
        let written = genome.and_then(|genome| {
            Written::of(genome, forms, layout).map_err(|error| Lost {
                reason: error.to_string(),
                is_file: false,
            })
        });
        match written {
            Ok(written) => Ok(Text {
                id,
                place,
                written,
                issues,
            }),
            Err(lost) => Err((id, place, lost, issues)),
        }
    }
}
