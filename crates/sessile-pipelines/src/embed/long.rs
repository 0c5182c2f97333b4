//! Sequences that are longer than the model was made for.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// What becomes of a sequence that is longer than the model was made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Long {
    /// It fails; the others go on.
    #[default]
    Fail,
    /// The model gets all of it, beyond the lengths it was trained on.
    Full,
    /// The model gets windows that overlap, and every residue is taken from the window in which it
    /// lies farthest from an end.
    Windows,
    /// The model gets its beginning; the row is marked as truncated.
    Truncate,
}

impl Long {
    /// The choices that users have, by name.
    pub const ALL: [Long; 4] = [Long::Fail, Long::Full, Long::Windows, Long::Truncate];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Long::Fail => "fail",
            Long::Full => "full",
            Long::Windows => "windows",
            Long::Truncate => "truncate",
        }
    }
}

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Long {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Long::ALL
            .into_iter()
            .find(|long| long.name() == text)
            .ok_or_else(|| format!("unknown choice `{text}` (fail, full, windows or truncate)"))
    }
}

/// A part of a sequence that the model gets at once, in residues of the sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// What the model gets.
    pub(super) residues: Range<usize>,
    /// What is taken from its answer.
    pub(super) kept: Range<usize>,
}

/// The share of a window that it has in common with the next, at least.
const OVERLAP: usize = 4;

/// Windows of `longest` residues over a sequence of `length`, evenly spaced, each overlapping the
/// next by a quarter of its length or more. What they keep covers the sequence once.
pub(super) fn windows(length: usize, longest: usize) -> Vec<Window> {
    if length <= longest {
        return vec![Window {
            residues: 0..length,
            kept: 0..length,
        }];
    }
    let step = (longest - longest / OVERLAP).max(1);
    let steps = (length - longest).div_ceil(step);
    let start = |number: usize| number * (length - longest) / steps;
    // Halfway through what two neighbours have in common.
    let border = |number: usize| (start(number) + start(number - 1) + longest).div_ceil(2);
    (0..=steps)
        .map(|number| {
            let begin = if number == 0 { 0 } else { border(number) };
            let end = if number == steps {
                length
            } else {
                border(number + 1)
            };
            Window {
                residues: start(number)..start(number) + longest,
                kept: begin..end,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_residue_once_and_away_from_ends() {
        for longest in [1, 2, 7, 64, 1024] {
            for length in (1..300).chain([1023, 1024, 1025, 2048, 5000, 34_350]) {
                let windows = windows(length, longest);
                let mut next = 0;
                for window in &windows {
                    let Window { residues, kept } = window;
                    assert_eq!(kept.start, next, "{length} in {longest}");
                    assert!(residues.start <= kept.start && kept.end <= residues.end);
                    assert!(residues.len() <= longest && residues.end <= length);
                    if longest >= 64 && length > longest {
                        let margin = longest / OVERLAP / 2;
                        assert!(kept.start == 0 || kept.start - residues.start >= margin);
                        assert!(kept.end == length || residues.end - kept.end >= margin);
                    }
                    next = kept.end;
                }
                assert_eq!(next, length, "{length} in {longest}");
            }
        }
        assert_eq!(windows(1024, 1024).len(), 1);
        assert_eq!(windows(1025, 1024).len(), 2);
    }
}
