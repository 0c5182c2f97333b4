//! Two entropies of every ORF against each other.

use super::{legend, thinned};
use crate::drawing::{Anchor, Axis, Colour, Drawing, Panel, Sampled};
use crate::genomes::survey::{Class, Survey};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 440.0;
const AT: [f64; 2] = [70.0, 60.0];
const SIZE: [f64; 2] = [WIDTH - 95.0, HEIGHT - 115.0];

/// Entropies of protein and 3Di.
pub(crate) fn structure(survey: &Survey) -> Drawing {
    let names = ["protein entropy (bits)", "3Di entropy (bits)"];
    scatter(survey, "Protein and 3Di entropy", names, |class| {
        &class.structure
    })
}

/// Entropies of DNA and protein: what there is to see without structure states.
pub(crate) fn composition(survey: &Survey) -> Drawing {
    let names = ["DNA entropy (bits)", "protein entropy (bits)"];
    scatter(survey, "DNA and protein entropy", names, |class| {
        &class.composition
    })
}

fn scatter(
    survey: &Survey,
    title: &str,
    [x_name, y_name]: [&str; 2],
    dots: impl Fn(&Class) -> &Sampled<[f64; 2]>,
) -> Drawing {
    let mut drawing = Drawing::new(WIDTH, HEIGHT);
    drawing.text([AT[0], 24.0], title, 15.0, Colour::INK, Anchor::Start);
    legend(&mut drawing, [AT[0], 46.0], survey);
    let (others, annotated) = (dots(&survey.others), dots(&survey.annotated));
    if let Some(note) = thinned(others.stride().max(annotated.stride())) {
        drawing.text([WIDTH - 25.0, 24.0], note, 10.0, Colour::FAINT, Anchor::End);
    }
    let all = || others.items().iter().chain(annotated.items());
    let axis = |place: usize| {
        let values = all().map(|dot| dot[place]);
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(f64::NEG_INFINITY, f64::max);
        Axis::linear(least, most, true)
    };
    let panel = Panel {
        at: AT,
        size: SIZE,
        x: axis(0),
        y: axis(1),
    };
    panel.frame(&mut drawing, x_name, y_name);
    for (sample, colour) in [(others, Colour::NO), (annotated, Colour::YES)] {
        let points: Vec<[f64; 2]> = (sample.items().iter())
            .map(|&[x, y]| panel.point(x, y))
            .collect();
        drawing.dots(&points, 2.2, colour, 0.45);
    }
    drawing
}
