//! Tables in TSV: frames, chunks and contigs, each a stream in the order of the input.

use std::io::{self, Write};

use super::super::label::FrameLabel;
use super::super::number::ShortFloat;
use super::{FrameScore, leans_to_virus};
use crate::output::WholeFile;

pub(super) const FRAMES: &str = "frames.tsv";
pub(super) const CHUNKS: &str = "chunks.tsv";
pub(super) const CONTIGS: &str = "contigs.tsv";

pub(super) struct Tables {
    frames: WholeFile,
    chunks: WholeFile,
    contigs: WholeFile,
    chunk: Option<Chunk>,
    contig: Option<Contig>,
    contigs_written: u64,
}

/// The chunk whose frames are coming in.
struct Chunk {
    id: String,
    number: Option<usize>,
    frames: u32,
    virus_frames: u32,
    others: f32,
    virus: f32,
    best_frame: String,
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

impl Tables {
    pub(super) fn new(frames: WholeFile, chunks: WholeFile, contigs: WholeFile) -> Self {
        Tables {
            frames,
            chunks,
            contigs,
            chunk: None,
            contig: None,
            contigs_written: 0,
        }
    }

    pub(super) fn header(&mut self) -> io::Result<()> {
        writeln!(
            self.frames,
            "sequence_id\tcontig\tchunk\tframe\tprediction\tscore_others\tscore_virus"
        )?;
        writeln!(
            self.chunks,
            "chunk_id\tcontig\tchunk\tframes\tvirus_frames\tbest_frame\tscore_others\tscore_virus\
             \tis_virus"
        )?;
        writeln!(
            self.contigs,
            "contig\tchunks\tvirus_chunks\tvirus_share\tframes\tmean_score_virus\t\
             best_score_virus\tis_virus"
        )
    }

    pub(super) fn add(&mut self, label: &FrameLabel<'_>, frame: FrameScore<'_>) -> io::Result<()> {
        let [others, virus] = frame.scores;
        writeln!(
            self.frames,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            frame.id,
            label.contig,
            Number(label.chunk),
            label.frame,
            frame.label(),
            ShortFloat(others),
            ShortFloat(virus)
        )?;
        if self
            .chunk
            .as_ref()
            .is_some_and(|chunk| chunk.id != label.chunk_id)
        {
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
        });
        chunk.frames += 1;
        chunk.virus_frames += u32::from(leans_to_virus(others, virus));
        chunk.others = chunk.others.max(others);
        if virus > chunk.virus {
            chunk.virus = virus;
            chunk.best_frame = label.frame.to_owned();
        }
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
        let contig = self.contig.get_or_insert_with(|| Contig {
            id: label.contig.to_owned(),
            last_chunk: None,
            chunks: 0,
            virus_chunks: 0,
            frames: 0,
            sum: 0.0,
            best: f32::NEG_INFINITY,
        });
        contig.last_chunk = label.chunk;
        Ok(())
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        let (Some(chunk), Some(contig)) = (self.chunk.take(), &mut self.contig) else {
            return Ok(());
        };
        contig.chunks += 1;
        contig.virus_chunks += u64::from(chunk.is_virus());
        contig.frames += u64::from(chunk.frames);
        contig.sum += f64::from(chunk.virus);
        contig.best = contig.best.max(chunk.virus);
        writeln!(
            self.chunks,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            chunk.id,
            contig.id,
            Number(chunk.number),
            chunk.frames,
            chunk.virus_frames,
            chunk.best_frame,
            ShortFloat(chunk.others),
            ShortFloat(chunk.virus),
            chunk.is_virus()
        )
    }

    /// A contig is a virus when at least half of its chunks are.
    fn end_contig(&mut self) -> io::Result<()> {
        let Some(contig) = self.contig.take() else {
            return Ok(());
        };
        self.contigs_written += 1;
        let chunks = contig.chunks.max(1) as f64;
        writeln!(
            self.contigs,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            contig.id,
            contig.chunks,
            contig.virus_chunks,
            ShortFloat((contig.virus_chunks as f64 / chunks) as f32),
            contig.frames,
            ShortFloat((contig.sum / chunks) as f32),
            ShortFloat(contig.best),
            2 * contig.virus_chunks >= contig.chunks
        )
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

/// A number that may be missing.
struct Number(Option<usize>);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |number| number.fmt(f))
    }
}
