//! A line of input taken apart, and the line of output that it becomes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::articles::Article;

/// The fields of a row, in their order, each as it was written.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    fields.push(pair);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl Fields {
    /// The fields of a line but the text, and the text.
    pub(super) fn parse(line: &str, text_field: &str) -> Result<(Self, String), String> {
        let mut fields: Fields = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let at = fields
            .0
            .iter()
            .position(|(name, _)| name == text_field)
            .ok_or_else(|| format!("there is no field `{text_field}` (see --text-field)"))?;
        let (_, text) = fields.0.remove(at);
        let text = serde_json::from_str(text.get())
            .map_err(|_| format!("the field `{text_field}` is not a text"))?;
        Ok((fields, text))
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
