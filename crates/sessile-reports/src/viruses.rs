//! Scores along contigs, drawn as SVG or PNG: a line for each frame, where its chunk lies and as
//! high as its score for *virus*.
//!
//! Chunks overlap, so their number alone does not say where they lie. The table of frames of a run
//! says it; for results without it (scores of feature files, or the original's) it follows by the
//! rule of chunks from how long the contigs are, which their FASTA says. Without either chunks are
//! drawn by their number, and the axis says so.

mod rows;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use sessile_seq::chunk::ranges;
use sessile_seq::fasta::Reader;
use sessile_seq::inputs::{self, Format};

use crate::drawing::{
    Anchor, Axis, Colour, Drawing, Panel as Frame, PictureFormat, Sampled, grouped, shortened,
};
use sessile_pipelines::output::{Sources, check_outputs};
use sessile_pipelines::viral::FrameLabel;
use sessile_pipelines::viral::results::{ChunkPlace, FRAME_RESULTS};
use sessile_pipelines::{PipelineError, PipelineErrorKind};

/// What to draw.
#[derive(Clone, Debug)]
pub struct PlotOptions {
    /// A folder of results, its `prediction_results.txt`, or its table of frames.
    pub results: PathBuf,
    /// FASTA of the contigs, for results that do not say where chunks lie.
    pub contigs_fasta: Vec<PathBuf>,
    /// Contigs to draw, in this order; when empty, the first ones of the file.
    pub contigs: Vec<String>,
    /// Most contigs to draw when none is named.
    pub most: usize,
    /// Bases of a chunk, for `contigs_fasta`.
    pub chunk: NonZeroUsize,
    /// The file to write, `.svg` or `.png`, or `-`.
    pub output: PathBuf,
    /// Write over a file that exists.
    pub force: bool,
}

/// What was drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plotted {
    /// Contigs.
    pub contigs: usize,
    /// Those among them whose chunks are drawn by their number.
    pub by_number: usize,
}

/// A frame as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark {
    /// The number of its chunk, from 1.
    chunk: usize,
    place: Option<ChunkPlace>,
    virus: f32,
    is_virus: bool,
}

/// A contig with the frames in it.
struct Panel {
    contig: String,
    marks: Sampled<Mark>,
    /// Its last base, or the number of its last chunk.
    end: Option<u64>,
    chunks: usize,
}

impl Panel {
    fn new(contig: &str) -> Self {
        Panel {
            contig: contig.to_owned(),
            marks: Sampled::new(MAX_MARKS),
            end: None,
            chunks: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.marks.items().is_empty()
    }

    /// Its bases, when it is known where all of its chunks lie.
    fn bases(&self) -> Option<u64> {
        let is_known = self.marks.items().iter().all(|mark| mark.place.is_some());
        self.end.filter(|_| is_known)
    }

    fn push(&mut self, mark: Mark) {
        self.chunks = self.chunks.max(mark.chunk);
        self.end = self.end.max(mark.place.map(|place| place.contig_length));
        self.marks.push(mark);
    }

    /// Places its chunks on a contig of this length.
    fn place(&mut self, length: usize, chunk: NonZeroUsize) -> Result<(), PipelineError> {
        if self.chunks > ranges(length, chunk).len() {
            let message = format!(
                "{} of {} bases has no chunk {} of {chunk} bases",
                self.contig,
                grouped(length as i64),
                self.chunks
            );
            return Err(PipelineError::new(PipelineErrorKind::Input, message)
                .with_hint("give the FASTA and the --chunk that the results were made with"));
        }
        let contig_length = length as u64;
        self.end = Some(contig_length);
        self.marks.for_each(|mark| {
            let range = ranges(length, chunk).nth(mark.chunk.saturating_sub(1));
            mark.place = range.map(|range| ChunkPlace {
                start: range.start as u64 + 1,
                end: range.end as u64,
                contig_length,
            });
        });
        Ok(())
    }
}

/// Frames that are drawn of one contig; more would be a solid block.
const MAX_MARKS: usize = 200_000;

/// Draws.
///
/// # Errors
///
/// `Usage` when the output is called something else,
/// `Input` when the results can not be read or hold none of the contigs, or the FASTA is not
/// theirs, `Output` when the drawing can not be written.
pub fn run(options: &PlotOptions) -> Result<Plotted, PipelineError> {
    let format = PictureFormat::of_name(&options.output)?;
    let fasta = inputs::expand(&options.contigs_fasta, Format::Fasta)?;
    let sources = Sources::default()
        .with("the results", &rows::file(&options.results))
        .with_inputs(&fasta);
    check_outputs([&options.output], options.force, &sources)?;
    let mut panels = read(options)?;
    if panels.iter().all(Panel::is_empty) {
        let message = format!("{} has none of the contigs", options.results.display());
        return Err(PipelineError::new(PipelineErrorKind::Input, message)
            .with_hint("contigs are named as in the FASTA file"));
    }
    if !options.contigs_fasta.is_empty() {
        place(&mut panels, options)?;
    }
    draw(&panels).write(&options.output, format)?;
    Ok(Plotted {
        contigs: panels.len(),
        by_number: (panels.iter())
            .filter(|panel| !panel.is_empty() && panel.bases().is_none())
            .count(),
    })
}

fn read(options: &PlotOptions) -> Result<Vec<Panel>, PipelineError> {
    let path = rows::file(&options.results);
    let mut panels: Vec<Panel> = (options.contigs.iter())
        .map(|contig| Panel::new(contig))
        .collect();
    let result = rows::read(&path, &mut |row| {
        let label = FrameLabel::parse(row.id);
        let place = panels.iter().position(|panel| panel.contig == label.contig);
        let place = match place {
            Some(place) => place,
            None if options.contigs.is_empty() && panels.len() < options.most => {
                panels.push(Panel::new(label.contig));
                panels.len() - 1
            }
            None => return,
        };
        panels[place].push(Mark {
            chunk: label.chunk.unwrap_or(1),
            place: row.place,
            virus: row.virus,
            is_virus: row.is_virus,
        });
    });
    result.map_err(|what| {
        let message = format!("cannot read {}: {what}", path.display());
        PipelineError::new(PipelineErrorKind::Input, message)
            .with_hint(format!("give a folder of results or its {FRAME_RESULTS}"))
    })?;
    Ok(panels)
}

/// Places the chunks of all contigs by how long these are.
fn place(panels: &mut [Panel], options: &PlotOptions) -> Result<(), PipelineError> {
    let mut is_placed = vec![false; panels.len()];
    for input in inputs::expand(&options.contigs_fasta, Format::Fasta)? {
        let mut reader = Reader::from_input(&input)?;
        let mut record = sessile_seq::fasta::Record::default();
        while reader.read(&mut record)? {
            let found = panels.iter().position(|panel| panel.contig == record.id);
            if let Some(found) = found.filter(|&found| !is_placed[found]) {
                panels[found].place(record.sequence.len(), options.chunk)?;
                is_placed[found] = true;
            }
        }
    }
    let mut placed = panels.iter().zip(is_placed);
    match placed.find(|(panel, is_placed)| !is_placed && !panel.is_empty()) {
        None => Ok(()),
        Some((panel, _)) => {
            let message = format!("the FASTA has no contig {}", panel.contig);
            Err(PipelineError::new(PipelineErrorKind::Input, message)
                .with_hint("give the FASTA that the results were made of"))
        }
    }
}

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 25.0;
const HEAD: f64 = 60.0;
/// A panel with its name above and its numbers below.
const PANEL: f64 = 190.0;
const NAME: f64 = 24.0;
const FOOT: f64 = 50.0;

fn draw(panels: &[Panel]) -> Drawing {
    let mut drawing = Drawing::new(WIDTH, HEAD + panels.len() as f64 * PANEL);
    let at = [LEFT, 24.0];
    drawing.text(at, "Score for virus", 15.0, Colour::INK, Anchor::Start);
    let legend = [("called virus", Colour::YES), ("called others", Colour::NO)];
    drawing.legend([LEFT, 46.0], &legend);
    for (place, panel) in panels.iter().enumerate() {
        draw_panel(&mut drawing, panel, HEAD + place as f64 * PANEL);
    }
    drawing
}

fn draw_panel(drawing: &mut Drawing, panel: &Panel, top: f64) {
    let width = WIDTH - LEFT - RIGHT;
    let bases = panel.bases();
    let size = bases.map_or_else(String::new, |bases| {
        format!(" · {} bases", grouped(bases as i64))
    });
    let name = shortened(&panel.contig, 13.0, width - 420.0) + &size;
    drawing.text([LEFT, top + 16.0], name, 13.0, Colour::INK, Anchor::Start);
    if panel.marks.stride() > 1 {
        let note = format!("1 of {} frames is drawn", panel.marks.stride());
        let at = [WIDTH - RIGHT, top + 16.0];
        drawing.text(at, note, 11.0, Colour::FAINT, Anchor::End);
    }
    let (x, x_name) = match bases {
        Some(bases) => (Axis::linear(0.0, bases as f64, false), "position (bases)"),
        None => (Axis::counted(panel.chunks as u64), "number of the chunk"),
    };
    let frame = Frame {
        at: [LEFT, top + NAME],
        size: [width, PANEL - NAME - FOOT],
        x,
        y: Axis::linear(0.0, 1.0, false),
    };
    frame.frame(drawing, x_name, "score");
    for (is_virus, colour) in [(false, Colour::NO), (true, Colour::YES)] {
        let marks = panel.marks.items().iter();
        let segments = marks.filter(|mark| mark.is_virus == is_virus).map(|mark| {
            let (start, end) = match mark.place.filter(|_| bases.is_some()) {
                Some(place) => (place.start.saturating_sub(1) as f64, place.end as f64),
                None => (mark.chunk.saturating_sub(1) as f64, mark.chunk as f64),
            };
            let [from, y] = frame.point(start, f64::from(mark.virus).clamp(0.0, 1.0));
            let [to, _] = frame.point(end, 0.0);
            [from, y, to, y]
        });
        drawing.segments(segments.collect(), colour, 2.0, 1.0);
    }
}

#[cfg(test)]
mod tests;
