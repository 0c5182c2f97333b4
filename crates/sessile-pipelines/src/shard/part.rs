//! A part: the results of a shard, in whatever form they become files.
//!
//! It is made of the frames of a journal: what it was computed with, then for each record, in their
//! order, its rows and failures, then the number of records of the whole run. Whoever merges knows
//! by it that a part is whole and of the same inputs as the others.
//!
//! ```text
//! SESSPRT1 | header | entry | … | end
//! ```

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Shard;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::journal::Fingerprint;
use crate::journal::frame::{self, Frames, Kind};
use crate::output::{Destination, Row, Schema};

const MAGIC: &[u8; 8] = b"SESSPRT1";

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// What a part says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PartHeader {
    pub(crate) shard: Shard,
    /// Everything that the results depend on, apart from the inputs.
    pub(crate) fingerprint: Fingerprint,
    /// The columns of its rows.
    pub(crate) schema: Schema,
    /// What else its job needs to make files of it.
    pub(crate) more: Vec<usize>,
}

/// What came of a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// One of its rows.
    Row(Row),
    /// What only its job can read.
    Own(Vec<u8>),
    /// Why it has no result.
    Failure {
        id: String,
        place: String,
        reason: String,
    },
}

const ROW: u8 = 0;
const OWN: u8 = 1;
const FAILURE: u8 = 2;

/// A piece and the number of its record over all inputs, from 0.
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) piece: Piece,
}

/// A part while it is written.
pub(crate) struct PartWriter {
    path: PathBuf,
    out: Destination,
    schema: Schema,
    shard: Shard,
    frames: u64,
    buffer: Vec<u8>,
}

impl PartWriter {
    pub(crate) fn create(
        path: &Path,
        out: Destination,
        header: PartHeader,
    ) -> Result<Self, PipelineError> {
        let mut part = PartWriter {
            path: path.to_owned(),
            out,
            shard: header.shard,
            frames: 0,
            buffer: MAGIC.to_vec(),
            schema: header.schema.clone(),
        };
        let text = serde_json::to_vec(&header).map_err(|error| part.failed(error.into()))?;
        part.push(Kind::Fingerprint, &[&text])?;
        Ok(part)
    }

    fn failed(&self, error: io::Error) -> PipelineError {
        PipelineError::output(&self.path.display().to_string(), error)
    }

    fn push(&mut self, kind: Kind, body: &[&[u8]]) -> Result<(), PipelineError> {
        let start = frame::begin(&mut self.buffer, kind, self.frames);
        body.iter()
            .for_each(|bytes| self.buffer.extend_from_slice(bytes));
        frame::end(&mut self.buffer, start);
        self.frames += 1;
        match self.buffer.len() < BUFFER_BYTES {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<(), PipelineError> {
        let written = self.out.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| self.failed(error))
    }

    fn entry(&mut self, number: u64, kind: u8, body: &[&[u8]]) -> Result<(), PipelineError> {
        let number = number.to_le_bytes();
        let mut whole: Vec<&[u8]> = vec![&number, std::slice::from_ref(&kind)];
        whole.extend(body);
        self.push(Kind::Entry, &whole)
    }

    pub(crate) fn row(&mut self, number: u64, row: &Row) -> Result<(), PipelineError> {
        let length = (row.id.len() as u64).to_le_bytes();
        let cells = row.to_bytes(&self.schema);
        self.entry(number, ROW, &[&length, row.id.as_bytes(), &cells])
    }

    pub(crate) fn own(&mut self, number: u64, bytes: &[u8]) -> Result<(), PipelineError> {
        self.entry(number, OWN, &[bytes])
    }

    /// What all shards meet, such as a file that breaks off, is the first one's to tell.
    pub(crate) fn failure(
        &mut self,
        number: u64,
        is_common: bool,
        texts: (&str, &str, &str),
    ) -> Result<(), PipelineError> {
        if is_common && self.shard.number != 1 {
            return Ok(());
        }
        let texts = serde_json::to_vec(&texts).map_err(|error| self.failed(error.into()))?;
        self.entry(number, FAILURE, &[&texts])
    }

    /// Writes the number of all records, its own and those of other shards, and names the file.
    pub(crate) fn finish(mut self, records: u64) -> Result<(), PipelineError> {
        self.push(Kind::Finishing, &[&records.to_le_bytes()])?;
        self.flush()?;
        let path = self.path.display().to_string();
        let finished = self.out.finish();
        finished.map_err(|error| PipelineError::output(&path, error))
    }
}

/// A part while it is read.
pub(super) struct PartReader {
    pub(super) path: PathBuf,
    pub(super) header: PartHeader,
    frames: Frames<BufReader<File>>,
    /// Records of the whole run, once the end was read.
    pub(super) records: Option<u64>,
}

impl PartReader {
    pub(super) fn open(path: &Path) -> Result<Self, PipelineError> {
        let unreadable = |error: io::Error| {
            let message = format!("cannot read {}: {error}", path.display());
            PipelineError::new(PipelineErrorKind::Input, message)
                .with_hint("a part is a file OUTPUT.part-I-of-N that a run with --shard has left")
        };
        refuse_old(path)?;
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut input = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut magic = [0; MAGIC.len()];
        let is_part = frame::fill(&mut input, &mut magic).map_err(unreadable)? && magic == *MAGIC;
        let mut frames = Frames::new(input, length.saturating_sub(MAGIC.len() as u64));
        let header = match is_part {
            true => frames.next().map_err(unreadable)?,
            false => None,
        };
        let header = header.and_then(|(kind, body)| match kind {
            Kind::Fingerprint => serde_json::from_slice(body).ok(),
            _ => None,
        });
        let header = header.ok_or_else(|| {
            unreadable(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is no part of a run, or one of another version of sessile",
            ))
        })?;
        Ok(PartReader {
            path: path.to_owned(),
            header,
            frames,
            records: None,
        })
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    ///
    /// `Input` when the file breaks off or makes no sense.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, PipelineError> {
        let cut = |path: &Path, what: String| {
            let message = format!("{}: {what}", path.display());
            PipelineError::new(PipelineErrorKind::Input, message)
                .with_hint("run this shard again with --force")
        };
        let number = self.frames.number();
        match self.frames.next() {
            Ok(Some((Kind::Entry, body))) => match entry(body, &self.header.schema) {
                Some(entry) if self.header.shard.has(entry.number) || is_failure(&entry) => {
                    Ok(Some(entry))
                }
                _ => Err(cut(
                    &self.path,
                    format!("entry {number} is none of this part"),
                )),
            },
            Ok(Some((Kind::Finishing, body))) => {
                self.records = body.try_into().ok().map(u64::from_le_bytes);
                Ok(None)
            }
            Ok(_) => Err(cut(&self.path, "the file is not whole".to_owned())),
            Err(error) => Err(cut(&self.path, error.to_string())),
        }
    }
}

/// The first shard also tells what no record of its own has to do with.
fn is_failure(entry: &Entry) -> bool {
    matches!(entry.piece, Piece::Failure { .. })
}

fn entry(body: &[u8], schema: &Schema) -> Option<Entry> {
    let (number, rest) = body.split_first_chunk::<8>()?;
    let (kind, rest) = rest.split_first()?;
    let piece = match *kind {
        ROW => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let (id, cells) = rest.split_at_checked(length)?;
            let id = String::from_utf8(id.to_vec()).ok()?;
            Piece::Row(Row::from_bytes(id, cells, schema)?)
        }
        OWN => Piece::Own(rest.to_vec()),
        FAILURE => {
            let (id, place, reason) = serde_json::from_slice(rest).ok()?;
            Piece::Failure { id, place, reason }
        }
        _ => return None,
    };
    Some(Entry {
        number: u64::from_le_bytes(*number),
        piece,
    })
}

/// Refuses what shards of earlier versions left: files beside a table, or folders with one.
fn refuse_old(path: &Path) -> Result<(), PipelineError> {
    let tables = [
        crate::journal::beside(path, ".part"),
        path.join("shard.tsv"),
    ];
    match tables.iter().find(|table| table.exists()) {
        None => Ok(()),
        Some(table) => Err(PipelineError::new(
            PipelineErrorKind::Input,
            format!(
                "{} is a part of an earlier version of sessile ({} lies with it)",
                path.display(),
                table.display()
            ),
        )
        .with_hint("merge it with the version that made it, or run the shards again")),
    }
}
