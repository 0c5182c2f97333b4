//! What Python's `json` says of a text that is not JSON, and how it prints characters: clients of
//! ESM2_MultiGPU_Inference see these words.

/// The complaint and the place, in characters from 0.
pub(crate) type Fault = (&'static str, usize);

/// The first fault that Python's `json.loads` finds, if it finds one.
pub(crate) fn fault(text: &str) -> Option<Fault> {
    let mut scanner = Scanner {
        chars: text.chars().collect(),
        at: 0,
    };
    scanner.document().err()
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
}

impl Scanner {
    fn document(&mut self) -> Result<(), Fault> {
        self.space();
        self.value(0)?;
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(("Extra data", self.at)),
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        let begun = self.at;
        match self.peek() {
            Some('"') => self.string(),
            // What nests deeper was refused before.
            Some('{') if depth <= super::guard::MAX_DEPTH => self.object(depth),
            Some('[') if depth <= super::guard::MAX_DEPTH => self.array(depth),
            Some('-' | '0'..='9') if self.number() => Ok(()),
            Some(_) => {
                let rest = &self.chars[begun..];
                let words = ["null", "true", "false", "NaN", "Infinity", "-Infinity"];
                let word = words
                    .iter()
                    .find(|word| rest.iter().copied().take(word.len()).eq(word.chars()));
                match word {
                    Some(word) => {
                        self.at = begun + word.len();
                        Ok(())
                    }
                    None => Err(("Expecting value", begun)),
                }
            }
            None => Err(("Expecting value", begun)),
        }
    }

    /// Whether a number stands here; passes over it.
    fn number(&mut self) -> bool {
        let begun = self.at;
        if self.peek() == Some('-') {
            self.at += 1;
        }
        match self.peek() {
            Some('0') => self.at += 1,
            Some('1'..='9') => self.digits(),
            _ => {
                self.at = begun;
                return false;
            }
        }
        let digit = |at: usize, chars: &[char]| chars.get(at).is_some_and(char::is_ascii_digit);
        if self.peek() == Some('.') && digit(self.at + 1, &self.chars) {
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            let sign = matches!(self.chars.get(self.at + 1), Some('+' | '-'));
            let first = self.at + 1 + usize::from(sign);
            if digit(first, &self.chars) {
                self.at = first;
                self.digits();
            }
        }
        true
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some('0'..='9')) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<(), Fault> {
        let begun = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(("Unterminated string starting at", begun)),
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => self.escape(begun)?,
                Some(control) if control < ' ' => {
                    return Err(("Invalid control character at", self.at));
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self, begun: usize) -> Result<(), Fault> {
        match self.chars.get(self.at + 1) {
            None => Err(("Unterminated string starting at", begun)),
            Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {
                self.at += 2;
                Ok(())
            }
            Some('u') => {
                let digits = self.chars.iter().skip(self.at + 2).take(4);
                if digits.filter(|digit| digit.is_ascii_hexdigit()).count() < 4 {
                    return Err(("Invalid \\uXXXX escape", self.at + 1));
                }
                self.at += 6;
                Ok(())
            }
            Some(_) => Err(("Invalid \\escape", self.at)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        const NAME: &str = "Expecting property name enclosed in double quotes";
        self.at += 1;
        self.space();
        if self.peek() == Some('}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some('"') {
                return Err((NAME, self.at));
            }
            self.string()?;
            self.space();
            if self.peek() != Some(':') {
                return Err(("Expecting ':' delimiter", self.at));
            }
            self.at += 1;
            self.space();
            self.value(depth + 1)?;
            self.space();
            match self.peek() {
                Some('}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(',') => {
                    self.at += 1;
                    self.space();
                }
                _ => return Err(("Expecting ',' delimiter", self.at)),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        self.at += 1;
        self.space();
        if self.peek() == Some(']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.space();
            match self.peek() {
                Some(']') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(',') => {
                    self.at += 1;
                    self.space();
                }
                _ => return Err(("Expecting ',' delimiter", self.at)),
            }
        }
    }
}

/// A character as Python's `repr` prints it in a string of its own.
pub(crate) fn repr(character: char) -> String {
    match character {
        '\'' => "\"'\"".to_owned(),
        '\\' => "'\\\\'".to_owned(),
        '\n' => "'\\n'".to_owned(),
        '\r' => "'\\r'".to_owned(),
        '\t' => "'\\t'".to_owned(),
        control if control.is_control() => format!("'\\x{:02x}'", control as u32),
        plain => format!("'{plain}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_those_of_python() {
        let name = "Expecting property name enclosed in double quotes";
        let cases = [
            (r#"{"sequence": "MKT","#, Some((name, 19))),
            ("{", Some((name, 1))),
            ("", Some(("Expecting value", 0))),
            ("[1 2]", Some(("Expecting ',' delimiter", 3))),
            (r#"{"a" 1}"#, Some(("Expecting ':' delimiter", 5))),
            (r#"{"a": }"#, Some(("Expecting value", 6))),
            (r#"{"a": 1} x"#, Some(("Extra data", 9))),
            (r#"{"a": "x"#, Some(("Unterminated string starting at", 6))),
            ("\"a\nb\"", Some(("Invalid control character at", 2))),
            (r#""\q""#, Some(("Invalid \\escape", 1))),
            (r#""\u12g4""#, Some(("Invalid \\uXXXX escape", 2))),
            ("é x", Some(("Expecting value", 0))),
            (r#"{"a": [1.5e3, -2, NaN, null, true, "é"]}"#, None),
        ];
        for (text, expected) in cases {
            assert_eq!(fault(text), expected, "{text}");
        }
    }

    #[test]
    fn characters_are_printed_as_python_does() {
        for (character, expected) in [
            ('B', "'B'"),
            ('\'', "\"'\""),
            ('\n', "'\\n'"),
            ('\u{7f}', "'\\x7f'"),
            ('É', "'É'"),
        ] {
            assert_eq!(repr(character), expected);
        }
    }
}
