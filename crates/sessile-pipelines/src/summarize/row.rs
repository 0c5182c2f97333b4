//! A line of input taken apart, and the columns of the row that it becomes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::output::{Cell, Column, ColumnKind, Presence, Row, Schema};

/// The fields of a row, in their order, each as it was written.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, Box<RawValue>)>);

/// Takes a line apart as far as it can be read: what stands before a fault is kept.
impl<'de> DeserializeSeed<'de> for &mut Fields {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Fields {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(pair) = map.next_entry()? {
            self.0.push(pair);
        }
        Ok(())
    }
}

impl Fields {
    /// The fields of a line but the text, and the text or what is wrong with the line. Of several
    /// texts the last counts, as in Python.
    pub(super) fn parse(line: &str, text_field: &str) -> (Self, Result<String, String>) {
        let mut fields = Fields::default();
        // Files that were joined have a byte order mark at the beginning of any line.
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        let mut json = serde_json::Deserializer::from_str(line);
        let read = (&mut fields)
            .deserialize(&mut json)
            .and_then(|()| json.end());
        let (mut texts, others): (Vec<_>, Vec<_>) = fields
            .0
            .into_iter()
            .partition(|(name, _)| name == text_field);
        let text = match (read, texts.pop().map(|(_, text)| text)) {
            (Err(error), _) => Err(no_object(&error)),
            (Ok(()), None) => Err(format!(
                "there is no field `{text_field}` (see --text-field)"
            )),
            (Ok(()), Some(text)) => serde_json::from_str(text.get())
                .map_err(|_| format!("the field `{text_field}` is {}", no_text(text.get()))),
        };
        (Fields(others), text)
    }

    /// What the article is called, if it has an `id`.
    pub(super) fn id(&self) -> String {
        let id = self.0.iter().rev().find(|(name, _)| name == "id");
        let id = id.map_or("", |(_, value)| value.get());
        serde_json::from_str(id).unwrap_or_else(|_| id.to_owned())
    }

    /// A row of an id and nothing else.
    pub(super) fn of_id(id: &str) -> Self {
        let value = serde_json::value::to_raw_value(id);
        Fields(value.into_iter().map(|id| ("id".to_owned(), id)).collect())
    }
}

/// Why a line is no article.
fn no_object(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof => "the JSON object breaks off".to_owned(),
        Category::Syntax => format!("the line is not JSON from column {} on", error.column()),
        Category::Data | Category::Io => "the line is JSON, but no object".to_owned(),
    }
}

/// What a value is that is not a text.
fn no_text(json: &str) -> &'static str {
    match json.bytes().next() {
        Some(b'"') => "not a text: half of a character (a lone surrogate) is in it",
        Some(b'n') => "not a text but null",
        Some(b't' | b'f') => "not a text but true or false",
        Some(b'[') => "not a text but a list",
        Some(b'{') => "not a text but an object",
        _ => "not a text but a number",
    }
}

/// The names that a row's own columns have. A field of the input that is called like one of them
/// gives way to it.
const OWN: [&str; 6] = [
    "summary",
    "token_ids",
    "truncated",
    "parts",
    "error",
    "place",
];

/// The fields of the input, then those of a summary or of a failure.
pub(super) fn schema(with_ids: bool) -> Schema {
    let column = |name: &str, kind| Column::new(name, kind).with_presence(Presence::Optional);
    let mut columns = vec![
        Column::new("fields", ColumnKind::Fields),
        column("summary", ColumnKind::Text),
    ];
    if with_ids {
        columns.push(column("token_ids", ColumnKind::Integers));
    }
    columns.extend([
        column("truncated", ColumnKind::Flag),
        column("parts", ColumnKind::Integer),
        column("error", ColumnKind::Text),
        column("place", ColumnKind::Text),
    ]);
    Schema::new(columns)
}

/// What a row adds to its article's fields.
pub(super) enum Written<'a> {
    Summary {
        summary: String,
        tokens: &'a [u32],
        is_truncated: bool,
        /// Parts that were summarised each; 0 when the article was read whole.
        parts: usize,
    },
    Error(&'a str),
}

/// The row of an article. Where it has no `id`, tables name it by its place.
pub(super) fn row(fields: &Fields, place: &str, written: &Written<'_>, with_ids: bool) -> Row {
    let own = |name: &str| OWN.contains(&name);
    let others = fields.0.iter().filter(|(name, _)| !own(name));
    let others = others.map(|(name, value)| (name.clone(), value.get().to_owned()));
    let mut cells = vec![Cell::Fields(others.collect())];
    match written {
        Written::Summary {
            summary,
            tokens,
            is_truncated,
            parts,
        } => {
            cells.push(Cell::Text(summary.clone()));
            if with_ids {
                cells.push(Cell::Integers(
                    tokens.iter().map(|&token| token.into()).collect(),
                ));
            }
            cells.push(Cell::Flag(*is_truncated));
            cells.push(match parts {
                0 => Cell::Missing,
                parts => Cell::Integer(*parts as i64),
            });
            cells.extend([Cell::Missing, Cell::Missing]);
        }
        Written::Error(reason) => {
            let missing = if with_ids { 4 } else { 3 };
            cells.extend(std::iter::repeat_n(Cell::Missing, missing));
            cells.push(Cell::Text((*reason).to_owned()));
            cells.push(Cell::Text(place.to_owned()));
        }
    }
    let id = fields.id();
    Row {
        id: if id.is_empty() { place.to_owned() } else { id },
        cells,
    }
}
