//! Scores along contigs, drawn as SVG: a line for each frame, where its chunk lies and as high as its
//! score for *virus*.
//!
//! Result files do not say how far chunks overlap, so a chunk is drawn at its number times the length
//! of a chunk, as the original does; in the middle of a contig that is off by less than one chunk.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::identify::check_new;
use super::label::FrameLabel;
use super::results::FRAME_RESULTS;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::output::Destination;

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
    /// The file to write, or `-`.
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
/// `Input` when the results can not be read or hold none of the contigs, `Output` when the drawing
/// can not be written.
pub fn run(options: &PlotOptions) -> Result<usize, PipelineError> {
    check_new(&options.output, options.force)?;
    let panels = read(options)?;
    if panels.iter().all(|panel| panel.marks.is_empty()) {
        let message = format!("{} has none of the contigs", options.results.display());
        return Err(PipelineError::new(PipelineErrorKind::Input, message)
            .with_hint("contigs are named as in the FASTA file"));
    }
    let failed = |error| PipelineError::output(&options.output.display().to_string(), error);
    let mut out = Destination::open(&options.output).map_err(failed)?;
    out.write_all(draw(&panels, options.chunk).as_bytes())
        .map_err(failed)?;
    out.finish().map_err(failed)?;
    Ok(panels.len())
}

fn read(options: &PlotOptions) -> Result<Vec<Panel>, PipelineError> {
    let path = if options.results.is_dir() {
        options.results.join(FRAME_RESULTS)
    } else {
        options.results.clone()
    };
    let unreadable = |what: String| {
        let message = format!("can not read {}: {what}", path.display());
        PipelineError::new(PipelineErrorKind::Input, message)
    };
    let file = File::open(&path).map_err(|error| unreadable(error.to_string()))?;
    let mut lines = BufReader::new(file);
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
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const PANEL: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;

fn draw(panels: &[Panel], chunk: usize) -> String {
    let height = panels.len() as f64 * PANEL + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" fill=\"#444\">score for virus by position in bases: \
         <tspan fill=\"#c1272d\">called virus</tspan>, <tspan fill=\"#1f4e8c\">called \
         others</tspan></text>\n"
    );
    for (place, panel) in panels.iter().enumerate() {
        panel_svg(&mut svg, panel, 20.0 + place as f64 * PANEL, chunk);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel_svg(svg: &mut String, panel: &Panel, top: f64, chunk: usize) {
    let chunks = panel.marks.iter().map(|mark| mark.chunk).max().unwrap_or(1);
    let bases = (chunks * chunk) as f64;
    let (low, high) = (top + PANEL - BOTTOM, top + TOP);
    let x = |base: f64| LEFT + base / bases * (WIDTH - LEFT - RIGHT);
    let y = |score: f64| low - score * (low - high);
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
        high - 8.0,
        escaped(&panel.contig)
    );
    for score in [0.0, 0.5, 1.0] {
        let (line, right) = (y(score), WIDTH - RIGHT);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{line:.1}\" y2=\"{line:.1}\" \
             stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" \
             fill=\"#666\">{score}</text>",
            LEFT - 6.0,
            line + 4.0
        );
    }
    const TICKS: usize = 4;
    for tick in 0..=TICKS {
        let base = bases * tick as f64 / TICKS as f64;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{base:.0}</text>",
            x(base),
            low + 15.0
        );
    }
    for (is_virus, colour) in [(false, "#1f4e8c"), (true, "#c1272d")] {
        let mut path = String::new();
        for mark in panel.marks.iter().filter(|mark| mark.is_virus == is_virus) {
            let start = (mark.chunk.saturating_sub(1) * chunk) as f64;
            let height = y(f64::from(mark.virus).clamp(0.0, 1.0));
            let _ = write!(
                path,
                "M{:.1} {height:.1}H{:.1}",
                x(start),
                x(start + chunk as f64)
            );
        }
        if !path.is_empty() {
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"2\" fill=\"none\"/>"
            );
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Whether a file name asks for a format that can be drawn.
pub fn is_drawable(output: &Path) -> bool {
    output == Path::new("-") || output.extension().is_some_and(|ending| ending == "svg")
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
        assert_eq!(svg.matches("<path").count(), 3);
        // The first chunk of two takes the left half, near the top.
        assert!(svg.contains("M60.0 67.0H520.0"), "{svg}");
        options.contigs = vec!["b".to_owned()];
        assert_eq!(run(&options).unwrap(), 1);
        options.contigs = vec!["c".to_owned()];
        assert_eq!(run(&options).unwrap_err().kind(), PipelineErrorKind::Input);
        std::fs::write(&results, "text\n").unwrap();
        assert!(run(&options).unwrap_err().to_string().contains("line 1"));
    }
}
