//! A drawing as PNG: tiny-skia fills and strokes, the file is written here (PNG, third edition,
//! <https://www.w3.org/TR/png-3/>).

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use skrifa::outline::OutlinePen;
use tiny_skia::{FillRule, LineCap, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};

use super::{Anchor, Colour, Drawing, Mark, Text, font, text_width};

/// Pixels of a unit: pictures stay sharp on paper and on dense screens.
const PIXELS_A_UNIT: f32 = 2.0;

pub(super) fn write(drawing: &Drawing) -> Result<Vec<u8>, String> {
    let pixels = |units: f64| (units as f32 * PIXELS_A_UNIT).ceil() as u32;
    let (width, height) = (pixels(drawing.width), pixels(drawing.height));
    let mut pixmap = Pixmap::new(width, height)
        .ok_or_else(|| format!("a picture of {width} x {height} pixels is too large"))?;
    pixmap.fill(tiny_skia::Color::WHITE);
    for mark in &drawing.marks {
        paint(&mut pixmap, mark);
    }
    encode(&pixmap).map_err(|error| error.to_string())
}

fn paint(pixmap: &mut Pixmap, mark: &Mark) {
    let scale = Transform::from_scale(PIXELS_A_UNIT, PIXELS_A_UNIT);
    match mark {
        Mark::Box {
            at,
            size,
            colour,
            opacity,
        } => {
            let [x, y] = at.map(|value| value as f32);
            let [width, height] = size.map(|value| value as f32);
            if let Some(rectangle) = Rect::from_xywh(x, y, width, height) {
                pixmap.fill_rect(rectangle, &ink(*colour, *opacity), scale, None);
            }
        }
        Mark::Segments {
            segments,
            colour,
            width,
            opacity,
        } => {
            let mut path = PathBuilder::new();
            for segment in segments {
                let [from_x, from_y, to_x, to_y] = segment.map(|value| value as f32);
                path.move_to(from_x, from_y);
                path.line_to(to_x, to_y);
            }
            stroke(
                pixmap,
                path.finish(),
                *width,
                &ink(*colour, *opacity),
                scale,
            );
        }
        Mark::Dots {
            dots,
            radius,
            colour,
            opacity,
        } => {
            let mut path = PathBuilder::new();
            for dot in dots {
                let [x, y] = dot.map(|value| value as f32);
                path.push_circle(x, y, *radius as f32);
            }
            fill(pixmap, path.finish(), &ink(*colour, *opacity), scale);
        }
        Mark::Text(text) => letters(pixmap, text, scale),
    }
}

fn ink(colour: Colour, opacity: f64) -> Paint<'static> {
    let mut paint = Paint::default();
    let opacity = (255.0 * opacity.clamp(0.0, 1.0)).round() as u8;
    paint.set_color_rgba8(colour.0, colour.1, colour.2, opacity);
    paint.anti_alias = true;
    paint
}

fn fill(pixmap: &mut Pixmap, path: Option<Path>, ink: &Paint<'_>, transform: Transform) {
    if let Some(path) = path {
        pixmap.fill_path(&path, ink, FillRule::Winding, transform, None);
    }
}

fn stroke(
    pixmap: &mut Pixmap,
    path: Option<Path>,
    width: f64,
    ink: &Paint<'_>,
    transform: Transform,
) {
    if let Some(path) = path {
        let stroke = Stroke {
            width: width as f32,
            line_cap: LineCap::Butt,
            ..Stroke::default()
        };
        pixmap.stroke_path(&path, ink, &stroke, transform, None);
    }
}

fn letters(pixmap: &mut Pixmap, text: &Text, scale: Transform) {
    let Some(face) = font::face() else {
        return;
    };
    let width = text_width(&text.text, text.size);
    let begin = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -width / 2.0,
        Anchor::End => -width,
    };
    let [x, y] = text.at.map(|value| value as f32);
    let turn = if text.is_upright { -90.0 } else { 0.0 };
    // In the order in which points pass: letters at the origin, turned, put to their place, pixels.
    let transform = Transform::from_rotate(turn)
        .post_translate(x, y)
        .post_concat(scale);
    let em = text.size / face.units_per_em();
    let mut outline = Outline {
        path: PathBuilder::new(),
        x: begin as f32,
        em: em as f32,
    };
    for letter in text.text.chars() {
        let glyph = face.glyph(letter);
        face.outline(glyph, &mut outline);
        outline.x += (face.advance(glyph) * text.size) as f32;
    }
    fill(
        pixmap,
        outline.path.finish(),
        &ink(text.colour, 1.0),
        transform,
    );
}

/// The outlines of letters one behind the other; fonts count upwards, pictures downwards.
struct Outline {
    path: PathBuilder,
    x: f32,
    em: f32,
}

impl Outline {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.em, -y * self.em)
    }
}

impl OutlinePen for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, by_x: f32, by_y: f32, x: f32, y: f32) {
        let ((by_x, by_y), (x, y)) = (self.at(by_x, by_y), self.at(x, y));
        self.path.quad_to(by_x, by_y, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

/// Eight bits each of red, green and blue; the picture has no holes. Rows are stored as the
/// difference to the row above, which packs drawings well.
fn encode(pixmap: &Pixmap) -> std::io::Result<Vec<u8>> {
    let row_bytes = 3 * pixmap.width() as usize;
    let mut above = vec![0_u8; row_bytes];
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::new(6));
    let mut differences = Vec::with_capacity(row_bytes + 1);
    for row in pixmap.pixels().chunks_exact(pixmap.width() as usize) {
        let row: Vec<u8> = (row.iter())
            .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
            .collect();
        differences.clear();
        // Filter type 2: up.
        differences.push(2);
        differences.extend(
            row.iter()
                .zip(&above)
                .map(|(here, above)| here.wrapping_sub(*above)),
        );
        rows.write_all(&differences)?;
        above = row;
    }
    let mut header = Vec::new();
    header.extend(pixmap.width().to_be_bytes());
    header.extend(pixmap.height().to_be_bytes());
    // Bit depth, colour type (RGB), compression, filter, interlace.
    header.extend([8, 2, 0, 0, 0]);
    // Pixels a metre on both axes: 96 units an inch.
    let density = (f64::from(PIXELS_A_UNIT) * 96.0 / 0.0254).round() as u32;
    let mut physical = Vec::new();
    physical.extend(density.to_be_bytes());
    physical.extend(density.to_be_bytes());
    physical.push(1);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"pHYs", &physical);
    chunk(&mut png, b"IDAT", &rows.finish()?);
    chunk(&mut png, b"IEND", &[]);
    Ok(png)
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let from = png.len();
    png.extend(kind);
    png.extend(data);
    let checksum = crc32fast::hash(&png[from..]);
    png.extend(checksum.to_be_bytes());
}
