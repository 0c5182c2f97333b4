//! Axes with round numbers, and the panels that they span.

use super::{Anchor, Colour, Drawing, text_width};

/// How numbers lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    /// By their logarithm; numbers are above 0.
    Log,
}

/// What an axis spans and where it is marked.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    from: f64,
    to: f64,
    scale: Scale,
    ticks: Vec<(f64, String)>,
}

/// Marks of an axis, about.
const TICKS: f64 = 6.0;

impl Axis {
    /// An axis over these numbers, widened to round ones when `is_widened`.
    pub(crate) fn linear(from: f64, to: f64, is_widened: bool) -> Self {
        let (from, to) = match from.is_finite() && to.is_finite() && to > from {
            true => (from, to),
            // A single number lies in the middle.
            false if from.is_finite() => (from - 0.5, from + 0.5),
            false => (0.0, 1.0),
        };
        let step = step((to - from) / TICKS);
        let (from, to) = match is_widened {
            true => ((from / step).floor() * step, (to / step).ceil() * step),
            false => (from, to),
        };
        let first = (from / step - 1e-9).ceil() as i64;
        let last = (to / step + 1e-9).floor() as i64;
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let ticks = (first..=last)
            .map(|tick| {
                let value = tick as f64 * step;
                let text = match value.abs() >= 10_000.0 {
                    true => grouped(value.round() as i64),
                    false => format!("{value:.decimals$}"),
                };
                // No "-0".
                let text = if value == 0.0 { "0".to_owned() } else { text };
                (value, text)
            })
            .collect();
        Axis {
            from,
            to,
            scale: Scale::Linear,
            ticks,
        }
    }

    /// An axis of logarithms over these numbers above 0.
    pub(crate) fn log(from: f64, to: f64) -> Self {
        let mut ticks = Vec::new();
        let mut decade = 10_f64.powf(from.log10().floor());
        while decade <= to {
            for digit in [1.0, 2.0, 5.0] {
                let value = digit * decade;
                if (from * 0.999..=to * 1.001).contains(&value) {
                    let decimals = (-decade.log10().floor()).max(0.0) as usize;
                    let text = match decimals {
                        0 => grouped(value.round() as i64),
                        decimals => format!("{value:.decimals$}"),
                    };
                    ticks.push((value, text));
                }
            }
            decade *= 10.0;
        }
        Axis {
            from,
            to,
            scale: Scale::Log,
            ticks,
        }
    }

    /// An axis of things that are counted from 1: thing *i* takes the room from *i* - 1 to *i*.
    pub(crate) fn counted(count: u64) -> Self {
        let to = count.max(1) as f64;
        let step = step(to / TICKS).max(1.0);
        let last = (to / step) as i64;
        let ticks = (1..=last).map(|tick| tick as f64 * step);
        Axis {
            from: 0.0,
            to,
            scale: Scale::Linear,
            ticks: ticks
                .map(|number| (number - 0.5, grouped(number as i64)))
                .collect(),
        }
    }

    /// An axis of things with names, thing *i* from *i* to *i* + 1; those are named for which
    /// there is room.
    pub(crate) fn named(names: &[String], width: f64) -> Self {
        let widest = names.iter().map(|name| text_width(name, LABEL));
        let room = widest.fold(0.0, f64::max) + 8.0;
        let every = (room * names.len() as f64 / width).ceil().max(1.0) as usize;
        let ticks = names.iter().enumerate().step_by(every);
        Axis {
            from: 0.0,
            to: names.len().max(1) as f64,
            scale: Scale::Linear,
            ticks: ticks
                .map(|(place, name)| (place as f64 + 0.5, name.clone()))
                .collect(),
        }
    }

    /// Where a number lies between the ends, which are 0 and 1.
    pub(crate) fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value / self.from).ln() / (self.to / self.from).ln(),
        }
    }
}

/// The round number (1, 2 or 5 with zeros) next above `rough`.
fn step(rough: f64) -> f64 {
    let decade = 10_f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|digit| digit * decade >= rough * 0.999);
    digit.unwrap_or(10.0) * decade
}

/// A number with commas between its thousands.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part of a drawing with two axes.
pub(crate) struct Panel {
    pub(crate) at: [f64; 2],
    pub(crate) size: [f64; 2],
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

const LABEL: f64 = 11.0;
const NAME: f64 = 12.0;

impl Panel {
    /// Where a pair of numbers lies in the drawing.
    pub(crate) fn point(&self, x: f64, y: f64) -> [f64; 2] {
        let [left, top] = self.at;
        let [width, height] = self.size;
        [
            left + width * self.x.place(x),
            top + height * (1.0 - self.y.place(y)),
        ]
    }

    /// Lines and numbers of both axes, with what they are called. An empty name of the x axis
    /// leaves its numbers out too, for panels that share it with the one below.
    pub(crate) fn frame(&self, drawing: &mut Drawing, x_name: &str, y_name: &str) {
        let [left, top] = self.at;
        let [width, height] = self.size;
        let (right, bottom) = (left + width, top + height);
        let mut grid = Vec::new();
        for (value, text) in &self.x.ticks {
            let [x, _] = self.point(*value, 0.0);
            grid.push([x, top, x, bottom]);
            if !x_name.is_empty() {
                drawing.text(
                    [x, bottom + 16.0],
                    text,
                    LABEL,
                    Colour::FAINT,
                    Anchor::Middle,
                );
            }
        }
        for (value, text) in &self.y.ticks {
            let [left, top] = self.at;
            let y = top + height * (1.0 - self.y.place(*value));
            grid.push([left, y, right, y]);
            drawing.text(
                [left - 7.0, y + 4.0],
                text,
                LABEL,
                Colour::FAINT,
                Anchor::End,
            );
        }
        drawing.segments(grid, Colour::GRID, 1.0, 1.0);
        drawing.segments(
            vec![[left, bottom, right, bottom], [left, top, left, bottom]],
            Colour::FAINT,
            1.0,
            1.0,
        );
        let middle = left + width / 2.0;
        if !x_name.is_empty() {
            drawing.text(
                [middle, bottom + 35.0],
                x_name,
                NAME,
                Colour::INK,
                Anchor::Middle,
            );
        }
        // Beside its numbers, however wide they are.
        let widest = self.y.ticks.iter().map(|(_, text)| text_width(text, LABEL));
        let beside = f64::max(44.0, widest.fold(0.0, f64::max) + 19.0);
        let at = [left - beside, top + height / 2.0];
        drawing.upright_text(at, y_name, NAME, Colour::INK);
    }
}

#[cfg(test)]
pub(super) fn ticks(axis: &Axis) -> &[(f64, String)] {
    &axis.ticks
}
