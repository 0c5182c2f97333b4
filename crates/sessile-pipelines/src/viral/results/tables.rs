//! Tables of frames, chunks and contigs, each a stream in the order of the input.

use std::io;
use std::path::Path;

use super::super::label::FrameLabel;
use super::{ChunkPlace, FrameScore, TEMPORARY, leans_to_virus};
use crate::output::{Cell, Column, ColumnKind, Compression, Destination, Format, Presence};
use crate::output::{Row, RowWriter, Schema};

/// The names of the tables.
pub(super) const TABLES: [&str; 3] = [FRAME_TABLE, "chunks", "contigs"];

/// The name of the table of frames.
pub const FRAME_TABLE: &str = "frames";

/// The first base of a chunk, from 1; empty where it is not known.
pub const START: &str = "start";
/// The last base of a chunk; empty where it is not known.
pub const END: &str = "end";
/// The bases of its contig; empty where they are not known.
pub const CONTIG_LENGTH: &str = "contig_length";

/// The columns of the three tables.
pub(super) fn schemas() -> [Schema; 3] {
    use ColumnKind::{Flag, Integer, Single, Text};
    let always = |name: &str, kind| Column::new(name, kind);
    let maybe = |name, kind| always(name, kind).with_presence(Presence::Nullable);
    let place = || {
        [START, END, CONTIG_LENGTH]
            .into_iter()
            .map(|name| maybe(name, Integer))
    };
    let mut frames = vec![
        always("contig", Text),
        maybe("chunk", Integer),
        always("frame", Text),
        always("prediction", Text),
        always("score_others", Single),
        always("score_virus", Single),
    ];
    frames.extend(place());
    let mut chunks = vec![
        always("contig", Text),
        maybe("chunk", Integer),
        always("frames", Integer),
        always("virus_frames", Integer),
        always("best_frame", Text),
        always("score_others", Single),
        always("score_virus", Single),
        always("is_virus", Flag),
    ];
    chunks.extend(place());
    let contigs = vec![
        always("chunks", Integer),
        always("virus_chunks", Integer),
        maybe("virus_share", Single),
        always("frames", Integer),
        maybe("mean_score_virus", Single),
        maybe("best_score_virus", Single),
        maybe("is_virus", Flag),
    ];
    [
        Schema::new(frames).with_id("sequence_id"),
        Schema::new(chunks).with_id("chunk_id"),
        Schema::new(contigs).with_id("contig"),
    ]
}

/// Formats that can hold the tables.
pub(super) fn table_formats() -> impl Iterator<Item = Format> {
    let can_hold = |format: &Format| {
        let check = |schema: &Schema| format.check(Path::new("table"), schema).is_ok();
        schemas().iter().all(check)
    };
    Format::all().filter(can_hold)
}

/// The name of a table's file.
pub(super) fn file_name(table: &str, format: Format) -> String {
    let extension = format.extensions().first().copied();
    format!("{table}.{}", extension.unwrap_or_default())
}

pub(super) struct Tables {
    frames: Box<dyn RowWriter>,
    chunks: Box<dyn RowWriter>,
    contigs: Box<dyn RowWriter>,
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
fn fields(place: Option<ChunkPlace>) -> [Cell; 3] {
    [
        count(place.map(|place| place.start)),
        count(place.map(|place| place.end)),
        count(place.map(|place| place.contig_length)),
    ]
}

/// A number that may not be known.
fn count(number: Option<u64>) -> Cell {
    number.map_or(Cell::Missing, |number| Cell::Integer(number as i64))
}

fn row(id: &str, cells: Vec<Cell>) -> Row {
    Row {
        id: id.to_owned(),
        cells,
    }
}

impl Tables {
    pub(super) fn create(folder: &Path, format: Format) -> io::Result<Self> {
        let open = |table, schema: &Schema| {
            let path = folder.join(file_name(table, format));
            let out = Destination::open_locked(&path, TEMPORARY)?;
            format.writer(out, Compression::None, schema)
        };
        let [frames, chunks, contigs] = schemas();
        Ok(Tables {
            frames: open(TABLES[0], &frames)?,
            chunks: open(TABLES[1], &chunks)?,
            contigs: open(TABLES[2], &contigs)?,
            chunk: None,
            contig: None,
            contigs_written: 0,
        })
    }

    pub(super) fn add(&mut self, label: &FrameLabel<'_>, frame: FrameScore<'_>) -> io::Result<()> {
        let [others, virus] = frame.scores;
        let [start, end, length] = fields(frame.place);
        let cells = vec![
            Cell::Text(label.contig.to_owned()),
            count(label.chunk.map(|chunk| chunk as u64)),
            Cell::Text(label.frame.to_owned()),
            Cell::Text(frame.label().to_owned()),
            Cell::Single(others),
            Cell::Single(virus),
            start,
            end,
            length,
        ];
        self.frames.write(&row(frame.id, cells))?;
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
        let cells = vec![
            Cell::Text(contig.id.clone()),
            count(chunk.number.map(|number| number as u64)),
            count(Some(chunk.frames)),
            count(Some(chunk.virus_frames)),
            Cell::Text(chunk.best_frame.clone()),
            Cell::Single(chunk.others),
            Cell::Single(chunk.virus),
            Cell::Flag(chunk.is_virus()),
            start,
            end,
            length,
        ];
        self.chunks.write(&row(&chunk.id, cells))
    }

    /// A contig is a virus when at least half of its chunks are; one without a frame is neither.
    fn end_contig(&mut self) -> io::Result<()> {
        let Some(contig) = self.contig.take() else {
            return Ok(());
        };
        self.contigs_written += 1;
        let chunks = contig.chunks.max(1) as f64;
        let score = |score: f64| match contig.chunks {
            0 => Cell::Missing,
            _ => Cell::Single(score as f32),
        };
        let cells = vec![
            count(Some(contig.chunks)),
            count(Some(contig.virus_chunks)),
            score(contig.virus_chunks as f64 / chunks),
            count(Some(contig.frames)),
            score(contig.sum / chunks),
            score(f64::from(contig.best)),
            match contig.chunks {
                0 => Cell::Missing,
                chunks => Cell::Flag(2 * contig.virus_chunks >= chunks),
            },
        ];
        self.contigs.write(&row(&contig.id, cells))
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
