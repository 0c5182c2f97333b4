//! Looking an input over before a run: what would fail, and what would be odd.

use std::path::PathBuf;

use sessile_seq::fasta::{Ids, Reader, Record, Seen};
use sessile_seq::inputs::{self, Census, Format};
use sessile_seq::nucleotide::rna_to_dna;

use super::identify::GENOME;
use crate::census::no_records;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job::tell_failure;
use crate::progress::Observer;

/// A record with more ambiguous bases than this gets a warning: VirNucPro leaves their codons out.
pub const AMBIGUOUS_SHARE: f64 = 0.05;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validated {
    /// Records, failed ones included.
    pub records: u64,
    /// Records that would fail.
    pub failed: u64,
    /// Bases of the good records.
    pub bases: u64,
    /// The shortest good record.
    pub shortest: Option<u64>,
    /// The longest good record.
    pub longest: Option<u64>,
    /// Good records with a base that is not one of the four.
    pub ambiguous: u64,
    /// Records whose identifier came before.
    pub duplicates: u64,
    /// Good records that are too short for a codon.
    pub too_short: u64,
}

/// Reads every record and tells the observer what is wrong with it (`failure`) or odd (`note`).
///
/// # Errors
///
/// When an input is not there, or the run is told to stop.
pub fn run(
    paths: &[PathBuf],
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Validated, PipelineError> {
    let mut found = Validated::default();
    let mut ids = Ids::new();
    let census = Census::default();
    let mut record = Record::default();
    for input in inputs::expand(paths, Format::Fasta)? {
        let name = input.name();
        let mut reader = match Reader::from_input(&input) {
            Ok(reader) => reader.counted_by(&census),
            Err(error) => {
                fail(&mut found, observer, &error);
                continue;
            }
        };
        loop {
            if interrupt.signal().is_some() {
                let message = format!("stopped after {} records", found.records);
                return Err(PipelineError::new(PipelineErrorKind::Interrupted, message));
            }
            match reader.read(&mut record) {
                Ok(false) => break,
                Ok(true) => {
                    rna_to_dna(&mut record.sequence);
                    look(&mut found, &name, &record, &mut ids, observer);
                }
                Err(error) => fail(&mut found, observer, &error),
            }
        }
    }
    for name in census.without_records() {
        observer.note(&no_records(&name));
    }
    Ok(found)
}

fn fail(found: &mut Validated, observer: &mut dyn Observer, error: &sessile_seq::Error) {
    found.records += 1;
    found.failed += 1;
    tell_failure(observer, error);
}

fn look(
    found: &mut Validated,
    file: &str,
    record: &Record,
    ids: &mut Ids,
    observer: &mut dyn Observer,
) {
    let place = || {
        format!(
            "{file}: record {} ({}), line {}",
            record.ordinal, record.id, record.line
        )
    };
    if ids.insert(&record.id) == Seen::Again {
        found.duplicates += 1;
        let what = "the identifier came before; its chunks are judged together with those";
        observer.note(&format!("warning: {}: {what}", place()));
    }
    if let Err(symbol) = GENOME.check(&record.sequence) {
        fail(found, observer, &symbol.in_record(record, file));
        return;
    }
    found.records += 1;
    let length = record.sequence.len() as u64;
    found.bases += length;
    found.shortest = Some(
        found
            .shortest
            .map_or(length, |shortest| shortest.min(length)),
    );
    found.longest = found.longest.max(Some(length));
    if length < 3 {
        found.too_short += 1;
        let what = format!("{length} bases hold no codon, so it gets no result");
        observer.note(&format!("warning: {}: {what}", place()));
    }
    let is_known = |base: &&u8| matches!(base.to_ascii_uppercase(), b'A' | b'C' | b'G' | b'T');
    let known = record.sequence.iter().filter(is_known).count() as u64;
    if known < length {
        found.ambiguous += 1;
        let share = (length - known) as f64 / length as f64;
        if share > AMBIGUOUS_SHARE {
            let percent = 100.0 * share;
            let what =
                format!("{percent:.1} % of the bases are ambiguous; their codons are left out");
            observer.note(&format!("warning: {}: {what}", place()));
        }
    }
}
