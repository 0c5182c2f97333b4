//! The first stage: ORFs of genomes, as records or as the program get_orfs prints them.

use std::io::Write;

use sessile_seq::genetic_code::GeneticCode;
use sessile_seq::inputs::{self, Format};
use sessile_seq::orf::{OrfFinder, get_orfs};

use super::super::genome::{Annotation, Genome, OrfRule};
use super::super::sources::{Batches, Content, Source};
use super::list::ListWriter;
use super::{OrfRecord, StageCounts, StageFiles, Told, interrupted};
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::job::Reading;
use crate::output::Destination;
use crate::progress::Observer;

/// Which ORFs are wanted and how they are written.
#[derive(Clone, Copy, Debug)]
pub enum OrfForm {
    /// [`OrfRecord`]s, of ORFs as a run finds them.
    Records(OrfRule),
    /// What get_orfs 1.1 prints, with its reading of letters that are no base.
    GetOrfs {
        /// Its `-l`: ORFs of more than so many residues, the stop counted.
        longer_than: usize,
    },
}

impl OrfForm {
    /// What get_orfs prints when no length is named.
    pub const GET_ORFS: OrfForm = OrfForm::GetOrfs {
        longer_than: get_orfs::DEFAULT_LONGER_THAN,
    };
}

/// Finds the ORFs of FASTA files.
///
/// # Errors
///
/// What ends the stage as a whole. Records that fail are told to the observer.
pub fn find_orfs(
    files: &StageFiles,
    code: GeneticCode,
    form: OrfForm,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<StageCounts, PipelineError> {
    let inputs = inputs::expand(&files.inputs, Format::Fasta)?;
    files.check(&inputs, None)?;
    let sources = inputs.into_iter().map(Source::Fasta).collect();
    let mut writer = Writer::create(files, code, form)?;
    let mut told = Told::new(observer);
    let reading = Reading::default();
    let batches = Batches::start(sources, reading.clone(), interrupt)?;
    for read in batches.flatten() {
        match read.content {
            Content::Fasta(sequence) => match writer.write(&read.id, sequence)? {
                Ok(()) => {
                    told.counts.records += 1;
                    told.counts.written += 1;
                }
                Err(reason) => told.fail(&read.id, &read.place, &reason, false),
            },
            Content::Unreadable {
                reason, is_file, ..
            } => told.fail(&read.id, &read.place, &reason, is_file),
            Content::GenBank(_) => {}
        }
    }
    if interrupt.signal().is_some() {
        return Err(interrupted(&told.counts));
    }
    crate::census::tell(&reading.census, None, told.observer);
    told.check()?;
    writer.finish()?;
    Ok(told.counts)
}

enum Writer {
    Records {
        list: ListWriter,
        code: GeneticCode,
        rule: OrfRule,
    },
    GetOrfs {
        name: String,
        out: Destination,
        finder: OrfFinder,
    },
}

impl Writer {
    fn create(files: &StageFiles, code: GeneticCode, form: OrfForm) -> Result<Self, PipelineError> {
        let longer_than = match form {
            OrfForm::GetOrfs { longer_than } => longer_than,
            OrfForm::Records(rule) => {
                return Ok(Writer::Records {
                    list: ListWriter::create(files)?,
                    code,
                    rule,
                });
            }
        };
        let name = files.output.display().to_string();
        let finder = OrfFinder::new(code).longer_than(longer_than);
        match Destination::open(&files.output) {
            Ok(out) => Ok(Writer::GetOrfs {
                name,
                out,
                finder: finder.like_get_orfs(),
            }),
            Err(error) => Err(PipelineError::output(&name, error)),
        }
    }

    /// Writes the ORFs of a record; what is wrong with it is the inner error.
    fn write(&mut self, id: &str, sequence: Vec<u8>) -> Result<Result<(), String>, PipelineError> {
        match self {
            Writer::Records { list, code, rule } => {
                let genome = match Genome::find(id, sequence, *code, *rule, Annotation::None) {
                    Ok(genome) => genome,
                    Err(reason) => return Ok(Err(reason)),
                };
                for orf in genome.orfs() {
                    list.write(&OrfRecord::from(orf))?;
                }
            }
            Writer::GetOrfs { name, out, finder } => {
                get_orfs::write(out, id, &finder.find(&sequence))
                    .map_err(|error| PipelineError::output(name, error))?;
            }
        }
        Ok(Ok(()))
    }

    fn finish(self) -> Result<(), PipelineError> {
        match self {
            Writer::Records { list, .. } => list.finish(),
            Writer::GetOrfs { name, mut out, .. } => out
                .flush()
                .and_then(|()| out.finish())
                .map_err(|error| PipelineError::output(&name, error)),
        }
    }
}
