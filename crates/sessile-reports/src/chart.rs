//! A drawing of a service under load: bars for tokens per second, marks for times to the answer.

use std::path::Path;

use crate::drawing::{Anchor, Axis, Colour, Drawing, Panel, PictureFormat, grouped, text_width};
use sessile_pipelines::PipelineError;

/// One measurement as it is drawn.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What it is called below the bars.
    pub name: String,
    /// Tokens per second.
    pub tokens_per_second: f64,
    /// Seconds within which half, 95 and 99 of 100 requests were answered; `None` when none was.
    pub seconds: Option<[f64; 3]>,
    /// Requests that failed.
    pub errors: u64,
}

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 25.0;
const PANEL: f64 = 200.0;
/// Above the first panel there is room for what stands on the highest bar.
const FIRST: f64 = 90.0;
const SECOND: f64 = FIRST + PANEL + 40.0;
const HEIGHT: f64 = SECOND + PANEL + 50.0;

/// The times and their colours.
const TIMES: [(&str, Colour); 3] = [
    ("p50", Colour::NO),
    ("p95", Colour(0xd9, 0x82, 0x1f)),
    ("p99", Colour::YES),
];

/// Draws measurements to a file whose name says the format.
///
/// # Errors
///
/// `Output` when the picture can not be written.
pub fn write(
    measured: &[Measured],
    caption: &str,
    path: &Path,
    format: PictureFormat,
) -> Result<(), PipelineError> {
    draw(measured, caption).write(path, format)
}

fn draw(measured: &[Measured], caption: &str) -> Drawing {
    let mut drawing = Drawing::new(WIDTH, HEIGHT);
    let at = [LEFT, 24.0];
    drawing.text(
        at,
        "The service under load",
        15.0,
        Colour::INK,
        Anchor::Start,
    );
    let at = [WIDTH - RIGHT, 24.0];
    drawing.text(at, caption, 11.0, Colour::FAINT, Anchor::End);
    let begin = drawing.legend([LEFT, 48.0], &TIMES);
    let at = [begin, 48.0];
    drawing.text(
        at,
        "(time to the answer)",
        12.0,
        Colour::FAINT,
        Anchor::Start,
    );
    let width = WIDTH - LEFT - RIGHT;
    let names: Vec<String> = measured.iter().map(|one| one.name.clone()).collect();
    rates(&mut drawing, measured, Axis::named(&names, width), width);
    times(&mut drawing, measured, Axis::named(&names, width), width);
    drawing
}

/// Tokens per second, and what failed.
fn rates(drawing: &mut Drawing, measured: &[Measured], x: Axis, width: f64) {
    let highest = measured.iter().map(|one| one.tokens_per_second);
    let panel = Panel {
        at: [LEFT, FIRST],
        size: [width, PANEL],
        x,
        y: Axis::linear(0.0, highest.fold(1.0, f64::max), true),
    };
    panel.frame(drawing, "", "tokens per second");
    let room = width / measured.len().max(1) as f64;
    for (place, one) in measured.iter().enumerate() {
        let [left, top] = panel.point(place as f64 + 0.15, one.tokens_per_second);
        let [right, foot] = panel.point(place as f64 + 0.85, 0.0);
        drawing.rectangle([left, top], [right - left, foot - top], Colour::NO, 0.75);
        let middle = f64::midpoint(left, right);
        let mut label = |text: &str, y: f64, colour: Colour| {
            if text_width(text, LABEL) < room {
                drawing.text([middle, y], text, LABEL, colour, Anchor::Middle);
            }
        };
        label(
            &grouped(one.tokens_per_second.round() as i64),
            top - 4.0,
            Colour::FAINT,
        );
        let errors = match one.errors {
            0 => continue,
            1 => "1 error".to_owned(),
            errors => format!("{} errors", grouped(errors as i64)),
        };
        label(&errors, top - 18.0, Colour::YES);
    }
}

const LABEL: f64 = 11.0;

/// Times to the answer, by their logarithm: they differ by thousands.
fn times(drawing: &mut Drawing, measured: &[Measured], x: Axis, width: f64) {
    let all = || {
        let seconds = measured.iter().filter_map(|one| one.seconds);
        seconds.flatten().map(|seconds| (1e3 * seconds).max(1e-3))
    };
    let (least, most) = match all().next() {
        None => (1.0, 10.0),
        Some(_) => (
            all().fold(f64::INFINITY, f64::min),
            all().fold(0.0, f64::max),
        ),
    };
    let decade = |value: f64, up: f64| 10_f64.powf((value.log10() + up).floor());
    let panel = Panel {
        at: [LEFT, SECOND],
        size: [width, PANEL],
        x,
        y: Axis::log(decade(least, 0.0), decade(most, 1.0)),
    };
    let x_name = "sequences of a request × connections";
    panel.frame(drawing, x_name, "time to the answer (ms)");
    for (place, one) in measured.iter().enumerate() {
        let middle = place as f64 + 0.5;
        match one.seconds {
            Some(seconds) => {
                // The longest first, so that the others stay to be seen.
                for (seconds, (_, colour)) in seconds.into_iter().zip(TIMES).rev() {
                    let at = panel.point(middle, (1e3 * seconds).max(1e-3));
                    drawing.dots(&[at], 4.5, colour, 1.0);
                }
            }
            None => {
                let [x, _] = panel.point(middle, least);
                let at = [x, SECOND + PANEL / 2.0];
                drawing.text(at, "no answer", LABEL, Colour::YES, Anchor::Middle);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, tokens_per_second: f64, seconds: Option<[f64; 3]>) -> Measured {
        Measured {
            name: name.to_owned(),
            tokens_per_second,
            seconds,
            errors: if seconds.is_none() { 12 } else { 0 },
        }
    }

    #[test]
    fn bars_times_and_errors_are_on_their_axes() {
        let cells = [
            measured("1×1", 500.0, Some([0.001, 0.01, 0.1])),
            measured("8×64", 1000.0, None),
        ];
        let svg = draw(&cells, "closed loop").svg();
        // 0 to 1,000 tokens per second: the bar of 500 is half as high as the panel.
        let half = format!("height=\"{:.1}\"", PANEL / 2.0);
        assert!(svg.contains(&half), "{svg}");
        // 1 ms to 1,000 ms: a third of the panel for each tenfold.
        for (tenth, (_, colour)) in (0..3).zip(TIMES) {
            let y = SECOND + PANEL * (1.0 - f64::from(tenth) / 3.0);
            let is_drawn = svg.lines().any(|line| {
                line.contains(&format!(" {y:.1}h0")) && line.contains(&colour.to_string())
            });
            assert!(is_drawn, "{tenth}: {svg}");
        }
        for text in [
            "p50",
            "p95",
            "p99",
            "1×1",
            "8×64",
            "no answer",
            "12 errors",
            "closed loop",
        ] {
            assert!(svg.contains(&format!(">{text}</text>")), "{text}: {svg}");
        }
    }

    #[test]
    fn nothing_and_much_can_be_drawn() {
        draw(&[], "");
        let many: Vec<Measured> = (0..500)
            .map(|cell| measured(&format!("{cell}×1024"), 1.0, Some([1e-9, 300.0, 300.0])))
            .collect();
        let svg = draw(&many, "").svg();
        assert!(svg.matches("×1024</text>").count() < 40);
    }
}
