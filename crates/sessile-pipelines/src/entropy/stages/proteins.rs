//! The second stage: proteins, from ORFs or as they are.

use sessile_models::tokenizer::without_stop;
use sessile_seq::fasta;
use sessile_seq::genetic_code::GeneticCode;
use sessile_seq::inputs::{self, Census, Format};

use super::super::document::{has_start, has_stop};
use super::list::{self, ListWriter};
use super::{OrfRecord, ProteinRecord, StageCounts, StageFiles, Told, interrupted};
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::job::reason;
use crate::progress::Observer;
use crate::three_di::check_residues;

/// The table that proteins without an ORF are said to be of, as in genome_entropy.
const UNKNOWN_TABLE: u8 = 11;

/// Translates ORFs: the [`OrfRecord`]s of JSON files, by `code`, or without one by their own.
///
/// # Errors
///
/// What ends the stage as a whole. Records that fail are told to the observer.
pub fn translate(
    files: &StageFiles,
    code: Option<GeneticCode>,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<StageCounts, PipelineError> {
    let inputs = inputs::expand(&files.inputs, Format::Fasta)?;
    files.check(&inputs, None)?;
    let mut writer = ListWriter::create(files)?;
    let mut told = Told::new(observer);
    for input in &inputs {
        list::read(input, &mut told, &mut |told, place, record| {
            match protein(record.get(), code) {
                Ok(protein) => {
                    writer.write(&protein)?;
                    told.counts.records += 1;
                    told.counts.written += 1;
                }
                Err(reason) => told.fail("", place, &reason, false),
            }
            Ok(interrupt.signal().is_none())
        })?;
    }
    if interrupt.signal().is_some() {
        return Err(interrupted(&told.counts));
    }
    told.check()?;
    writer.finish()?;
    Ok(told.counts)
}

fn protein(record: &str, code: Option<GeneticCode>) -> Result<ProteinRecord, String> {
    let mut orf: OrfRecord =
        serde_json::from_str(record).map_err(|error| format!("it is no ORF: {error}"))?;
    if orf.nt_sequence.is_empty() {
        return Err("it is no ORF: it has no nt_sequence".to_owned());
    }
    let code = match code {
        Some(code) => code,
        None => GeneticCode::of(orf.table_id).map_err(|error| reason(&error))?,
    };
    let residues = code.translate(orf.nt_sequence.as_bytes());
    // A translation is letters and stops.
    orf.aa_sequence = String::from_utf8(residues).unwrap_or_default();
    orf.table_id = code.id();
    orf.has_start_codon = has_start(&orf.aa_sequence);
    orf.has_stop_codon = has_stop(&orf.aa_sequence);
    let residues = orf.aa_sequence.strip_suffix('*');
    let aa_sequence = residues.unwrap_or(&orf.aa_sequence).to_owned();
    Ok(ProteinRecord {
        aa_length: aa_sequence.len(),
        aa_sequence,
        orf,
    })
}

/// Makes [`ProteinRecord`]s of protein FASTA; what is said of their ORFs stands for nothing.
///
/// # Errors
///
/// What ends the stage as a whole. Records that fail are told to the observer.
pub fn fasta_to_protein(
    files: &StageFiles,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<StageCounts, PipelineError> {
    let inputs = inputs::expand(&files.inputs, Format::Fasta)?;
    files.check(&inputs, None)?;
    let mut writer = ListWriter::create(files)?;
    let mut told = Told::new(observer);
    let census = Census::default();
    for input in &inputs {
        let mut reader = match fasta::Reader::from_input(input) {
            Ok(reader) => reader.counted_by(&census),
            Err(error) => {
                told.unread(&error);
                continue;
            }
        };
        let mut record = fasta::Record::default();
        loop {
            match reader.read(&mut record) {
                Ok(false) => break,
                Ok(true) => match as_protein(&mut record) {
                    Ok(protein) => {
                        writer.write(&protein)?;
                        told.counts.records += 1;
                        told.counts.written += 1;
                    }
                    Err(reason) => {
                        let place = format!(
                            "{}: record {} ({}), line {}",
                            input.name(),
                            record.ordinal,
                            record.id,
                            record.line
                        );
                        told.fail(&record.id, &place, &reason, false);
                    }
                },
                Err(error) => told.unread(&error),
            }
            if interrupt.signal().is_some() {
                return Err(interrupted(&told.counts));
            }
        }
    }
    crate::census::tell(&census, None, told.observer);
    told.check()?;
    writer.finish()?;
    Ok(told.counts)
}

fn as_protein(record: &mut fasta::Record) -> Result<ProteinRecord, String> {
    let mut residues = std::mem::take(&mut record.sequence);
    residues.truncate(without_stop(&residues).len());
    check_residues(&residues)?;
    let aa_sequence = String::from_utf8(residues).unwrap_or_default();
    let id = std::mem::take(&mut record.id);
    Ok(ProteinRecord {
        orf: OrfRecord {
            parent_id: id.clone(),
            orf_id: id,
            end: 3 * aa_sequence.len() as u64,
            strand: "+".to_owned(),
            aa_sequence: aa_sequence.clone(),
            table_id: UNKNOWN_TABLE,
            ..OrfRecord::default()
        },
        aa_length: aa_sequence.len(),
        aa_sequence,
    })
}
