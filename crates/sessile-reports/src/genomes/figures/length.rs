//! How long ORFs are.

use super::legend;
use crate::drawing::{Anchor, Axis, Colour, Drawing, Panel};
use crate::genomes::survey::{Class, Lengths, Survey};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 440.0;

/// The share of each class by length, lengths by their logarithm.
pub(crate) fn length(survey: &Survey) -> Drawing {
    let mut drawing = Drawing::new(WIDTH, HEIGHT);
    drawing.text(
        [70.0, 24.0],
        "Length of ORFs",
        15.0,
        Colour::INK,
        Anchor::Start,
    );
    legend(&mut drawing, [70.0, 46.0], survey);
    let classes = [
        (&survey.others, Colour::NO),
        (&survey.annotated, Colour::YES),
    ];
    let bins = || classes.iter().map(|(class, _)| class.lengths.bins());
    let first = bins()
        .filter_map(|bins| bins.iter().position(|&count| count > 0))
        .min();
    let last = bins().map(<[u64]>::len).max().unwrap_or(1).max(1);
    let first = first.unwrap_or(0);
    let share = |class: &Class, bin: usize| {
        let count = class.lengths.bins().get(bin).copied().unwrap_or(0);
        100.0 * count as f64 / class.count.max(1) as f64
    };
    let shares = classes
        .iter()
        .flat_map(|(class, _)| (first..last).map(|bin| share(class, bin)));
    let most = shares.fold(1.0, f64::max);
    let panel = Panel {
        at: [70.0, 60.0],
        size: [WIDTH - 95.0, HEIGHT - 115.0],
        x: Axis::log(Lengths::begin(first), Lengths::begin(last)),
        y: Axis::linear(0.0, most, true),
    };
    let share_name = match survey.has_annotation() {
        true => "share of its class (%)",
        false => "share of the ORFs (%)",
    };
    panel.frame(&mut drawing, "length (residues)", share_name);
    for (class, colour) in classes.into_iter().filter(|(class, _)| class.count > 0) {
        let mut outline = Vec::new();
        let mut before = panel.point(Lengths::begin(first), 0.0);
        for bin in first..last {
            let height = share(class, bin);
            let [left, y] = panel.point(Lengths::begin(bin), height);
            let [right, foot] = panel.point(Lengths::begin(bin + 1), 0.0);
            if foot > y {
                drawing.rectangle([left, y], [right - left, foot - y], colour, 0.18);
            }
            outline.push([before[0], before[1], left, y]);
            outline.push([left, y, right, y]);
            before = [right, y];
        }
        let [right, foot] = panel.point(Lengths::begin(last), 0.0);
        outline.push([before[0], before[1], right, foot]);
        drawing.segments(outline, colour, 1.8, 1.0);
    }
    drawing
}
