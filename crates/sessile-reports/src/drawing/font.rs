//! The embedded font: outlines and widths.

use std::sync::OnceLock;

use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider};

/// Noto Sans Regular 2.004 with the letters of Latin and Greek (SIL Open Font License 1.1).
const NOTO_SANS: &[u8] = include_bytes!("font/NotoSans-Regular.ttf");

/// What an SVG asks its reader for.
pub(super) const FAMILIES: &str = "Noto Sans, Helvetica, Arial, sans-serif";

/// The font, in its own units.
pub(super) struct Face {
    font: FontRef<'static>,
    units_per_em: f64,
}

/// The font; `None` never, as long as the tests pass.
pub(super) fn face() -> Option<&'static Face> {
    static FACE: OnceLock<Option<Face>> = OnceLock::new();
    let face = FACE.get_or_init(|| {
        let font = FontRef::new(NOTO_SANS).ok()?;
        let metrics = font.metrics(Size::unscaled(), LocationRef::default());
        Some(Face {
            units_per_em: f64::from(metrics.units_per_em),
            font,
        })
    });
    face.as_ref()
}

impl Face {
    /// Units of an em.
    pub(super) fn units_per_em(&self) -> f64 {
        self.units_per_em
    }

    /// The glyph of a letter; letters that the font lacks look like its empty box.
    pub(super) fn glyph(&self, letter: char) -> GlyphId {
        self.font.charmap().map(letter).unwrap_or(GlyphId::NOTDEF)
    }

    /// How far a glyph reaches, in ems.
    pub(super) fn advance(&self, glyph: GlyphId) -> f64 {
        let metrics = (self.font).glyph_metrics(Size::unscaled(), LocationRef::default());
        f64::from(metrics.advance_width(glyph).unwrap_or(0.0)) / self.units_per_em
    }

    /// Hands the outline of a glyph over, in the font's units.
    pub(super) fn outline(&self, glyph: GlyphId, pen: &mut impl OutlinePen) {
        if let Some(outline) = self.font.outline_glyphs().get(glyph) {
            let settings = DrawSettings::unhinted(Size::unscaled(), LocationRef::default());
            // A glyph that is damaged stays empty; the font is ours and has none.
            let _ = outline.draw(settings, pen);
        }
    }
}

/// How wide a text is at this size.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    let Some(face) = face() else {
        return 0.0;
    };
    let ems: f64 = text
        .chars()
        .map(|letter| face.advance(face.glyph(letter)))
        .sum();
    ems * size
}
