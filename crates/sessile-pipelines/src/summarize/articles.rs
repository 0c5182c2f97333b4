//! Articles as they come: one line after the other, one file after the other.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use sessile_seq::inputs::{Format, Input};

use super::row::Fields;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::job::Reading;

/// Longest line, and longest text file, in bytes: far beyond any article.
const MAX_BYTES: u64 = 16 << 20;

/// One article.
pub(super) struct Article {
    /// Where it stands, for people and for the journal.
    pub(super) place: String,
    /// As it was read.
    pub(super) line: Vec<u8>,
    /// The fields of its row but the text, in their order.
    pub(super) fields: Fields,
    pub(super) text: String,
    /// What is wrong with it.
    pub(super) problem: Option<String>,
}

impl Article {
    fn broken(place: String, line: Vec<u8>, problem: String) -> Self {
        Article {
            place,
            line,
            fields: Fields::default(),
            text: String::new(),
            problem: Some(problem),
        }
    }
}

/// Refuses inputs that can not be read, before anything is loaded.
pub(super) fn check(inputs: &[PathBuf]) -> Result<Vec<Input>, PipelineError> {
    let wrong = |message| Err(PipelineError::new(PipelineErrorKind::Input, message));
    let mut checked = Vec::new();
    for path in inputs {
        if path == Path::new("-") {
            checked.push(Input::Stdin);
            continue;
        }
        match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return wrong(format!("{} does not exist", path.display()));
            }
            Err(error) => return wrong(format!("can not read {}: {error}", path.display())),
            Ok(metadata) if metadata.is_dir() => {
                return wrong(format!("{} is a folder; name files in it", path.display()));
            }
            Ok(_) => checked.push(Input::File(path.clone())),
        }
    }
    Ok(checked)
}

/// The articles of all inputs.
pub(super) struct Articles {
    inputs: VecDeque<PathBuf>,
    text_field: String,
    reading: Reading,
    lines: Option<Lines>,
}

struct Lines {
    reader: Box<dyn BufRead + Send>,
    name: String,
    number: u64,
    has_articles: bool,
}

impl Articles {
    /// Those of `inputs`, whose text is in the field `text_field`.
    pub(super) fn new(inputs: &[PathBuf], text_field: &str, reading: &Reading) -> Self {
        Articles {
            inputs: inputs.iter().cloned().collect(),
            text_field: text_field.to_owned(),
            reading: reading.clone(),
            lines: None,
        }
    }

    /// The next line that is not blank, as an article.
    fn next_line(&mut self) -> Option<Article> {
        let lines = self.lines.as_mut()?;
        loop {
            let mut line = Vec::new();
            lines.number += 1;
            let place = format!("{}, line {}", lines.name, lines.number);
            match (&mut lines.reader)
                .take(MAX_BYTES)
                .read_until(b'\n', &mut line)
            {
                Ok(0) => {
                    if !lines.has_articles {
                        self.reading.census.no_record(&lines.name);
                    }
                    self.lines = None;
                    return None;
                }
                Err(error) => {
                    self.lines = None;
                    return Some(Article::broken(place, Vec::new(), error.to_string()));
                }
                Ok(_) if line.len() as u64 == MAX_BYTES && line.last() != Some(&b'\n') => {
                    // The rest of the file has no line that could be trusted.
                    self.lines = None;
                    let problem = format!("the line is longer than {} MiB", MAX_BYTES >> 20);
                    return Some(Article::broken(place, Vec::new(), problem));
                }
                Ok(_) => {}
            }
            if !line.trim_ascii().is_empty() {
                lines.has_articles = true;
                return Some(self.parse(place, line));
            }
        }
    }

    fn parse(&self, place: String, line: Vec<u8>) -> Article {
        let (fields, text) = match std::str::from_utf8(&line) {
            Ok(text) => Fields::parse(text.trim(), &self.text_field),
            Err(error) => {
                let at = error.valid_up_to();
                // What stands before the fault may say which article it is.
                let before = std::str::from_utf8(&line[..at]).unwrap_or_default();
                let (fields, _) = Fields::parse(before.trim(), &self.text_field);
                (fields, Err(format!("not UTF-8 from byte {} on", at + 1)))
            }
        };
        let (text, problem) = match text {
            Ok(text) => (text, None),
            Err(problem) => (String::new(), Some(problem)),
        };
        Article {
            place,
            line,
            fields,
            text,
            problem,
        }
    }
}

/// A text file: its article, with the file's name as its id.
fn text_file(path: &Path, reading: &Reading) -> Article {
    let place = path.display().to_string();
    let mut bytes = Vec::new();
    let input = Input::File(path.to_owned());
    let source = match input.open_counted(&reading.bytes.read) {
        Ok(source) => source,
        Err(error) => return Article::broken(place, bytes, error.message().to_owned()),
    };
    if let Err(error) = source.take(MAX_BYTES + 1).read_to_end(&mut bytes) {
        return Article::broken(place, bytes, error.to_string());
    }
    if bytes.len() as u64 > MAX_BYTES {
        let problem = format!("the file is longer than {} MiB", MAX_BYTES >> 20);
        return Article::broken(place, Vec::new(), problem);
    }
    let id = path.file_stem().unwrap_or_default().to_string_lossy();
    match std::str::from_utf8(&bytes) {
        Ok(text) => Article {
            fields: Fields::of_id(&id),
            text: text.to_owned(),
            place,
            line: bytes,
            problem: None,
        },
        Err(error) => {
            let problem = format!("not UTF-8 from byte {} on", error.valid_up_to() + 1);
            Article {
                fields: Fields::of_id(&id),
                ..Article::broken(place, bytes.clone(), problem)
            }
        }
    }
}

fn is_lines(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| Format::Json.matches_name(&name.to_string_lossy()))
}

impl Iterator for Articles {
    type Item = Article;

    fn next(&mut self) -> Option<Article> {
        loop {
            if let Some(article) = self.next_line() {
                return Some(article);
            }
            let path = self.inputs.pop_front()?;
            let input = if path == Path::new("-") {
                Input::Stdin
            } else if is_lines(&path) {
                Input::File(path)
            } else {
                return Some(text_file(&path, &self.reading));
            };
            let name = input.name();
            let source = match input.open_counted(&self.reading.bytes.read) {
                Ok(source) => source,
                Err(error) => {
                    let problem = error.message().to_owned();
                    return Some(Article::broken(name, Vec::new(), problem));
                }
            };
            self.lines = Some(Lines {
                reader: Box::new(BufReader::with_capacity(1 << 18, source)),
                name,
                number: 0,
                has_articles: false,
            });
        }
    }
}
