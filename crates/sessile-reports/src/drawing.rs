//! Drawings: what is drawn once can be written as SVG and as PNG.
//!
//! A drawing is a list of marks in the order in which they are laid over each other, in units of
//! a CSS pixel. Text is set in the embedded Noto Sans (SIL Open Font License, `font/OFL.txt`), which
//! also tells how wide it is; an SVG names that font first and leaves the rest to its reader.

mod axes;
mod font;
mod png;
mod sampled;
mod svg;

use std::fmt;
use std::io::Write as _;
use std::path::Path;

use sessile_pipelines::output::Destination;
use sessile_pipelines::{PipelineError, PipelineErrorKind};

pub(crate) use axes::{Axis, Panel, grouped};
pub(crate) use font::width as text_width;
pub(crate) use sampled::Sampled;

/// The format of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// Scalable, for the web and for editing.
    Svg,
    /// Pixels, two for each unit.
    Png,
}

impl PictureFormat {
    /// The format that a file's name asks for, in either case; standard output gets SVG.
    ///
    /// # Errors
    ///
    /// `Usage` for a name that ends otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_reports::drawing::PictureFormat;
    ///
    /// assert_eq!(PictureFormat::of_name("p.png".as_ref())?, PictureFormat::Png);
    /// assert_eq!(PictureFormat::of_name("P.SVG".as_ref())?, PictureFormat::Svg);
    /// assert!(PictureFormat::of_name("p.pdf".as_ref()).is_err());
    /// # Ok::<(), sessile_pipelines::PipelineError>(())
    /// ```
    pub fn of_name(path: &Path) -> Result<Self, PipelineError> {
        if path == Path::new("-") {
            return Ok(PictureFormat::Svg);
        }
        let ending = path.extension().unwrap_or_default();
        if ending.eq_ignore_ascii_case("svg") {
            Ok(PictureFormat::Svg)
        } else if ending.eq_ignore_ascii_case("png") {
            Ok(PictureFormat::Png)
        } else {
            let message = format!("unsupported picture format: {}", path.display());
            Err(PipelineError::new(PipelineErrorKind::Usage, message)
                .with_hint("name the picture .svg or .png"))
        }
    }
}

/// Red, green and blue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colour(pub(crate) u8, pub(crate) u8, pub(crate) u8);

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

impl Colour {
    pub(crate) const INK: Colour = Colour(0x22, 0x2b, 0x33);
    pub(crate) const FAINT: Colour = Colour(0x66, 0x70, 0x7a);
    pub(crate) const GRID: Colour = Colour(0xe6, 0xe9, 0xec);
    /// Of things that are said to be so: annotated, a virus.
    pub(crate) const YES: Colour = Colour(0xc1, 0x27, 0x2d);
    /// Of other things.
    pub(crate) const NO: Colour = Colour(0x1f, 0x4e, 0x8c);
}

/// Where a text lies beside its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Text at a point of its baseline.
pub(crate) struct Text {
    pub(crate) at: [f64; 2],
    pub(crate) text: String,
    pub(crate) size: f64,
    pub(crate) colour: Colour,
    pub(crate) anchor: Anchor,
    /// Read from below.
    pub(crate) is_upright: bool,
}

enum Mark {
    Box {
        at: [f64; 2],
        size: [f64; 2],
        colour: Colour,
        opacity: f64,
    },
    /// Lines from point to point.
    Segments {
        segments: Vec<[f64; 4]>,
        colour: Colour,
        width: f64,
        opacity: f64,
    },
    Dots {
        dots: Vec<[f64; 2]>,
        radius: f64,
        colour: Colour,
        opacity: f64,
    },
    Text(Text),
}

/// Dots of one path: where dots of different paths lie over each other it gets darker.
const DOTS_A_PATH: usize = 50;

/// A drawing on white.
pub(crate) struct Drawing {
    width: f64,
    height: f64,
    marks: Vec<Mark>,
}

impl Drawing {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Drawing {
            width,
            height,
            marks: Vec::new(),
        }
    }

    pub(crate) fn rectangle(&mut self, at: [f64; 2], size: [f64; 2], colour: Colour, opacity: f64) {
        self.marks.push(Mark::Box {
            at,
            size,
            colour,
            opacity,
        });
    }

    /// Lines, each from its first point to its second. None is drawn when there is none.
    pub(crate) fn segments(
        &mut self,
        segments: Vec<[f64; 4]>,
        colour: Colour,
        width: f64,
        opacity: f64,
    ) {
        if !segments.is_empty() {
            self.marks.push(Mark::Segments {
                segments,
                colour,
                width,
                opacity,
            });
        }
    }

    pub(crate) fn dots(&mut self, dots: &[[f64; 2]], radius: f64, colour: Colour, opacity: f64) {
        for dots in dots.chunks(DOTS_A_PATH) {
            self.marks.push(Mark::Dots {
                dots: dots.to_vec(),
                radius,
                colour,
                opacity,
            });
        }
    }

    pub(crate) fn text(
        &mut self,
        at: [f64; 2],
        text: impl Into<String>,
        size: f64,
        colour: Colour,
        anchor: Anchor,
    ) {
        self.marks.push(Mark::Text(Text {
            at,
            text: text.into(),
            size,
            colour,
            anchor,
            is_upright: false,
        }));
    }

    /// Text that is read from below.
    pub(crate) fn upright_text(&mut self, at: [f64; 2], text: &str, size: f64, colour: Colour) {
        self.marks.push(Mark::Text(Text {
            at,
            text: text.to_owned(),
            size,
            colour,
            anchor: Anchor::Middle,
            is_upright: true,
        }));
    }

    /// Names of colours from left to right, with a dot before each; gives where they end.
    pub(crate) fn legend(&mut self, at: [f64; 2], entries: &[(&str, Colour)]) -> f64 {
        const SIZE: f64 = 12.0;
        let [mut x, y] = at;
        for &(name, colour) in entries {
            self.dots(&[[x + 5.0, y - 4.0]], 4.5, colour, 1.0);
            self.text([x + 14.0, y], name, SIZE, Colour::INK, Anchor::Start);
            x += 14.0 + text_width(name, SIZE) + 18.0;
        }
        x
    }

    /// The picture as a file.
    pub(crate) fn bytes(&self, format: PictureFormat) -> Result<Vec<u8>, String> {
        match format {
            PictureFormat::Svg => Ok(self.svg().into_bytes()),
            PictureFormat::Png => png::write(self),
        }
    }

    /// Writes the picture to a file, or to standard output for `-`.
    pub(crate) fn write(&self, path: &Path, format: PictureFormat) -> Result<(), PipelineError> {
        let name = path.display().to_string();
        let bytes = self.bytes(format).map_err(|error| {
            let message = format!("cannot draw {name}: {error}");
            PipelineError::new(PipelineErrorKind::Output, message).with_hint("name it .svg")
        })?;
        let failed = |error| PipelineError::output(&name, error);
        let mut out = Destination::open(path).map_err(failed)?;
        out.write_all(&bytes).map_err(failed)?;
        out.finish().map_err(failed)
    }

    /// The picture as SVG, which can also stand in an HTML page.
    pub(crate) fn svg(&self) -> String {
        svg::write(self)
    }
}

/// A text as it stands in XML and HTML, in an attribute too.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no way to write other control characters.
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// A text that is no wider than `width`: what is too much is cut off, and three dots say so.
pub(crate) fn shortened(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for letter in text.chars() {
        short.push(letter);
        if text_width(&short, size) + text_width("…", size) > width {
            short.pop();
            break;
        }
    }
    short + "…"
}

#[cfg(test)]
mod tests;
