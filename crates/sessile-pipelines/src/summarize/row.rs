//! A line of input taken apart, and the line of output that it becomes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::articles::Article;

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
        let mut json = serde_json::Deserializer::from_str(line);
        let read = (&mut fields)
            .deserialize(&mut json)
            .and_then(|()| json.end());
        let (mut texts, others): (Vec<_>, Vec<_>) = fields
            .0
            .into_iter()
            .partition(|(name, _)| name == text_field);
        let text = match (read, texts.pop().map(|(_, text)| text)) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), None) => Err(format!(
                "there is no field `{text_field}` (see --text-field)"
            )),
            (Ok(()), Some(text)) => serde_json::from_str(text.get())
                .map_err(|error| format!("the field `{text_field}` is not a text: {error}")),
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

/// What a row adds to its article's fields.
pub(super) enum Written<'a> {
    Summary {
        summary: &'a str,
        tokens: Option<&'a Vec<u32>>,
        is_truncated: bool,
        /// Parts that were summarised each; 0 when the article was read whole.
        parts: usize,
    },
    Error(&'a str),
}

/// The line of an article. A field of the input that is called like one of the row's own gives
/// way to it.
pub(super) fn write(article: &Article, written: &Written<'_>) -> Vec<u8> {
    let mut row = Vec::with_capacity(256);
    row.push(b'{');
    let mut add = |name: &str, value: &str| {
        if row.len() > 1 {
            row.push(b',');
        }
        row.extend_from_slice(json(name).as_bytes());
        row.push(b':');
        row.extend_from_slice(value.as_bytes());
    };
    let own = [
        "summary",
        "token_ids",
        "truncated",
        "parts",
        "error",
        "place",
    ];
    for (name, value) in &article.fields.0 {
        if !own.contains(&name.as_str()) {
            add(name, value.get());
        }
    }
    match written {
        Written::Summary {
            summary,
            tokens,
            is_truncated,
            parts,
        } => {
            add("summary", &json(summary));
            if let Some(tokens) = tokens {
                add("token_ids", &json(tokens));
            }
            add("truncated", if *is_truncated { "true" } else { "false" });
            if *parts > 0 {
                add("parts", &parts.to_string());
            }
        }
        Written::Error(reason) => {
            add("error", &json(reason));
            add("place", &json(&article.place));
        }
    }
    row.extend_from_slice(b"}\n");
    row
}

/// As JSON; texts and numbers always have one.
fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
