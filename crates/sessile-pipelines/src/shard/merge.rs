//! Merging: the parts of all shards become the files of an undivided run.

use std::path::PathBuf;

use super::part::PartReader;
use super::{Entry, PartHeader, Piece};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::job::FailureList;
use crate::output::{Compression, Destination, Format, OutputFiles, Sources};
use crate::{entropy, viral};

/// What to merge, and where to.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// The parts, in any order.
    pub parts: Vec<PathBuf>,
    /// The files to write, or `-`; the folder of results of `viral predict`.
    pub outputs: Vec<PathBuf>,
    /// The format of all of them, or of the tables in that folder; `None`: what their extensions
    /// say.
    pub format: Option<Format>,
    /// How text is compressed; `None`: what the extensions say.
    pub compression: Option<Compression>,
    /// A file for the list of records without a result.
    pub failures: Option<PathBuf>,
    /// Write over outputs that exist.
    pub force: bool,
    /// Merge although parts were computed with other models, number formats or kernels.
    pub allow_mixed: bool,
}

/// What merging came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Parts.
    pub parts: u64,
    /// Records with a result.
    pub records: u64,
    /// Failures.
    pub failed: u64,
}

/// Takes the pieces of all parts in the order of the inputs and makes files of them.
pub(crate) trait MergeSink {
    /// The next piece, of the record of this number.
    fn write(&mut self, entry: &Entry) -> Result<(), PipelineError>;

    /// Gives the files their names; what users should know is returned.
    fn finish(self: Box<Self>) -> Result<Vec<String>, PipelineError>;
}

/// What parts have in common, for whoever makes a sink.
pub(crate) struct Shared<'a> {
    pub(crate) options: &'a MergeOptions,
    pub(crate) header: &'a PartHeader,
    /// What may not be written over.
    pub(crate) sources: Sources,
}

impl Shared<'_> {
    /// Outputs with these formats, checked.
    pub(crate) fn outputs(&self, default: Format) -> Result<OutputFiles, PipelineError> {
        let MergeOptions {
            outputs,
            format,
            compression,
            force,
            ..
        } = self.options;
        let formats = OutputFiles::formats(outputs, *format, *compression, default)?;
        let mut files = OutputFiles::new(&formats, *force)?;
        if let Some(path) = &self.options.failures {
            files.accompany(path)?;
        }
        files.check_sources(&self.sources, false)?;
        Ok(files)
    }
}

/// Merges the parts of all shards of a run.
///
/// # Errors
///
/// `Input` when a part is missing, there twice, not whole, or of another run or other inputs;
/// `Usage` for outputs that make no sense; `Output` when one cannot be written. Says what users
/// should know of the outputs.
pub fn merge(options: &MergeOptions) -> Result<(Merged, Vec<String>), PipelineError> {
    let parts = options.parts.iter().map(|path| PartReader::open(path));
    let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
    check(&parts, options.allow_mixed)?;
    parts.sort_by_key(|part| part.header.shard.number);
    let mut sources = Sources::default();
    for path in &options.parts {
        sources.add("a part", path);
    }
    let header = parts[0].header.clone();
    let shared = Shared {
        options,
        header: &header,
        sources,
    };
    let mut sink = match header.fingerprint.job() {
        entropy::JOB => entropy::merge_sink(&shared)?,
        viral::predict::JOB => viral::predict::merge_sink(&shared)?,
        _ => {
            let files = shared.outputs(Format::default())?;
            files.check(&header.schema)?;
            Box::new(files.open(&header.schema, None)?)
        }
    };
    let failed = |path: &PathBuf| {
        let out = Destination::open(path);
        let out = out.map_err(|error| PipelineError::output(&path.display().to_string(), error))?;
        Ok::<_, PipelineError>(FailureList::new(path, out))
    };
    let mut failures = options.failures.as_ref().map(failed).transpose()?;
    let mut merged = Merged {
        parts: parts.len() as u64,
        ..Merged::default()
    };
    let mut heads = Vec::new();
    for part in &mut parts {
        heads.push(part.next()?);
    }
    let mut last = None;
    while let Some(first) = first(&heads) {
        let next = parts[first].next()?;
        let Some(entry) = std::mem::replace(&mut heads[first], next) else {
            break;
        };
        match &entry.piece {
            Piece::Failure { id, place, reason } => {
                merged.failed += 1;
                if let Some(failures) = &mut failures {
                    failures.push(id, place, reason)?;
                }
            }
            _ => {
                merged.records += u64::from(last != Some(entry.number));
                last = Some(entry.number);
            }
        }
        sink.write(&entry)?;
    }
    check_inputs(&parts)?;
    let notes = sink.finish()?;
    if let Some(failures) = failures {
        failures.finish()?;
    }
    Ok((merged, notes))
}

/// The part whose next record is the next of the whole run; none when all are through. Records are
/// dealt out in turn, so it is the one with the least number.
fn first(heads: &[Option<Entry>]) -> Option<usize> {
    let heads = heads.iter().enumerate();
    let numbers = heads.filter_map(|(part, head)| Some((head.as_ref()?.number, part)));
    numbers.min().map(|(_, part)| part)
}

fn wrong(message: String) -> PipelineError {
    PipelineError::new(PipelineErrorKind::Input, message)
}

/// Every part once, and all of one run.
fn check(parts: &[PartReader], allow_mixed: bool) -> Result<(), PipelineError> {
    let Some(first) = parts.first() else {
        return Err(wrong("there is no part to merge".to_owned()));
    };
    for part in parts {
        let (one, other) = (first.path.display(), part.path.display());
        let of = |part: &PartReader| part.header.shard.of;
        let earlier = &part.header.fingerprint;
        let difference = match first.header.fingerprint.difference(earlier, allow_mixed) {
            _ if of(first) != of(part) => Some((
                format!("{} shards, the other has {}", of(first), of(part)),
                false,
            )),
            difference => difference,
        };
        if let Some((difference, is_numeric)) = difference {
            let error = wrong(format!(
                "{one} and {other} are of different runs: the first has {difference}"
            ));
            return Err(error.with_hint(match is_numeric {
                true => {
                    "--allow-mixed merges them, if small differences between records do not matter"
                }
                false => "shards must have the same options and inputs",
            }));
        }
    }
    let (given, of) = (parts.len(), first.header.shard.of);
    if of != given as u64 {
        return Err(wrong(format!("{given} parts were given, the run has {of}")));
    }
    let mut numbers: Vec<u64> = parts.iter().map(|part| part.header.shard.number).collect();
    numbers.sort_unstable();
    match numbers.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(wrong(format!("part {}/{of} was given twice", pair[0]))),
        None => Ok(()),
    }
}

/// All parts have met the same number of records.
fn check_inputs(parts: &[PartReader]) -> Result<(), PipelineError> {
    let counts = |part: &PartReader| part.records.unwrap_or_default();
    let of_first = counts(&parts[0]);
    match parts.iter().find(|part| counts(part) != of_first) {
        None => Ok(()),
        Some(part) => Err(wrong(format!(
            "{} was made of {of_first} records, {} of {}: their inputs differ",
            parts[0].path.display(),
            part.path.display(),
            counts(part)
        ))
        .with_hint("run the shards again with the same inputs in the same order")),
    }
}
