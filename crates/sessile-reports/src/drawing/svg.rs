//! A drawing as SVG. Marks of one kind are one path, so that thousands of them stay small.

use std::fmt::Write as _;

use super::font::FAMILIES;
use super::{Anchor, Drawing, Mark, Text, escaped};

pub(super) fn write(drawing: &Drawing) -> String {
    let (width, height) = (drawing.width, drawing.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"{FAMILIES}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for mark in &drawing.marks {
        // Writing to a string does not fail.
        let _ = match mark {
            Mark::Box {
                at: [x, y],
                size: [width, height],
                colour,
                opacity,
            } => writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                 fill=\"{colour}\"{}/>",
                attribute("fill-opacity", *opacity)
            ),
            Mark::Segments {
                segments,
                colour,
                width,
                opacity,
            } => writeln!(
                svg,
                "<path d=\"{}\" stroke=\"{colour}\" stroke-width=\"{width}\"{} fill=\"none\"/>",
                segments_path(segments),
                attribute("stroke-opacity", *opacity)
            ),
            Mark::Dots {
                dots,
                radius,
                colour,
                opacity,
            } => {
                // A line of no length with round ends is a dot.
                let path: String = (dots.iter())
                    .map(|[x, y]| format!("M{x:.1} {y:.1}h0"))
                    .collect();
                writeln!(
                    svg,
                    "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"{}\"{} \
                     stroke-linecap=\"round\"/>",
                    2.0 * radius,
                    attribute("stroke-opacity", *opacity)
                )
            }
            Mark::Text(text) => text_element(&mut svg, text),
        };
    }
    svg.push_str("</svg>\n");
    svg
}

fn attribute(name: &str, opacity: f64) -> String {
    match opacity < 1.0 {
        true => format!(" {name}=\"{opacity}\""),
        false => String::new(),
    }
}

fn segments_path(segments: &[[f64; 4]]) -> String {
    let mut path = String::new();
    for [from_x, from_y, to_x, to_y] in segments {
        let _ = match from_y == to_y {
            true => write!(path, "M{from_x:.1} {from_y:.1}H{to_x:.1}"),
            false => write!(path, "M{from_x:.1} {from_y:.1}L{to_x:.1} {to_y:.1}"),
        };
    }
    path
}

fn text_element(svg: &mut String, text: &Text) -> std::fmt::Result {
    let [x, y] = text.at;
    let anchor = match text.anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let turn = match text.is_upright {
        true => format!(" transform=\"rotate(-90 {x:.1} {y:.1})\""),
        false => String::new(),
    };
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{}\" fill=\"{}\"{anchor}{turn}>{}</text>",
        text.size,
        text.colour,
        escaped(&text.text)
    )
}
