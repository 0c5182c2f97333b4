//! Tables of frames, chunks and contigs, each a stream in the order of the input.

use std::io;
use std::path::Path;

use super::super::label::FrameLabel;
use super::table::{Column, Kind, Table, TableFormat, Value};
use super::{ChunkPlace, FrameScore, leans_to_virus};

/// The names of the tables.
pub(super) const TABLES: [&str; 3] = [FRAME_TABLE, "chunks", "contigs"];

/// The name of the table of frames.
pub(in crate::viral) const FRAME_TABLE: &str = "frames";

/// The columns that say where a chunk lies; empty where that is not known.
pub(in crate::viral) const START: &str = "start";
pub(in crate::viral) const END: &str = "end";
pub(in crate::viral) const CONTIG_LENGTH: &str = "contig_length";

const FRAME_COLUMNS: [Column; 10] = [
    ("sequence_id", Kind::Text),
    ("contig", Kind::Text),
    ("chunk", Kind::Count),
    ("frame", Kind::Text),
    ("prediction", Kind::Text),
    ("score_others", Kind::Score),
    ("score_virus", Kind::Score),
    (START, Kind::Count),
    (END, Kind::Count),
    (CONTIG_LENGTH, Kind::Count),
];

const CHUNK_COLUMNS: [Column; 12] = [
    ("chunk_id", Kind::Text),
    ("contig", Kind::Text),
    ("chunk", Kind::Count),
    ("frames", Kind::Count),
    ("virus_frames", Kind::Count),
    ("best_frame", Kind::Text),
    ("score_others", Kind::Score),
    ("score_virus", Kind::Score),
    ("is_virus", Kind::Flag),
    (START, Kind::Count),
    (END, Kind::Count),
    (CONTIG_LENGTH, Kind::Count),
];

const CONTIG_COLUMNS: [Column; 8] = [
    ("contig", Kind::Text),
    ("chunks", Kind::Count),
    ("virus_chunks", Kind::Count),
    ("virus_share", Kind::ScoreIfAny),
    ("frames", Kind::Count),
    ("mean_score_virus", Kind::ScoreIfAny),
    ("best_score_virus", Kind::ScoreIfAny),
    ("is_virus", Kind::FlagIfAny),
];

pub(super) struct Tables {
    frames: Table,
    chunks: Table,
    contigs: Table,
    chunk: Option<Chunk>,
    contig: Option<Contig>,
    contigs_written: u64,
}

/// The chunk whose frames are coming in.
struct Chunk {
    id: String,
    number: Option<usize>,
    frames: u64,
    virus_frames: u64,
    others: f32,
    virus: f32,
    best_frame: String,
    place: Option<ChunkPlace>,
}

impl Chunk {
    /// The original's rule: the best score for *virus* is at least the best for *others*.
    fn is_virus(&self) -> bool {
        leans_to_virus(self.others, self.virus)
    }
}

/// The contig whose chunks are coming in.
struct Contig {
    id: String,
    last_chunk: Option<usize>,
    chunks: u64,
    virus_chunks: u64,
    frames: u64,
    sum: f64,
    best: f32,
}

impl Contig {
    fn new(id: &str) -> Self {
        Contig {
            id: id.to_owned(),
            last_chunk: None,
            chunks: 0,
            virus_chunks: 0,
            frames: 0,
            sum: 0.0,
            best: f32::NEG_INFINITY,
        }
    }
}

/// The fields of the columns that say where a chunk lies.
fn fields(place: Option<ChunkPlace>) -> [Value<'static>; 3] {
    [
        Value::Count(place.map(|place| place.start)),
        Value::Count(place.map(|place| place.end)),
        Value::Count(place.map(|place| place.contig_length)),
    ]
}

impl Tables {
    pub(super) fn create(folder: &Path, format: TableFormat) -> io::Result<Self> {
        let [frames, chunks, contigs] = TABLES;
        Ok(Tables {
            frames: Table::create(folder, frames, &FRAME_COLUMNS, format)?,
            chunks: Table::create(folder, chunks, &CHUNK_COLUMNS, format)?,
            contigs: Table::create(folder, contigs, &CONTIG_COLUMNS, format)?,
            chunk: None,
            contig: None,
            contigs_written: 0,
        })
    }

    pub(super) fn add(&mut self, label: &FrameLabel<'_>, frame: FrameScore<'_>) -> io::Result<()> {
        let [others, virus] = frame.scores;
        let [start, end, length] = fields(frame.place);
        self.frames.row(&[
            Value::Text(frame.id),
            Value::Text(label.contig),
            Value::Count(label.chunk.map(|chunk| chunk as u64)),
            Value::Text(label.frame),
            Value::Text(frame.label()),
            Value::Score(others),
            Value::Score(virus),
            start,
            end,
            length,
        ])?;
        if (self.chunk.as_ref()).is_some_and(|chunk| chunk.id != label.chunk_id) {
            self.end_chunk()?;
        }
        self.enter_contig(label)?;
        let chunk = self.chunk.get_or_insert_with(|| Chunk {
            id: label.chunk_id.to_owned(),
            number: label.chunk,
            frames: 0,
            virus_frames: 0,
            others: f32::NEG_INFINITY,
            virus: f32::NEG_INFINITY,
            best_frame: String::new(),
            place: frame.place,
        });
        chunk.frames += 1;
        chunk.virus_frames += u64::from(leans_to_virus(others, virus));
        chunk.others = chunk.others.max(others);
        if virus > chunk.virus {
            chunk.virus = virus;
            chunk.best_frame = label.frame.to_owned();
        }
        Ok(())
    }

    /// Another contig begins, with frames or without.
    pub(super) fn begin_contig(&mut self, id: &str) -> io::Result<()> {
        self.end_chunk()?;
        self.end_contig()?;
        self.contig = Some(Contig::new(id));
        Ok(())
    }

    /// Chunks of a contig come with rising numbers; another name, or a number that falls back,
    /// begins the next contig (two records may have the same name).
    fn enter_contig(&mut self, label: &FrameLabel<'_>) -> io::Result<()> {
        let goes_on = self
            .contig
            .as_ref()
            .is_some_and(|contig| contig.id == label.contig && contig.last_chunk <= label.chunk);
        if !goes_on {
            self.end_chunk()?;
            self.end_contig()?;
        }
        let contig = self.contig.get_or_insert_with(|| Contig::new(label.contig));
        contig.last_chunk = label.chunk;
        Ok(())
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        let (Some(chunk), Some(contig)) = (self.chunk.take(), &mut self.contig) else {
            return Ok(());
        };
        contig.chunks += 1;
        contig.virus_chunks += u64::from(chunk.is_virus());
        contig.frames += chunk.frames;
        contig.sum += f64::from(chunk.virus);
        contig.best = contig.best.max(chunk.virus);
        let [start, end, length] = fields(chunk.place);
        self.chunks.row(&[
            Value::Text(&chunk.id),
            Value::Text(&contig.id),
            Value::Count(chunk.number.map(|number| number as u64)),
            Value::Count(Some(chunk.frames)),
            Value::Count(Some(chunk.virus_frames)),
            Value::Text(&chunk.best_frame),
            Value::Score(chunk.others),
            Value::Score(chunk.virus),
            Value::Flag(chunk.is_virus()),
            start,
            end,
            length,
        ])
    }

    /// A contig is a virus when at least half of its chunks are; one without a frame is neither.
    fn end_contig(&mut self) -> io::Result<()> {
        let Some(contig) = self.contig.take() else {
            return Ok(());
        };
        self.contigs_written += 1;
        let chunks = contig.chunks.max(1) as f64;
        let score = |score: f64| match contig.chunks {
            0 => Value::None,
            _ => Value::Score(score as f32),
        };
        self.contigs.row(&[
            Value::Text(&contig.id),
            Value::Count(Some(contig.chunks)),
            Value::Count(Some(contig.virus_chunks)),
            score(contig.virus_chunks as f64 / chunks),
            Value::Count(Some(contig.frames)),
            score(contig.sum / chunks),
            score(f64::from(contig.best)),
            match contig.chunks {
                0 => Value::None,
                chunks => Value::Flag(2 * contig.virus_chunks >= chunks),
            },
        ])
    }

    /// Writes what is left and gives the number of contigs.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.end_chunk()?;
        self.end_contig()?;
        self.frames.finish()?;
        self.chunks.finish()?;
        self.contigs.finish()?;
        Ok(self.contigs_written)
    }
}
