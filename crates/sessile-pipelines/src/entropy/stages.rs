//! The stages of a run, one by one, with files between them: ORFs, proteins, entropies.
//!
//! The files are lists of genome_entropy's records ([`OrfRecord`], [`ProteinRecord`]), as JSON or
//! JSON Lines; they are read and written record by record, so memory does not grow with them.

mod list;
mod measure;
mod orfs;
mod proteins;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sessile_seq::inputs::Input;

use crate::error::{PipelineError, PipelineErrorKind};
use crate::job::reason;
use crate::output::{Sources, check_outputs};
use crate::progress::Observer;

pub use measure::{MeasureOptions, OrfEntropies, measure};
pub use orfs::{OrfForm, find_orfs};
pub use proteins::{fasta_to_protein, translate};

use super::genome::FoundOrf;

/// The files of a stage.
#[derive(Clone, Debug)]
pub struct StageFiles {
    /// Files, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// The file to write, or `-`.
    pub output: PathBuf,
    /// Write over an output that exists.
    pub force: bool,
}

impl StageFiles {
    /// Refuses an output that is one of `inputs` or `states`, or that exists.
    fn check(&self, inputs: &[Input], states: Option<&PathBuf>) -> Result<(), PipelineError> {
        let mut sources = Sources::default().with_inputs(inputs);
        if let Some(states) = states {
            sources.add("the file of states", states);
        }
        check_outputs([&self.output], self.force, &sources)
    }
}

/// What a stage came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// Records read, failed ones included.
    pub records: u64,
    /// Records written.
    pub written: u64,
    /// Records that failed.
    pub failed: u64,
}

/// An ORF as a record of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrfRecord {
    /// The record that it is of.
    pub parent_id: String,
    /// Its name within that record.
    pub orf_id: String,
    /// As in [`FoundOrf::start`].
    pub start: u64,
    /// As in [`FoundOrf::end`].
    pub end: u64,
    /// `+` or `-`.
    pub strand: String,
    /// 1, 2 or 3; 0 for a protein that is of no ORF.
    pub frame: u8,
    /// The bases, on the strand that is read.
    pub nt_sequence: String,
    /// The residues, with the stop.
    pub aa_sequence: String,
    /// The genetic code.
    pub table_id: u8,
    /// Whether there is an M.
    pub has_start_codon: bool,
    /// Whether there is a `*`.
    pub has_stop_codon: bool,
    /// Whether it is annotated.
    pub in_genbank: bool,
}

impl From<FoundOrf<'_>> for OrfRecord {
    fn from(orf: FoundOrf<'_>) -> Self {
        OrfRecord {
            parent_id: orf.genome().id().to_owned(),
            orf_id: orf.id(),
            start: orf.start() as u64,
            end: orf.end() as u64,
            strand: orf.frame().strand().to_string(),
            frame: orf.frame().number(),
            nt_sequence: orf.nucleotides().to_owned(),
            aa_sequence: orf.protein(),
            table_id: orf.genome().code().id(),
            has_start_codon: orf.has_start(),
            has_stop_codon: orf.has_stop(),
            in_genbank: orf.in_genbank(),
        }
    }
}

/// A protein with its ORF.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProteinRecord {
    /// Where it is from.
    pub orf: OrfRecord,
    /// The residues without the stop.
    pub aa_sequence: String,
    /// Their number.
    pub aa_length: usize,
}

/// Whoever counts and tells what failed.
struct Told<'a> {
    observer: &'a mut dyn Observer,
    counts: StageCounts,
    has_lost_a_file: bool,
}

impl<'a> Told<'a> {
    fn new(observer: &'a mut dyn Observer) -> Self {
        Told {
            observer,
            counts: StageCounts::default(),
            has_lost_a_file: false,
        }
    }

    fn fail(&mut self, id: &str, place: &str, reason: &str, is_file: bool) {
        self.counts.records += 1;
        self.counts.failed += 1;
        self.observer.failure(id, place, reason);
        self.has_lost_a_file |= is_file;
    }

    /// The same of what a reader says.
    fn unread(&mut self, error: &sessile_seq::Error) {
        let id = error.record_id().unwrap_or_default();
        let is_file = !error.is_record_error();
        self.fail(id, &error.place(), &reason(error), is_file);
    }

    /// An error when nothing could be read at all.
    fn check(&mut self) -> Result<(), PipelineError> {
        if self.has_lost_a_file && self.counts.failed == self.counts.records {
            let message = "no record could be read";
            return Err(PipelineError::new(PipelineErrorKind::Input, message));
        }
        Ok(())
    }
}

fn interrupted(counts: &StageCounts) -> PipelineError {
    let message = format!("stopped after {} records", counts.records);
    PipelineError::new(PipelineErrorKind::Interrupted, message)
}
