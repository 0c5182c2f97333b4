//! Parts of a run on several machines, and putting their results together again.
//!
//! Records are dealt out in turn, so that parts are alike however long the files are. A part writes,
//! beside its results, a table that says which record each frame is of; merging walks through all
//! tables at once and writes the files of an undivided run.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::super::number::ShortFloat;
use super::super::results::{
    FrameScore, ResultCounts, Results, SHARD_TABLE, TEMPORARY, TableFormat,
};
use super::frames::Frame;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::output::WholeFile;
use crate::shard::Shard;

/// The table while it is written.
pub(super) struct ShardTable(WholeFile);

impl ShardTable {
    pub(super) fn create(folder: &Path, shard: Shard, job: &str) -> io::Result<Self> {
        let mut table = WholeFile::create_locked(&folder.join(SHARD_TABLE), TEMPORARY)?;
        writeln!(table, "#shard\t{shard}\t{job}")?;
        Ok(ShardTable(table))
    }

    pub(super) fn write(&mut self, frame: &Frame, [others, virus]: [f32; 2]) -> io::Result<()> {
        writeln!(
            self.0,
            "{}\t{}\t{}\t{}",
            frame.record,
            frame.id,
            ShortFloat(others),
            ShortFloat(virus)
        )
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.0.finish()
    }
}

/// What merging came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Parts.
    pub parts: u64,
    /// How the verdicts fell.
    pub counts: ResultCounts,
}

/// Puts the results of all parts together, in the order of the inputs.
///
/// # Errors
///
/// `Input` when a part is missing, there twice, or of another run; `Output` when the results can
/// not be written.
pub fn merge(
    parts: &[PathBuf],
    output: &Path,
    format: TableFormat,
    force: bool,
) -> Result<Merged, PipelineError> {
    let mut tables = parts
        .iter()
        .map(|folder| Part::open(folder))
        .collect::<Result<Vec<_>, _>>()?;
    check_parts(&tables)?;
    tables.sort_by_key(|part| part.shard.number);
    let mut results = Results::create(output, format, force)?;
    for part in &mut tables {
        part.advance()?;
    }
    // Records are dealt out in turn, so the least number of the heads is the next record.
    while let Some(part) = tables
        .iter_mut()
        .filter(|part| part.head.is_some())
        .min_by_key(|part| part.head.as_ref().map_or(u64::MAX, |row| row.record))
    {
        if let Some(row) = part.head.take() {
            results.write(FrameScore {
                id: &row.id,
                scores: row.scores,
            })?;
        }
        part.advance()?;
    }
    Ok(Merged {
        parts: tables.len() as u64,
        counts: results.finish()?,
    })
}

struct Row {
    record: u64,
    id: String,
    scores: [f32; 2],
}

struct Part {
    path: PathBuf,
    shard: Shard,
    job: String,
    lines: BufReader<File>,
    number: u64,
    head: Option<Row>,
}

/// No identifier and its scores make a longer line.
const MAX_LINE_BYTES: u64 = 2 << 20;

impl Part {
    fn open(folder: &Path) -> Result<Self, PipelineError> {
        let path = folder.join(SHARD_TABLE);
        let file = File::open(&path).map_err(|error| {
            PipelineError::new(
                PipelineErrorKind::Input,
                format!("can not read {}: {error}", path.display()),
            )
            .with_hint("a part is a folder that `sessile viral predict --shard` has finished")
        })?;
        let mut part = Part {
            shard: Shard::WHOLE,
            job: String::new(),
            lines: BufReader::new(file),
            number: 0,
            head: None,
            path,
        };
        let header = part.line()?.unwrap_or_default();
        let mut fields = header.splitn(3, '\t');
        let (mark, shard, job) = (fields.next(), fields.next(), fields.next());
        let shard = shard.and_then(|shard| shard.parse().ok());
        let (Some("#shard"), Some(shard), Some(job)) = (mark, shard, job) else {
            return Err(part.wrong("it is no table of a part"));
        };
        part.shard = shard;
        part.job = job.to_owned();
        Ok(part)
    }

    fn wrong(&self, what: &str) -> PipelineError {
        let place = format!("{}, line {}", self.path.display(), self.number);
        PipelineError::new(PipelineErrorKind::Input, format!("{place}: {what}"))
    }

    fn line(&mut self) -> Result<Option<String>, PipelineError> {
        self.number += 1;
        let mut line = String::new();
        let read = io::Read::take(&mut self.lines, MAX_LINE_BYTES).read_line(&mut line);
        match read {
            Ok(0) => Ok(None),
            Ok(_) if line.ends_with('\n') => {
                line.pop();
                Ok(Some(line))
            }
            Ok(_) => Err(self.wrong("the line is not whole")),
            Err(error) => Err(self.wrong(&error.to_string())),
        }
    }

    fn advance(&mut self) -> Result<(), PipelineError> {
        let Some(line) = self.line()? else {
            self.head = None;
            return Ok(());
        };
        let fields: Vec<&str> = line.split('\t').collect();
        let row = match fields.as_slice() {
            [record, id, others, virus] => record.parse().ok().and_then(|record| {
                let scores = [others.parse().ok()?, virus.parse().ok()?];
                let id = (*id).to_owned();
                Some(Row { record, id, scores })
            }),
            _ => None,
        };
        match row {
            Some(row) if self.shard.has(row.record) => {
                self.head = Some(row);
                Ok(())
            }
            _ => Err(self.wrong("it is no row of this part")),
        }
    }
}

/// Every part once, and all of one run.
fn check_parts(parts: &[Part]) -> Result<(), PipelineError> {
    let wrong = |message: String| PipelineError::new(PipelineErrorKind::Input, message);
    let Some(first) = parts.first() else {
        return Err(wrong("there is no part to merge".to_owned()));
    };
    for part in parts {
        if part.shard.of != first.shard.of || part.job != first.job {
            return Err(wrong(format!(
                "{} and {} are of different runs",
                first.path.display(),
                part.path.display()
            ))
            .with_hint("parts must have the same models, classifier, --chunk and --shard N/M"));
        }
    }
    if first.shard.of != parts.len() as u64 {
        return Err(wrong(format!(
            "{} parts were given, the run has {}",
            parts.len(),
            first.shard.of
        )));
    }
    let mut numbers: Vec<u64> = parts.iter().map(|part| part.shard.number).collect();
    numbers.sort_unstable();
    match numbers.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(wrong(format!(
            "part {}/{} was given twice",
            pair[0], first.shard.of
        ))),
        None => Ok(()),
    }
}
