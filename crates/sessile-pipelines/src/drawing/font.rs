//! The embedded font: outlines and widths.

use std::sync::OnceLock;

use ttf_parser::{Face, GlyphId};

/// Noto Sans Regular 2.004 with the letters of Latin and Greek (SIL Open Font License 1.1).
const NOTO_SANS: &[u8] = include_bytes!("font/NotoSans-Regular.ttf");

/// What an SVG asks its reader for.
pub(super) const FAMILIES: &str = "Noto Sans, Helvetica, Arial, sans-serif";

/// The font; `None` never, as long as the tests pass.
pub(super) fn face() -> Option<&'static Face<'static>> {
    static FACE: OnceLock<Option<Face<'static>>> = OnceLock::new();
    FACE.get_or_init(|| Face::parse(NOTO_SANS, 0).ok()).as_ref()
}

/// The glyph of a letter; letters that the font lacks look like its empty box.
pub(super) fn glyph(face: &Face<'_>, letter: char) -> GlyphId {
    face.glyph_index(letter).unwrap_or(GlyphId(0))
}

/// How far a glyph reaches, in units of an em.
pub(super) fn advance(face: &Face<'_>, glyph: GlyphId) -> f64 {
    let units = face.glyph_hor_advance(glyph).unwrap_or(0);
    f64::from(units) / f64::from(face.units_per_em())
}

/// How wide a text is at this size.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    let Some(face) = face() else {
        return 0.0;
    };
    let ems: f64 = text
        .chars()
        .map(|letter| advance(face, glyph(face, letter)))
        .sum();
    ems * size
}
