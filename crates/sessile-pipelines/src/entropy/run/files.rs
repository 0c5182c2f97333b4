//! The files of a sample: whose they are, and how they are written.

use std::path::PathBuf;

use sessile_seq::inputs::{self, Format};

use super::super::part::PartTable;
use super::super::sample::Sample;
use super::super::writer::{RecordWriter, table_path};
use super::super::{Analysis, EntropyOptions};
use super::task::RecordTask;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job::{self, Task};
use crate::journal::Journal;
use crate::output::{OutputFiles, OutputPlace, Sources};
use crate::progress::Observer;
use crate::shard::Shard;

/// The files of a sample, checked against what it reads.
pub(in crate::entropy) fn prepare(
    options: &EntropyOptions,
    sample: &Sample,
    shard: Shard,
    model: Vec<PathBuf>,
) -> Result<OutputFiles, PipelineError> {
    let paths: Vec<_> = sample
        .outputs
        .iter()
        .map(|(path, _)| path.clone())
        .collect();
    let mut files = OutputFiles::plain(&paths, options.force)?;
    if shard.of > 1 {
        for path in &paths {
            if OutputPlace::of(path) != OutputPlace::File {
                let message = format!("a part can not be written to {}", path.display());
                return Err(PipelineError::new(PipelineErrorKind::Usage, message)
                    .with_hint("name a file: a table is written beside it"));
            }
            files.accompany(&table_path(path))?;
        }
    }
    if let Some(path) = &sample.failures {
        files.accompany(path)?;
    }
    let fasta = inputs::expand(&sample.fasta, Format::Fasta)?;
    let genbank = inputs::expand(&sample.genbank, Format::GenBank)?;
    let sources = Sources::default()
        .with_inputs(fasta.iter().chain(&genbank))
        .with_model(model);
    files.check_sources(&sources, options.journal)?;
    Ok(files)
}

/// Takes the lock, and finds what an earlier run left.
pub(super) fn claim(
    analysis: &Analysis,
    sample: &Sample,
    shard: Shard,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<(OutputFiles, Option<Journal>), PipelineError> {
    let options = &analysis.options;
    let mut files = prepare(options, sample, shard, analysis.model_files.clone())?;
    files.claim(options.journal, interrupt)?;
    let journal = match options.journal {
        true => {
            let fingerprint = analysis.fingerprint_of_part(shard);
            let (resume, unit) = (options.resume, RecordTask::UNIT);
            job::open_journal(&mut files, &fingerprint, resume, unit, observer)?
        }
        false => None,
    };
    Ok((files, journal))
}

pub(super) fn writers(
    analysis: &Analysis,
    sample: &Sample,
    shard: Shard,
    files: &OutputFiles,
    journal: Option<&Journal>,
) -> Result<Vec<RecordWriter>, PipelineError> {
    let mut writers = Vec::new();
    for (path, format) in &sample.outputs {
        let out = files.open_one(path, journal)?;
        let part = match shard.of {
            1 => None,
            _ => {
                let table = table_path(path);
                let out = files.open_one(&table, journal)?;
                let begun = PartTable::new(out, shard, &analysis.job);
                let name = table.display().to_string();
                Some(begun.map_err(|error| PipelineError::output(&name, error))?)
            }
        };
        writers.push(RecordWriter::new(path, *format, out, part)?);
    }
    Ok(writers)
}
