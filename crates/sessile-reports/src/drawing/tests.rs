use std::io::Read as _;

use super::*;

fn sample() -> Drawing {
    let mut drawing = Drawing::new(60.0, 40.0);
    drawing.rectangle([10.0, 10.0], [20.0, 10.0], Colour::YES, 1.0);
    drawing.segments(vec![[0.0, 35.0, 60.0, 35.0]], Colour::NO, 2.0, 1.0);
    drawing.dots(&[[50.0, 10.0]], 4.0, Colour::INK, 1.0);
    drawing.text([2.0, 30.0], "<A&b>", 10.0, Colour::INK, Anchor::Start);
    drawing
}

/// Reads back what `png` wrote: width, height and the pixels.
fn decode(png: &[u8]) -> (usize, usize, Vec<[u8; 3]>) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let (mut place, mut size, mut data) = (8, (0, 0), Vec::new());
    while place < png.len() {
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        let length = number(place) as usize;
        let body = &png[place + 8..][..length];
        let checksum = crc32fast::hash(&png[place + 4..place + 8 + length]);
        assert_eq!(checksum, number(place + 8 + length));
        match &png[place + 4..place + 8] {
            b"IHDR" => size = (number(place + 8) as usize, number(place + 12) as usize),
            b"IDAT" => {
                flate2::read::ZlibDecoder::new(body)
                    .read_to_end(&mut data)
                    .unwrap();
            }
            _ => {}
        }
        place += 12 + length;
    }
    let (width, height) = size;
    let mut above = vec![0; 3 * width];
    let mut pixels = Vec::new();
    for row in data.chunks_exact(3 * width + 1) {
        assert_eq!(row[0], 2);
        for (above, &difference) in above.iter_mut().zip(&row[1..]) {
            *above = u8::wrapping_add(*above, difference);
        }
        pixels.extend(
            above
                .chunks_exact(3)
                .map(|pixel| [pixel[0], pixel[1], pixel[2]]),
        );
    }
    (width, height, pixels)
}

#[test]
fn both_formats_show_the_marks() {
    let drawing = sample();
    let svg = drawing.svg();
    assert!(
        svg.contains("<rect x=\"10.0\" y=\"10.0\" width=\"20.0\""),
        "{svg}"
    );
    assert!(svg.contains("M0.0 35.0H60.0"), "{svg}");
    assert!(svg.contains(">&lt;A&amp;b&gt;</text>"), "{svg}");
    let (width, height, pixels) = decode(&drawing.bytes(PictureFormat::Png).unwrap());
    assert_eq!((width, height, pixels.len()), (120, 80, 120 * 80));
    let at = |x: usize, y: usize| pixels[2 * y * width + 2 * x];
    assert_eq!(at(20, 15), [0xc1, 0x27, 0x2d]);
    assert_eq!(at(30, 35), [0x1f, 0x4e, 0x8c]);
    assert_eq!(at(50, 10), [0x22, 0x2b, 0x33]);
    assert_eq!(at(5, 5), [0xff; 3]);
    // The text leaves ink between its baseline and its height.
    let inked = (4..70).flat_map(|x| (44..62).map(move |y| (x, y)));
    assert!(
        inked
            .filter(|&(x, y)| pixels[y * width + x][0] < 0x80)
            .count()
            > 40
    );
}

#[test]
fn pictures_that_are_too_large_are_refused() {
    let error = Drawing::new(1e9, 1e9)
        .bytes(PictureFormat::Png)
        .unwrap_err();
    assert!(error.contains("too large"), "{error}");
}

#[test]
fn texts_are_as_wide_as_their_letters() {
    assert!(text_width("mmmm", 12.0) > 2.0 * text_width("iiii", 12.0));
    assert!((text_width("ab", 20.0) - 2.0 * text_width("ab", 10.0)).abs() < 1e-9);
    assert_eq!(shortened("short", 12.0, 500.0), "short");
    let cut = shortened("a very long identifier of a contig", 12.0, 60.0);
    assert!(
        cut.ends_with('…') && text_width(&cut, 12.0) <= 60.0,
        "{cut}"
    );
}

#[test]
fn axes_have_round_numbers() {
    let texts = |axis: &Axis| -> Vec<String> {
        (axis_ticks(axis).iter())
            .map(|(_, text)| text.clone())
            .collect()
    };
    for (from, to, expected) in [
        (0.0, 4.2, &["0", "1", "2", "3", "4", "5"][..]),
        (0.0, 0.5, &["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        (-1.0, 1.0, &["-1.0", "-0.5", "0", "0.5", "1.0"]),
        (
            0.0,
            97_757.0,
            &["0", "20,000", "40,000", "60,000", "80,000", "100,000"],
        ),
        (3.0, 3.0, &["2.4", "2.6", "2.8", "3.0", "3.2", "3.4", "3.6"]),
    ] {
        assert_eq!(
            texts(&Axis::linear(from, to, true)),
            expected,
            "{from} {to}"
        );
    }
    assert_eq!(
        texts(&Axis::log(30.0, 2000.0)),
        ["50", "100", "200", "500", "1,000", "2,000"]
    );
    assert_eq!(
        texts(&Axis::linear(f64::NAN, 1.0, true)).first().unwrap(),
        "0"
    );
}

#[test]
fn axes_of_counted_things_have_whole_numbers() {
    for (count, expected) in [
        (0, &[(0.5, "1")][..]),
        (2, &[(0.5, "1"), (1.5, "2")]),
        (13, &[(4.5, "5"), (9.5, "10")]),
    ] {
        let axis = Axis::counted(count);
        let ticks: Vec<(f64, &str)> = (axis_ticks(&axis).iter())
            .map(|(value, text)| (*value, text.as_str()))
            .collect();
        assert_eq!(ticks, expected, "{count}");
    }
    // As many as a file may claim.
    assert!(axis_ticks(&Axis::counted(u64::MAX)).len() < 12);
}

fn axis_ticks(axis: &Axis) -> &[(f64, String)] {
    axes::ticks(axis)
}
