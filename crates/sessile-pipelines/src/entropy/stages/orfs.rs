//! The first stage: ORFs of genomes, as records or as the program get_orfs prints them.

use std::io::Write;

use sessile_seq::genetic_code::GeneticCode;
use sessile_seq::inputs::{self, Format};
use sessile_seq::orf::{OrfFinder, get_orfs};

use super::super::genome::{Annotation, Genome, Shortest};
use super::super::sources::{Batches, Content, Source};
use super::list::ListWriter;
use super::{OrfRecord, StageCounts, StageFiles, Told, check_output, interrupted};
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::output::Destination;
use crate::progress::Observer;
use crate::shard::Shard;

/// How ORFs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrfForm {
    /// [`OrfRecord`]s, of ORFs as a run finds them.
    #[default]
    Records,
    /// What get_orfs 1.1 prints, with its reading of letters that are no base.
    GetOrfs,
}

/// Which ORFs are wanted.
#[derive(Clone, Copy, Debug)]
pub struct OrfOptions {
    /// The genetic code.
    pub code: GeneticCode,
    /// The shortest.
    pub shortest: Shortest,
    /// How they are written.
    pub form: OrfForm,
}

impl OrfOptions {
    /// What get_orfs keeps when no length is named.
    pub const GET_ORFS_SHORTEST: Shortest = Shortest::LongerThan(get_orfs::DEFAULT_LONGER_THAN);
}

/// Finds the ORFs of FASTA files.
///
/// # Errors
///
/// What ends the stage as a whole. Records that fail are told to the observer.
pub fn find_orfs(
    files: &StageFiles,
    options: &OrfOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<StageCounts, PipelineError> {
    let inputs = inputs::expand(&files.inputs, Format::Fasta)?;
    let sources = inputs.into_iter().map(Source::Fasta).collect();
    let mut writer = Writer::create(files, options)?;
    let mut told = Told::new(observer);
    for read in Batches::start(sources, Shard::WHOLE, interrupt)?.flatten() {
        match read.content {
            Content::Fasta(sequence) => match writer.write(&read.id, sequence, options)? {
                Ok(()) => {
                    told.counts.records += 1;
                    told.counts.written += 1;
                }
                Err(reason) => told.fail(&read.place, &reason, false),
            },
            // get_orfs prints nothing for a file without a record, and that is no error there.
            Content::Unreadable { is_empty: true, .. } if options.form == OrfForm::GetOrfs => {}
            Content::Unreadable {
                reason, is_file, ..
            } => told.fail(&read.place, &reason, is_file),
            Content::GenBank(_) => {}
        }
    }
    if interrupt.signal().is_some() {
        return Err(interrupted(&told.counts));
    }
    told.check()?;
    writer.finish()?;
    Ok(told.counts)
}

enum Writer {
    Records(ListWriter),
    GetOrfs { name: String, out: Destination },
}

impl Writer {
    fn create(files: &StageFiles, options: &OrfOptions) -> Result<Self, PipelineError> {
        if options.form == OrfForm::Records {
            return Ok(Writer::Records(ListWriter::create(files)?));
        }
        check_output(&files.output, files.force)?;
        let name = files.output.display().to_string();
        match Destination::open(&files.output) {
            Ok(out) => Ok(Writer::GetOrfs { name, out }),
            Err(error) => Err(PipelineError::output(&name, error)),
        }
    }

    /// Writes the ORFs of a record; what is wrong with it is the inner error.
    fn write(
        &mut self,
        id: &str,
        sequence: Vec<u8>,
        options: &OrfOptions,
    ) -> Result<Result<(), String>, PipelineError> {
        let OrfOptions { code, shortest, .. } = *options;
        match self {
            Writer::Records(list) => {
                let genome = match Genome::find(id, sequence, code, shortest, Annotation::None) {
                    Ok(genome) => genome,
                    Err(reason) => return Ok(Err(reason)),
                };
                for orf in genome.orfs() {
                    list.write(&OrfRecord::from(orf))?;
                }
            }
            Writer::GetOrfs { name, out } => {
                let longer_than = match shortest {
                    Shortest::LongerThan(letters) => letters,
                    // Without its stop an ORF of so many residues has one letter less.
                    Shortest::Residues(residues) => residues.saturating_sub(1),
                };
                let finder = OrfFinder::new(code).longer_than(longer_than);
                let orfs = finder.like_get_orfs().find(&sequence);
                get_orfs::write(out, id, &orfs)
                    .map_err(|error| PipelineError::output(name, error))?;
            }
        }
        Ok(Ok(()))
    }

    fn finish(self) -> Result<(), PipelineError> {
        match self {
            Writer::Records(list) => list.finish(),
            Writer::GetOrfs { name, mut out } => out
                .flush()
                .and_then(|()| out.finish())
                .map_err(|error| PipelineError::output(&name, error)),
        }
    }
}
