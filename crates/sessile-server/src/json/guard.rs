//! Looks over a JSON text without building anything: how deep it nests and how many values it
//! has. Parsed, a few bytes of text can become many times as much memory; this is the bound.

/// A text that is not worth parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Arrays and objects are nested deeper than anything the service reads.
    Depth,
    /// There are more values than the service takes in one request.
    Values,
}

/// Nothing the service reads nests deeper.
pub(crate) const MAX_DEPTH: usize = 16;

/// Checks `text` against [`MAX_DEPTH`] and a number of values. Whether it is JSON at all is left
/// to the parser.
pub(crate) fn check(text: &[u8], max_values: usize) -> Result<(), Excess> {
    let mut depth = 0_usize;
    let mut values = 1_usize;
    let mut in_string = false;
    let mut escaped = false;
    for &byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                values += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Excess::Depth);
        }
        if values > max_values {
            return Err(Excess::Values);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded() {
        let deep = "[".repeat(MAX_DEPTH + 1);
        let cases = [
            (r#"{"sequences": ["MKV", "A"]}"#, 4, Ok(())),
            (r#"{"sequences": ["MKV", "A"]}"#, 3, Err(Excess::Values)),
            (r#"{"a": "[[[[,,,,\"[[,,"}"#, 2, Ok(())),
            (r#""\\",,,"#, 2, Err(Excess::Values)),
            (&deep, 1000, Err(Excess::Depth)),
            ("]]]]", 2, Ok(())),
        ];
        for (text, max_values, expected) in cases {
            assert_eq!(check(text.as_bytes(), max_values), expected, "{text}");
        }
    }
}
