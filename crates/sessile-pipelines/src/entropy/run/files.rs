//! The files of a sample: whose they are, and how they are written.

use std::path::PathBuf;

use sessile_seq::inputs::{self, Format};

use super::super::format::{Document, schema};
use super::super::sample::Sample;
use super::super::{Analysis, EntropyOptions};
use super::task::RecordTask;
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::job::{self, JobFiles, Task};
use crate::output::{OutputFiles, Sources};
use crate::progress::Observer;
use crate::shard::Shard;

/// The files of a sample, checked against what it reads.
pub(in crate::entropy) fn prepare(
    options: &EntropyOptions,
    sample: &Sample,
    shard: Shard,
    model: Vec<PathBuf>,
) -> Result<OutputFiles, PipelineError> {
    let files = OutputFiles::new(&sample.outputs, options.force)?;
    let files = files.with_own(|format| Document::of(format).is_some());
    let mut files = files.of_shard(shard)?;
    if let Some(path) = &sample.failures {
        files.accompany(&shard.path(path))?;
    }
    files.check(&schema())?;
    let fasta = inputs::expand(&sample.fasta, Format::Fasta)?;
    let genbank = inputs::expand(&sample.genbank, Format::GenBank)?;
    let sources = Sources::default()
        .with_inputs(fasta.iter().chain(&genbank))
        .with_model(model);
    files.check_sources(&sources, options.journal)?;
    Ok(files)
}

/// Takes the lock, finds what an earlier run left, and opens the files with rows or the part.
pub(super) fn open(
    analysis: &Analysis,
    sample: &Sample,
    shard: Shard,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<(OutputFiles, JobFiles), PipelineError> {
    let options = &analysis.options;
    let mut files = prepare(options, sample, shard, analysis.model_files.clone())?;
    files.claim(options.journal, interrupt)?;
    let mark = &analysis.fingerprint;
    let journal = match options.journal {
        true => {
            let (resume, unit) = (options.resume, RecordTask::UNIT);
            job::open_journal(&mut files, mark, resume, unit, observer)?
        }
        false => None,
    };
    let mark = Some(mark.clone());
    let outputs = files.open_or_part(&schema(), journal.as_ref(), mark, Vec::new())?;
    let failures = sample.failures.as_ref().map(|path| shard.path(path));
    let failures = files.failures(failures.as_deref(), journal.as_ref())?;
    let opened = JobFiles {
        journal,
        failures,
        outputs,
    };
    Ok((files, opened))
}
