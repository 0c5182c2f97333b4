//! Scores along contigs, drawn as SVG or PNG: a line for each frame, where its chunk lies and as high as its
//! score for *virus*.
//!
//! Result files do not say how far chunks overlap, so a chunk is drawn at its number times the length
//! of a chunk, as the original does; in the middle of a contig that is off by less than one chunk.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use sessile_seq::inputs::Input;

use super::label::FrameLabel;
use super::results::FRAME_RESULTS;
use crate::drawing::{Anchor, Axis, Colour, Drawing, Panel as Frame, PictureFormat, shortened};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::output::{Destination, Sources, check_outputs};

/// What to draw.
#[derive(Clone, Debug)]
pub struct PlotOptions {
    /// A folder of results, or a file `prediction_results.txt`.
    pub results: PathBuf,
    /// Contigs to draw, in this order; when empty, the first ones of the file.
    pub contigs: Vec<String>,
    /// Most contigs to draw when none is named.
    pub most: usize,
    /// Bases of a chunk.
    pub chunk: usize,
    /// The file to write, `.svg` or `.png`, or `-`.
    pub output: PathBuf,
    /// Write over a file that exists.
    pub force: bool,
}

/// A frame as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark {
    chunk: usize,
    virus: f32,
    is_virus: bool,
}

/// A contig with the frames in it.
struct Panel {
    contig: String,
    marks: Vec<Mark>,
}

/// No identifier and its scores make a longer line.
const MAX_LINE_BYTES: u64 = 2 << 20;

/// Frames that are drawn of one contig; more would be a solid block.
const MAX_MARKS: usize = 200_000;

/// Draws and gives the number of contigs.
///
/// # Errors
///
/// `Usage` when the output is called something else,
/// `Input` when the results can not be read or hold none of the contigs, `Output` when the drawing
/// can not be written.
pub fn run(options: &PlotOptions) -> Result<usize, PipelineError> {
    let Some(format) = PictureFormat::of_name(&options.output) else {
        let message = format!("{} is not called .svg or .png", options.output.display());
        return Err(PipelineError::new(PipelineErrorKind::Usage, message)
            .with_hint("name the picture .svg or .png"));
    };
    let sources = Sources::default().with("the results", &results_file(options));
    check_outputs([&options.output], options.force, &sources)?;
    let panels = read(options)?;
    if panels.iter().all(|panel| panel.marks.is_empty()) {
        let message = format!("{} has none of the contigs", options.results.display());
        return Err(PipelineError::new(PipelineErrorKind::Input, message)
            .with_hint("contigs are named as in the FASTA file"));
    }
    let name = options.output.display().to_string();
    let picture = draw(&panels, options.chunk)
        .write(format)
        .map_err(|error| {
            let message = format!("can not draw {name}: {error}");
            PipelineError::new(PipelineErrorKind::Output, message).with_hint("name it .svg")
        })?;
    let failed = |error| PipelineError::output(&name, error);
    let mut out = Destination::open(&options.output).map_err(failed)?;
    out.write_all(&picture).map_err(failed)?;
    out.finish().map_err(failed)?;
    Ok(panels.len())
}

fn results_file(options: &PlotOptions) -> PathBuf {
    match options.results.is_dir() {
        true => options.results.join(FRAME_RESULTS),
        false => options.results.clone(),
    }
}

fn read(options: &PlotOptions) -> Result<Vec<Panel>, PipelineError> {
    let path = results_file(options);
    let unreadable = |what: String| {
        let message = format!("can not read {}: {what}", path.display());
        PipelineError::new(PipelineErrorKind::Input, message)
    };
    let source = Input::File(path.clone()).open();
    let source = source.map_err(|error| unreadable(error.message().to_owned()))?;
    let mut lines = BufReader::new(source);
    let mut panels: Vec<Panel> = (options.contigs.iter())
        .map(|contig| Panel {
            contig: contig.clone(),
            marks: Vec::new(),
        })
        .collect();
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        let read = Read::take(&mut lines, MAX_LINE_BYTES).read_line(&mut line);
        if read.map_err(|error| unreadable(error.to_string()))? == 0 {
            break;
        }
        if number == 1 && line.starts_with("Sequence_ID") {
            continue;
        }
        let fields: Vec<&str> = line.trim_end().split('\t').collect();
        let parsed = match fields.as_slice() {
            [id, prediction, _, virus] => virus.parse().ok().map(|virus| (*id, *prediction, virus)),
            _ => None,
        };
        let Some((id, prediction, virus)) = parsed else {
            return Err(unreadable(format!("line {number} is no row of results"))
                .with_hint(format!("give a folder of results or its {FRAME_RESULTS}")));
        };
        let label = FrameLabel::parse(id);
        let place = panels.iter().position(|panel| panel.contig == label.contig);
        let place = match place {
            Some(place) => place,
            None if options.contigs.is_empty() && panels.len() < options.most => {
                panels.push(Panel {
                    contig: label.contig.to_owned(),
                    marks: Vec::new(),
                });
                panels.len() - 1
            }
            None => continue,
        };
        if panels[place].marks.len() < MAX_MARKS {
            panels[place].marks.push(Mark {
                chunk: label.chunk.unwrap_or(1),
                virus,
                is_virus: prediction == "virus",
            });
        }
    }
    Ok(panels)
}

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 25.0;
const HEAD: f64 = 60.0;
/// A panel with its name above and its numbers below.
const PANEL: f64 = 190.0;
const NAME: f64 = 24.0;
const FOOT: f64 = 50.0;

fn draw(panels: &[Panel], chunk: usize) -> Drawing {
    let mut drawing = Drawing::new(WIDTH, HEAD + panels.len() as f64 * PANEL);
    let at = [LEFT, 24.0];
    drawing.text(at, "Score for virus", 15.0, Colour::INK, Anchor::Start);
    let legend = [("called virus", Colour::YES), ("called others", Colour::NO)];
    drawing.legend([LEFT, 46.0], &legend);
    for (place, panel) in panels.iter().enumerate() {
        draw_panel(&mut drawing, panel, HEAD + place as f64 * PANEL, chunk);
    }
    drawing
}

fn draw_panel(drawing: &mut Drawing, panel: &Panel, top: f64, chunk: usize) {
    let chunks = panel.marks.iter().map(|mark| mark.chunk).max().unwrap_or(1);
    let width = WIDTH - LEFT - RIGHT;
    let name = shortened(&panel.contig, 13.0, width);
    drawing.text([LEFT, top + 16.0], name, 13.0, Colour::INK, Anchor::Start);
    let frame = Frame {
        at: [LEFT, top + NAME],
        size: [width, PANEL - NAME - FOOT],
        x: Axis::linear(0.0, (chunks * chunk) as f64, false),
        y: Axis::linear(0.0, 1.0, false),
    };
    frame.frame(drawing, "position (bases)", "score");
    for (is_virus, colour) in [(false, Colour::NO), (true, Colour::YES)] {
        let of_class = panel.marks.iter().filter(|mark| mark.is_virus == is_virus);
        let segments = of_class.map(|mark| {
            let start = (mark.chunk.saturating_sub(1) * chunk) as f64;
            let [from, y] = frame.point(start, f64::from(mark.virus).clamp(0.0, 1.0));
            let [to, _] = frame.point(start + chunk as f64, 0.0);
            [from, y, to, y]
        });
        drawing.segments(segments.collect(), colour, 2.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contigs_are_drawn_with_their_frames() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join(FRAME_RESULTS);
        let text = "Sequence_ID\tPrediction\tscore1\tscore2\na<1>_chunk_1F1\tvirus\t0.1\t0.9\n\
                    a<1>_chunk_2R3\tothers\t0.8\t0.2\nb_chunk_1F1\tvirus\t0.3\t0.7\n";
        std::fs::write(&results, text).unwrap();
        let output = folder.path().join("p.svg");
        let mut options = PlotOptions {
            results: folder.path().to_owned(),
            contigs: Vec::new(),
            most: 5,
            chunk: 500,
            output: output.clone(),
            force: true,
        };
        assert_eq!(run(&options).unwrap(), 2);
        let svg = std::fs::read_to_string(&output).unwrap();
        assert!(svg.contains(">a&lt;1&gt;</text>") && svg.contains(">b</text>"));
        let lines = |colour: Colour| {
            let stroke = format!("stroke=\"{colour}\" stroke-width=\"2\"");
            svg.lines().filter(|line| line.contains(&stroke)).count()
        };
        assert_eq!((lines(Colour::YES), lines(Colour::NO)), (2, 1));
        // The first chunk of two takes the left half, near the top.
        assert!(svg.contains("M70.0 95.6H522.5"), "{svg}");
        options.output = folder.path().join("p.png");
        assert_eq!(run(&options).unwrap(), 2);
        let png = std::fs::read(&options.output).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 5000);
        options.output = folder.path().join("p.pdf");
        assert_eq!(run(&options).unwrap_err().kind(), PipelineErrorKind::Usage);
        options.output = output;
        options.contigs = vec!["b".to_owned()];
        assert_eq!(run(&options).unwrap(), 1);
        options.contigs = vec!["c".to_owned()];
        assert_eq!(run(&options).unwrap_err().kind(), PipelineErrorKind::Input);
        std::fs::write(&results, "text\n").unwrap();
        assert!(run(&options).unwrap_err().to_string().contains("line 1"));
    }
}
