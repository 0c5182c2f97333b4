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
    ChunkPlace, FAILURES, FAILURES_HEADER, FrameScore, ResultCounts, Results, SHARD_TABLE,
    TEMPORARY, TableFormat, check_folder, files,
};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::output::{Sources, WholeFile};
use crate::shard::{LineError, PartHeader, PartLines, Shard, check_parts, next_part};

/// What the table of a part begins with.
const MARK: &str = "#shard";

/// The table while it is written.
pub(super) struct ShardTable(WholeFile);

impl ShardTable {
    pub(super) fn create(folder: &Path, shard: Shard, job: &str) -> io::Result<Self> {
        let mut table = WholeFile::create_locked(&folder.join(SHARD_TABLE), TEMPORARY)?;
        PartHeader::write(&mut table, MARK, shard, job)?;
        Ok(ShardTable(table))
    }

    /// A record begins: a line of its number and its name, that it is not lost without a frame.
    pub(super) fn record(&mut self, id: &str, number: u64) -> io::Result<()> {
        writeln!(self.0, "{number}\t{id}")
    }

    pub(super) fn write(
        &mut self,
        id: &str,
        record: u64,
        [others, virus]: [f32; 2],
        place: ChunkPlace,
    ) -> io::Result<()> {
        let (others, virus) = (ShortFloat(others), ShortFloat(virus));
        let ChunkPlace {
            start,
            end,
            contig_length,
        } = place;
        writeln!(
            self.0,
            "{record}\t{id}\t{others}\t{virus}\t{start}\t{end}\t{contig_length}"
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
    /// Records and frames without a result.
    pub failed: u64,
}

/// Puts the results of all parts together, in the order of the inputs; what failed, part after part.
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
    let named: Vec<_> = (tables.iter())
        .map(|part| (&part.path, &part.header))
        .collect();
    check_parts(
        &named,
        "parts must have the same models, classifier, --chunk and --shard N/M",
    )?;
    tables.sort_by_key(|part| part.header.shard.number);
    let mut sources = Sources::default();
    for path in parts.iter().flat_map(|part| files(part)) {
        sources.add("a file of a part", &path);
    }
    check_folder(output, force, &sources)?;
    let mut results = Results::create(output, format, force)?;
    for part in &mut tables {
        part.advance()?;
    }
    while let Some(part) = next_part(&mut tables, |part| Some(part.head.as_ref()?.record)) {
        if let Some(Row { id, scored, .. }) = part.head.take() {
            match scored {
                Some((scores, place)) => results.write(FrameScore {
                    id: &id,
                    scores,
                    place: Some(place),
                })?,
                None => results.begin_contig(&id)?,
            }
        }
        part.advance()?;
    }
    let (failures, failed) = merged_failures(&tables, output)
        .map_err(|error| PipelineError::output(&output.display().to_string(), error))?;
    let counts = results.finish()?;
    failures
        .finish()
        .map_err(|error| PipelineError::output(&output.display().to_string(), error))?;
    Ok(Merged {
        parts: tables.len() as u64,
        counts,
        failed,
    })
}

/// One list of what failed in all parts, and how much that is.
fn merged_failures(parts: &[Part], output: &Path) -> io::Result<(WholeFile, u64)> {
    let mut merged = WholeFile::create_locked(&output.join(FAILURES), TEMPORARY)?;
    merged.write_all(FAILURES_HEADER.as_bytes())?;
    let mut failed = 0;
    for part in parts {
        let file = match File::open(part.path.with_file_name(FAILURES)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines().skip(1) {
            writeln!(merged, "{}", line?)?;
            failed += 1;
        }
    }
    Ok((merged, failed))
}

struct Row {
    record: u64,
    id: String,
    /// Scores, and where the chunk lies; `None`: the record begins.
    scored: Option<([f32; 2], ChunkPlace)>,
}

struct Part {
    path: PathBuf,
    header: PartHeader,
    lines: PartLines,
    head: Option<Row>,
}

/// No identifier and its scores make a longer line.
const MAX_LINE_BYTES: u64 = 2 << 20;

impl Part {
    fn open(folder: &Path) -> Result<Self, PipelineError> {
        let path = folder.join(SHARD_TABLE);
        let mut lines = PartLines::open(&path, MAX_LINE_BYTES).map_err(|error| {
            PipelineError::new(
                PipelineErrorKind::Input,
                format!("can not read {}: {error}", path.display()),
            )
            .with_hint("a part is a folder that `sessile viral predict --shard` has finished")
        })?;
        let header = lines.header(MARK);
        let header = header.map_err(|error| cut(&path, lines.number, &error))?;
        let header =
            header.ok_or_else(|| wrong(&path, lines.number, "it is no table of a part"))?;
        Ok(Part {
            header,
            lines,
            head: None,
            path,
        })
    }

    fn advance(&mut self) -> Result<(), PipelineError> {
        let line = self.lines.next_line();
        let line = line.map_err(|error| cut(&self.path, self.lines.number, &error))?;
        let Some(line) = line else {
            self.head = None;
            return Ok(());
        };
        let fields: Vec<&str> = line.split('\t').collect();
        let row = match fields.as_slice() {
            [record, id, others, virus, start, end, length] => {
                record.parse().ok().and_then(|record| {
                    let scores = [others.parse().ok()?, virus.parse().ok()?];
                    let place = ChunkPlace {
                        start: start.parse().ok()?,
                        end: end.parse().ok()?,
                        contig_length: length.parse().ok()?,
                    };
                    Some(Row {
                        record,
                        id: (*id).to_owned(),
                        scored: Some((scores, place)),
                    })
                })
            }
            [record, id] => record.parse().ok().map(|record| Row {
                record,
                id: (*id).to_owned(),
                scored: None,
            }),
            _ => None,
        };
        match row {
            Some(row) if self.header.shard.has(row.record) => {
                self.head = Some(row);
                Ok(())
            }
            _ => Err(wrong(
                &self.path,
                self.lines.number,
                "it is no row of this part",
            )),
        }
    }
}

fn wrong(table: &Path, line: u64, what: &str) -> PipelineError {
    let message = format!("{}, line {line}: {what}", table.display());
    PipelineError::new(PipelineErrorKind::Input, message)
}

/// What is wrong with a line that can not be read.
fn cut(table: &Path, line: u64, error: &LineError) -> PipelineError {
    match error {
        LineError::Cut => wrong(table, line, "the line is not whole"),
        LineError::Unreadable(error) => wrong(table, line, &error.to_string()),
    }
}
