//! A shard's results on their way into its part, and the files that all parts become.

use super::super::results::{
    ChunkPlace, FrameScore, ListedFailures, Results, check_folder, check_tables,
};
use super::saved::Saver;
use super::task::Scored;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::output::Format;
use crate::shard::{Entry, MergeSink, Piece, Shared};

const RECORD: u8 = 0;
const FRAME: u8 = 1;

/// A record begins, as its part keeps it.
pub(super) fn record(id: &str) -> Vec<u8> {
    [&[RECORD], id.as_bytes()].concat()
}

/// A frame of it: where its chunk lies, how many numbers follow, these, and its name.
pub(super) fn frame(id: &str, place: ChunkPlace, scored: &Scored) -> Vec<u8> {
    let mut bytes = vec![FRAME];
    for number in [place.start, place.end, place.contig_length] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend((scored.features.len() as u64).to_le_bytes());
    let numbers = scored.scores.iter().chain(&scored.features);
    bytes.extend(numbers.flat_map(|number| number.to_le_bytes()));
    bytes.extend(id.as_bytes());
    bytes
}

fn read_frame(bytes: &[u8]) -> Option<(&str, ChunkPlace, Scored)> {
    let (numbers, rest) = bytes.split_at_checked(4 * size_of::<u64>())?;
    let (numbers, _) = numbers.as_chunks::<8>();
    let [start, end, contig_length, count] = numbers else {
        return None;
    };
    let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let count = usize::try_from(number(count)).ok()?.checked_add(2)?;
    let (floats, id) = rest.split_at_checked(count.checked_mul(size_of::<f32>())?)?;
    let (floats, _) = floats.as_chunks::<4>();
    let mut floats = floats.iter().copied().map(f32::from_le_bytes);
    let place = ChunkPlace {
        start: number(start),
        end: number(end),
        contig_length: number(contig_length),
    };
    let scores = [floats.next()?, floats.next()?];
    let features = floats.collect();
    let id = str::from_utf8(id).ok()?;
    Some((id, place, Scored { scores, features }))
}

/// What the list in the folder says of a failure: the place, where that is not the name.
pub(super) fn listed(id: &str, place: &str, reason: &str) -> String {
    match place == id || place.is_empty() {
        true => reason.to_owned(),
        false => format!("{place}: {reason}"),
    }
}

struct Folder {
    name: String,
    results: Results,
    failures: ListedFailures,
    saver: Option<Saver>,
}

/// The folder of results that parts of `viral predict` become.
pub(crate) fn merge_sink(shared: &Shared<'_>) -> Result<Box<dyn MergeSink>, PipelineError> {
    let options = shared.options;
    let usage = |message: &str| Err(PipelineError::new(PipelineErrorKind::Usage, message));
    let [folder] = options.outputs.as_slice() else {
        return usage("results of `viral predict` go to one folder");
    };
    if options.compression.is_some() {
        return usage("tables of `viral predict` are not compressed");
    }
    let tables = options.format.unwrap_or(Format::TSV);
    check_tables(folder, tables)?;
    check_folder(folder, options.force, &shared.sources)?;
    let name = folder.display().to_string();
    let failed = |error| PipelineError::output(&name, error);
    let results = Results::create(folder, tables, true)?;
    let saver = match shared.header.more.as_slice() {
        &[nucleotide, protein] => {
            Some(Saver::create(folder, [nucleotide, protein]).map_err(failed)?)
        }
        _ => None,
    };
    Ok(Box::new(Folder {
        results,
        failures: ListedFailures::create(folder)?,
        saver,
        name,
    }))
}

impl MergeSink for Folder {
    fn write(&mut self, entry: &Entry) -> Result<(), PipelineError> {
        let bytes = match &entry.piece {
            Piece::Own(bytes) => bytes,
            Piece::Failure { id, place, reason } => {
                return self.failures.push(id, &listed(id, place, reason));
            }
            Piece::Row(_) => return Ok(()),
        };
        let wrong = || {
            let message = format!("record {}: its entry makes no sense", entry.number);
            PipelineError::new(PipelineErrorKind::Input, message)
        };
        match bytes.split_first() {
            Some((&RECORD, id)) => {
                let id = str::from_utf8(id).map_err(|_| wrong())?;
                self.results.begin_contig(id)
            }
            Some((&FRAME, frame)) => {
                let (id, place, scored) = read_frame(frame).ok_or_else(wrong)?;
                self.results.write(FrameScore {
                    id,
                    scores: scored.scores,
                    place: Some(place),
                })?;
                match &mut self.saver {
                    Some(saver) => saver
                        .push(id, &scored.features)
                        .map_err(|error| PipelineError::output(&self.name, error)),
                    None => Ok(()),
                }
            }
            _ => Err(wrong()),
        }
    }

    fn finish(self: Box<Self>) -> Result<Vec<String>, PipelineError> {
        self.failures.finish()?;
        if let Some(saver) = self.saver {
            let finished = saver.finish();
            finished.map_err(|error| PipelineError::output(&self.name, error))?;
        }
        self.results.finish()?;
        Ok(Vec::new())
    }
}
