//! Entropy along records: a line for each ORF, where it lies and as high as its entropy.

use super::{legend, thinned};
use crate::drawing::{Anchor, Axis, Colour, Drawing, Panel, grouped, shortened};
use crate::genomes::survey::{Drawn, DrawnRecord, Survey};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 25.0;
const TOP: f64 = 62.0;
const PANEL: f64 = 130.0;
const BETWEEN: f64 = 12.0;
/// Above a record's panels its name, below them the numbers of the axis.
const NAME: f64 = 24.0;
const FOOT: f64 = 50.0;

/// A row of panels for each record that is drawn along.
pub(crate) fn genome(survey: &Survey) -> Drawing {
    let records = survey.drawn();
    let has_states =
        |drawn: &DrawnRecord| drawn.orfs.items().iter().any(|orf| orf.three_di.is_some());
    let height = |drawn: &DrawnRecord| {
        let panels = if has_states(drawn) { 2.0 } else { 1.0 };
        NAME + panels * PANEL + (panels - 1.0) * BETWEEN + FOOT
    };
    let total: f64 = records.iter().map(|drawn| height(drawn)).sum();
    let mut drawing = Drawing::new(WIDTH, TOP + total + 6.0);
    drawing.text(
        [LEFT, 24.0],
        "Entropy along the genome",
        15.0,
        Colour::INK,
        Anchor::Start,
    );
    legend(&mut drawing, [LEFT, 46.0], survey);
    let mut top = TOP;
    for drawn in records {
        record(&mut drawing, drawn, top, has_states(drawn));
        top += height(drawn);
    }
    drawing
}

fn record(drawing: &mut Drawing, drawn: &DrawnRecord, top: f64, has_states: bool) {
    let bases = match drawn.record.length {
        Some(length) => format!(" · {} bases", grouped(length as i64)),
        None => " · length unknown".to_owned(),
    };
    let width = WIDTH - LEFT - RIGHT;
    let name = shortened(&drawn.record.id, 13.0, width - 420.0) + &bases;
    drawing.text([LEFT, top + 16.0], name, 13.0, Colour::INK, Anchor::Start);
    if let Some(note) = thinned(drawn.orfs.stride()) {
        let note = note.replace(" of the larger class", "");
        drawing.text(
            [WIDTH - RIGHT, top + 16.0],
            note,
            11.0,
            Colour::FAINT,
            Anchor::End,
        );
    }
    let protein = |orf: &Drawn| Some(orf.protein);
    let three_di = |orf: &Drawn| orf.three_di;
    let first = top + NAME;
    if has_states {
        panel(drawing, drawn, first, "protein (bits)", "", protein);
        let below = first + PANEL + BETWEEN;
        panel(
            drawing,
            drawn,
            below,
            "3Di (bits)",
            "position (bases)",
            three_di,
        );
    } else {
        panel(
            drawing,
            drawn,
            first,
            "protein (bits)",
            "position (bases)",
            protein,
        );
    }
}

fn panel(
    drawing: &mut Drawing,
    drawn: &DrawnRecord,
    top: f64,
    y_name: &str,
    x_name: &str,
    entropy: impl Fn(&Drawn) -> Option<f64>,
) {
    let values = || drawn.orfs.items().iter().filter_map(&entropy);
    let least = values().fold(f64::INFINITY, f64::min);
    let most = values().fold(f64::NEG_INFINITY, f64::max);
    let length = drawn.length as f64;
    let panel = Panel {
        at: [LEFT, top],
        size: [WIDTH - LEFT - RIGHT, PANEL],
        x: Axis::linear(0.0, length, false),
        y: Axis::linear(least, most, true),
    };
    panel.frame(drawing, x_name, y_name);
    for (is_annotated, colour, width, opacity) in [
        (false, Colour::NO, 1.6, 0.55),
        (true, Colour::YES, 2.6, 0.9),
    ] {
        let of_class = (drawn.orfs.items().iter()).filter(|orf| orf.is_annotated == is_annotated);
        let segments: Vec<[f64; 4]> = of_class
            .filter_map(|orf| {
                let height = entropy(orf)?;
                let [from, y] = panel.point(orf.start as f64 - 1.0, height);
                let [to, _] = panel.point(orf.end as f64, height);
                // Short ORFs of long records stay to be seen.
                Some([from, y, to.max(from + 1.2), y])
            })
            .collect();
        drawing.segments(segments, colour, width, opacity);
    }
}
