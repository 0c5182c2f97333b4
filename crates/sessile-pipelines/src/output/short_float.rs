//! Numbers of single precision as NumPy prints them.

use std::fmt;

/// An f32 as `str(numpy.float32)`: the shortest decimals that read back to the same number, in
/// scientific notation below 1e-4 and from 1e16 on.
///
/// # Examples
///
/// ```
/// use sessile_pipelines::output::ShortFloat;
///
/// assert_eq!(ShortFloat(0.5).to_string(), "0.5");
/// assert_eq!(ShortFloat(1.0).to_string(), "1.0");
/// assert_eq!(ShortFloat(1.325_729_4e-5).to_string(), "1.3257294e-05");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShortFloat(pub f32);

impl fmt::Display for ShortFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        // As numpy compares: 1e-4 in f32 is below 1e-4 and printed `1e-04`.
        let size = f64::from(value.abs());
        if !value.is_finite() {
            let text = match value {
                _ if value.is_nan() => "nan",
                _ if value > 0.0 => "inf",
                _ => "-inf",
            };
            f.write_str(text)
        } else if size != 0.0 && !(1e-4..1e16).contains(&size) {
            let text = format!("{value:e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            write!(f, "{digits}e{sign}{exponent:0>2}")
        } else if value.fract() == 0.0 {
            write!(f, "{value}.0")
        } else {
            write!(f, "{value}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What numpy 2.2 prints.
    #[test]
    fn numbers_are_those_of_numpy() {
        let cases = [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.999_991_3, "0.9999913"),
            (8.719_787e-6, "8.719787e-06"),
            (1e-5, "1e-05"),
            (1e-4, "1e-04"),
            (1.000_1e-4, "0.00010001"),
            (1e-30, "1e-30"),
            (1.234_567_9e20, "1.2345679e+20"),
            (123_456.0, "123456.0"),
            (1e16, "1e+16"),
            (f32::NAN, "nan"),
            (f32::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in cases {
            assert_eq!(ShortFloat(value).to_string(), text);
        }
    }
}
