//! A drawing of a report, as SVG: bars for tokens per second, marks for times to the answer.

use std::fmt::Write as _;

use super::report::{Cell, Report};

const WIDTH: f64 = 860.0;
const PANEL: f64 = 200.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const GAP: f64 = 60.0;

/// Draws a report.
pub(super) fn draw(report: &Report) -> String {
    let cells = &report.cells;
    let height = TOP + 2.0 * PANEL + GAP + 60.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let highest = |value: fn(&Cell) -> f64| cells.iter().map(value).fold(1e-9, f64::max);
    let step = (WIDTH - LEFT - 20.0) / cells.len().max(1) as f64;
    let rate = highest(|cell| cell.tokens_per_second);
    let time = highest(|cell| cell.latency.p99);
    text(
        &mut svg,
        LEFT,
        TOP - 14.0,
        "start",
        &format!("tokens per second (up to {rate:.0})"),
    );
    let second = TOP + PANEL + GAP;
    text(
        &mut svg,
        LEFT,
        second - 14.0,
        "start",
        &format!(
            "time to the answer: p50, p95, p99 (up to {})",
            duration(time)
        ),
    );
    for base in [TOP + PANEL, second + PANEL] {
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{base}\" x2=\"{}\" y2=\"{base}\" stroke=\"black\"/>",
            WIDTH - 20.0
        );
    }
    for (index, cell) in cells.iter().enumerate() {
        let x = LEFT + step * index as f64;
        let middle = x + step / 2.0;
        let tall = PANEL * cell.tokens_per_second / rate;
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"#4878a8\"/>",
            x + step * 0.15,
            TOP + PANEL - tall,
            step * 0.7
        );
        let label = format!("{:.0}", cell.tokens_per_second);
        text(&mut svg, middle, TOP + PANEL - tall - 4.0, "middle", &label);
        let latency = &cell.latency;
        for (value, color) in [
            (latency.p50, "#4878a8"),
            (latency.p95, "#e08030"),
            (latency.p99, "#b03030"),
        ] {
            let y = second + PANEL - PANEL * value / time;
            let _ = writeln!(
                svg,
                "<circle cx=\"{middle:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{color}\">\
                 <title>{}</title></circle>",
                duration(value)
            );
        }
        let label = format!("{}×{}", cell.batch_size, cell.concurrency);
        text(&mut svg, middle, second + PANEL + 16.0, "middle", &label);
    }
    let caption = format!(
        "sequences of a request × connections, {} loop, {} sequences of {:.0} residues on average",
        report.r#loop, report.sequences, report.mean_length
    );
    text(&mut svg, LEFT, second + PANEL + 38.0, "start", &caption);
    svg.push_str("</svg>\n");
    svg
}

/// Texts here are numbers and words of ours: nothing to escape.
fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
