//! Picking the features that matter out of a feature table, tidied for the parser.
//!
//! A feature begins with a key in columns 6 to 20; its location and `/qualifier` lines stand from
//! column 22 on. A quoted value goes on until its quote closes, whatever it looks like, except that
//! a line with a key in column 6 and a place behind it always begins a feature: a quote that was
//! never closed costs one feature. Lines that are none of these are left out and listed.

use crate::error::{Error, ErrorKind};

use super::Record;
use super::location::{check_text, settle_uncertain};

/// The columns before a key.
const KEY_INDENT: usize = 5;

/// The columns before a location or qualifier.
const VALUE_INDENT: usize = 21;

/// The features that are kept.
const WANTED: [&str; 2] = ["CDS", "source"];

/// The qualifiers that are kept.
const WANTED_QUALIFIERS: [&str; 7] = [
    "codon_start",
    "gene",
    "locus_tag",
    "product",
    "protein_id",
    TRANSLATION,
    "transl_table",
];

/// The one qualifier whose lines are joined without a blank.
const TRANSLATION: &str = "translation";

/// Collects the wanted features as text that the parser reads without surprises.
#[derive(Debug, Default)]
pub(super) struct FeatureTable {
    /// The tidied text of the features kept so far.
    pub(super) text: String,
    /// The line of each of them in the file.
    pub(super) lines: Vec<u64>,
    /// What could not be kept, in order.
    pub(super) issues: Vec<Error>,
    current: Option<Current>,
    in_quotes: bool,
}

/// The feature whose lines are being read.
#[derive(Debug)]
struct Current {
    line: u64,
    /// `None` when the feature is not wanted.
    key: Option<&'static str>,
    location: String,
    /// The wanted qualifiers so far, each one line of text.
    qualifiers: String,
    qualifier: Qualifier,
    /// A qualifier that is kept is not known whole.
    is_broken: bool,
}

/// The qualifier whose lines are being read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Qualifier {
    /// None yet: lines belong to the location.
    None,
    Unwanted,
    Wanted(&'static str),
}

impl FeatureTable {
    /// Takes the next line below `FEATURES`.
    pub(super) fn push(&mut self, line: &str, number: u64) {
        // The parser loses its place at control characters and would read what follows as a location
        // that nobody checked.
        let line = line.replace(char::is_control, " ");
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if text.is_empty() {
            return;
        }
        let may_be_key = indent < VALUE_INDENT && !text.starts_with('/');
        let (key, location) = text.split_once(' ').unwrap_or((text, ""));
        let at_key = indent == KEY_INDENT || (!self.in_quotes && !location.is_empty());
        if may_be_key && at_key && is_feature(key, location) {
            self.finish_feature();
            self.current = Some(Current {
                line: number,
                key: WANTED.into_iter().find(|&wanted| wanted == key),
                location: location.trim().to_owned(),
                qualifiers: String::new(),
                qualifier: Qualifier::None,
                is_broken: false,
            });
            return;
        }
        if may_be_key && !self.in_quotes {
            self.push_stray(number);
            return;
        }
        let Some(current) = &mut self.current else {
            return;
        };
        let begins = !self.in_quotes && text.starts_with('/');
        if begins || current.qualifier != Qualifier::None {
            self.in_quotes ^= has_odd_quotes(text);
        }
        if current.key.is_some() {
            current.push(text, begins);
        }
    }

    /// Takes note of a line that is neither a feature nor a qualifier, and leaves it out.
    ///
    /// Within the quotes of a wanted qualifier it may be a part of the value that lost its place,
    /// so that the value is not known: the feature goes with it.
    pub(super) fn push_stray(&mut self, number: u64) {
        let wanted = |current: &&mut Current| {
            current.key.is_some() && matches!(current.qualifier, Qualifier::Wanted(_))
        };
        if self.in_quotes
            && let Some(current) = self.current.as_mut().filter(wanted)
        {
            current.is_broken = true;
        }
        let message = "the line is neither a feature nor a qualifier";
        self.note(Error::new(ErrorKind::InvalidFeature, message).at_line(number));
    }

    fn note(&mut self, issue: Error) {
        if self.issues.len() < Record::MAX_ISSUES {
            self.issues.push(issue);
        }
    }

    /// Ends the table.
    pub(super) fn finish(&mut self) {
        self.finish_feature();
    }

    /// The bytes that are kept, for a limit.
    pub(super) fn bytes(&self) -> usize {
        let current = self.current.as_ref();
        self.text.len() + current.map_or(0, |c| c.location.len() + c.qualifiers.len())
    }

    fn finish_feature(&mut self) {
        let in_quotes = std::mem::take(&mut self.in_quotes);
        let Some(current) = self.current.take() else {
            return;
        };
        let Some(key) = current.key else {
            return;
        };
        let location: String = current.location.split_whitespace().collect();
        let location = settle_uncertain(&location);
        let checked = if current.is_broken {
            Err(Error::new(
                ErrorKind::InvalidFeature,
                "a quoted qualifier is broken by a line that does not belong to it",
            ))
        } else if in_quotes {
            Err(Error::new(
                ErrorKind::InvalidFeature,
                "a quoted qualifier is never closed",
            ))
        } else {
            check_text(&location)
        };
        if let Err(error) = checked {
            self.note(error.at_line(current.line));
            return;
        }
        // The brackets make the parser read the location to its end; without them it would take
        // the beginning that it understands and drop the rest.
        let width = VALUE_INDENT - KEY_INDENT;
        self.text
            .push_str(&format!("     {key:width$}join({location})"));
        self.text.push_str(&current.qualifiers);
        self.text.push('\n');
        self.lines.push(current.line);
    }
}

impl Current {
    /// Takes a line of the location or of a qualifier.
    fn push(&mut self, text: &str, begins_qualifier: bool) {
        if begins_qualifier {
            let name = text[1..].split('=').next().unwrap_or_default();
            let wanted = WANTED_QUALIFIERS.into_iter().find(|&wanted| wanted == name);
            self.qualifier = wanted.map_or(Qualifier::Unwanted, Qualifier::Wanted);
        }
        match self.qualifier {
            Qualifier::None => self.location.push_str(text),
            Qualifier::Unwanted => {}
            Qualifier::Wanted(name) => {
                if begins_qualifier {
                    self.qualifiers.push('\n');
                    self.qualifiers.push_str(&" ".repeat(VALUE_INDENT));
                } else if name != TRANSLATION {
                    self.qualifiers.push(' ');
                }
                self.qualifiers.push_str(text);
            }
        }
    }
}

/// Whether a line names a feature and its place; a wanted one counts whatever its place looks like,
/// so that its fault is told.
fn is_feature(key: &str, location: &str) -> bool {
    let location = location.trim_start();
    WANTED.contains(&key)
        || location.is_empty()
        || location.starts_with(|first: char| first.is_ascii_digit() || "<>(/".contains(first))
        || location.contains(['(', ':'])
        || location.contains("..")
}

/// Whether a line opens or closes a quoted value; a doubled quote inside one does neither.
fn has_odd_quotes(text: &str) -> bool {
    text.bytes().filter(|&byte| byte == b'"').count() % 2 == 1
}
