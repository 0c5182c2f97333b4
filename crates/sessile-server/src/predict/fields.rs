//! The fields of `/predict` and `/predict/batch`, read as ESM2_MultiGPU_Inference reads them.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::complaint::{complaint, missing, not_a_string, rule, too_long, too_short, with_context};
use super::residues;
use crate::failure::{Failure, FailureKind};
use crate::json::whole::whole;
use crate::json::{BYTE_ORDER_MARK, python};
use crate::work::Terms;

/// A request for one sequence.
#[derive(Debug, PartialEq, ToSchema)]
pub(crate) struct PredictionRequest {
    /// The sequence, in one-letter codes; white space around it and small letters do not matter.
    #[schema(
        min_length = 1,
        max_length = 1024,
        pattern = "^[ACDEFGHIKLMNPQRSTVWXYacdefghiklmnpqrstvwxy]{1,1024}$"
    )]
    pub(super) sequence: String,
    /// Whether to send the vectors.
    #[schema(value_type = Flag, required = false, default = true)]
    pub(super) include_embeddings: bool,
    /// Whether to send the shapes of the attention weights.
    #[schema(value_type = Flag, required = false, default = false)]
    pub(super) include_attention: bool,
    /// 0 is served first, 2 last.
    #[schema(minimum = 0, maximum = 2, default = 1)]
    pub(super) priority: Option<u8>,
    /// Milliseconds after which the answer is not wanted any more.
    #[schema(minimum = 1, maximum = 4294967295_u32)]
    pub(super) timeout_ms: Option<u64>,
}

/// A request for several sequences.
#[derive(Debug, PartialEq, ToSchema)]
pub(crate) struct BatchPredictionRequest {
    /// The sequences.
    #[schema(value_type = Vec<BatchSequence>, min_items = 1, max_items = 64)]
    pub(super) sequences: Vec<String>,
    /// Whether to send the vectors.
    #[schema(value_type = Flag, required = false, default = true)]
    pub(super) include_embeddings: bool,
    /// Whether to send the shapes of the attention weights.
    #[schema(value_type = Flag, required = false, default = false)]
    pub(super) include_attention: bool,
    /// 0 is served first, 2 last.
    #[schema(minimum = 0, maximum = 2, default = 1)]
    pub(super) priority: Option<u8>,
    /// Milliseconds after which the answer is not wanted any more.
    #[schema(minimum = 1, maximum = 4294967295_u32)]
    pub(super) timeout_ms: Option<u64>,
}

/// A sequence of a batch.
#[derive(ToSchema)]
#[schema(pattern = "^[ACDEFGHIKLMNPQRSTVWXYacdefghiklmnpqrstvwxy]{1,1024}$")]
#[expect(dead_code, reason = "it describes a string with a pattern")]
pub(crate) struct BatchSequence(String);

/// Yes or no.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes the API")]
pub(crate) enum Flag {
    /// As JSON has it.
    Boolean(bool),
    /// 0 or 1.
    Number(FlagNumber),
    /// A word.
    Word(FlagWord),
}

/// 0 or 1.
#[derive(ToSchema)]
#[schema(minimum = 0, maximum = 1)]
#[expect(dead_code, reason = "it describes the API")]
pub(crate) struct FlagNumber(u8);

/// A word for yes or no, in any letters.
#[derive(ToSchema)]
#[schema(
    pattern = "^(0|[Oo][Ff][Ff]|[Ff]|[Ff][Aa][Ll][Ss][Ee]|[Nn]|[Nn][Oo]|1|[Oo][Nn]|[Tt]|[Tt][Rr][Uu][Ee]|[Yy]|[Yy][Ee][Ss])$"
)]
#[expect(dead_code, reason = "it describes the API")]
pub(crate) struct FlagWord(String);

/// What is wanted of the sequences.
struct Flags {
    embeddings: bool,
    attention: bool,
    priority: Option<u8>,
    timeout_ms: Option<u64>,
}

/// Priority and time.
pub(super) fn terms(priority: Option<u8>, timeout_ms: Option<u64>) -> Terms {
    Terms {
        priority: priority.unwrap_or(Terms::default().priority),
        timeout: timeout_ms.map(Duration::from_millis),
    }
}

/// Reads a body as JSON if its type says so or says nothing; other text stands for itself.
pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Value, Failure> {
    if body.is_empty() {
        return Err(Failure::validation(vec![missing(
            json!(["body"]),
            &Value::Null,
        )]));
    }
    if !is_json(headers) {
        return Ok(Value::String(String::from_utf8_lossy(body).into_owned()));
    }
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|_| {
        Failure::new(
            FailureKind::InvalidRequest,
            "There was an error parsing the body",
        )
    })?;
    serde_json::from_str(text).map_err(|_| {
        // What only serde_json refuses is at fault from its beginning.
        let (message, place) = python::fault(text).unwrap_or(("Expecting value", 0));
        Failure::validation(vec![json!({
            "type": "json_invalid",
            "loc": ["body", place],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": message},
        })])
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    let kind = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Reads the fields of `/predict`.
pub(super) fn single(body: &Value, max_length: usize) -> Result<PredictionRequest, Failure> {
    let fields = object(body)?;
    let mut complaints = Vec::new();
    let sequence = sequence(body, fields, max_length, &mut complaints);
    let flags = flags(fields, &mut complaints);
    match sequence {
        Some(sequence) if complaints.is_empty() => Ok(PredictionRequest {
            sequence,
            include_embeddings: flags.embeddings,
            include_attention: flags.attention,
            priority: flags.priority,
            timeout_ms: flags.timeout_ms,
        }),
        _ => Err(Failure::validation(complaints)),
    }
}

/// Reads the fields of `/predict/batch`.
pub(super) fn batch(
    body: &Value,
    max_items: usize,
    max_length: usize,
) -> Result<BatchPredictionRequest, Failure> {
    let fields = object(body)?;
    let mut complaints = Vec::new();
    let sequences = sequences(body, fields, max_items, max_length, &mut complaints);
    let flags = flags(fields, &mut complaints);
    match sequences {
        Some(sequences) if complaints.is_empty() => Ok(BatchPredictionRequest {
            sequences,
            include_embeddings: flags.embeddings,
            include_attention: flags.attention,
            priority: flags.priority,
            timeout_ms: flags.timeout_ms,
        }),
        _ => Err(Failure::validation(complaints)),
    }
}

fn object(body: &Value) -> Result<&Map<String, Value>, Failure> {
    body.as_object().ok_or_else(|| {
        let message = "Input should be a valid dictionary or object to extract fields from";
        Failure::validation(vec![complaint(
            "model_attributes_type",
            json!(["body"]),
            message,
            body,
        )])
    })
}

fn sequence(
    body: &Value,
    fields: &Map<String, Value>,
    max_length: usize,
    complaints: &mut Vec<Value>,
) -> Option<String> {
    let place = json!(["body", "sequence"]);
    let Some(value) = fields.get("sequence") else {
        complaints.push(missing(place, body));
        return None;
    };
    let Some(text) = value.as_str() else {
        complaints.push(not_a_string(place, value));
        return None;
    };
    let sequence = residues::normalized(text);
    if sequence.is_empty() {
        complaints.push(too_short(place, value));
    } else if sequence.chars().count() > max_length {
        complaints.push(too_long(place, value, max_length));
    } else if let Some(unknown) = residues::unknown(&sequence) {
        let message = format!(
            "Invalid amino acid characters: {unknown}. Valid characters are: {}",
            residues::letters()
        );
        complaints.push(rule(place, &message, value));
    }
    Some(sequence)
}

fn sequences(
    body: &Value,
    fields: &Map<String, Value>,
    max_items: usize,
    max_length: usize,
    complaints: &mut Vec<Value>,
) -> Option<Vec<String>> {
    let place = json!(["body", "sequences"]);
    let Some(value) = fields.get("sequences") else {
        complaints.push(missing(place, body));
        return None;
    };
    let Some(items) = value.as_array() else {
        let message = "Input should be a valid list";
        complaints.push(complaint("list_type", place, message, value));
        return None;
    };
    if items.is_empty() {
        let message = "List should have at least 1 item after validation, not 0";
        let context = json!({"field_type": "List", "min_length": 1, "actual_length": 0});
        let found = complaint("too_short", place, message, value);
        complaints.push(with_context(found, context));
        return None;
    }
    if items.len() > max_items {
        let actual = items.len();
        let message =
            format!("List should have at most {max_items} items after validation, not {actual}");
        let context =
            json!({"field_type": "List", "max_length": max_items, "actual_length": actual});
        let found = complaint("too_long", place, &message, value);
        complaints.push(with_context(found, context));
        return None;
    }
    let before = complaints.len();
    for (index, item) in items.iter().enumerate() {
        if !item.is_string() {
            complaints.push(not_a_string(json!(["body", "sequences", index]), item));
        }
    }
    if complaints.len() > before {
        return None;
    }
    let mut sequences = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let sequence = residues::normalized(item.as_str().unwrap_or_default());
        let fault = if sequence.is_empty() {
            Some(format!("Empty sequence at index {index}"))
        } else if sequence.chars().count() > max_length {
            Some(format!(
                "Sequence {index} exceeds maximum length of {max_length}"
            ))
        } else {
            residues::unknown(&sequence)
                .map(|unknown| format!("Invalid characters in sequence {index}: {unknown}"))
        };
        if let Some(message) = fault {
            complaints.push(rule(place, &message, value));
            return None;
        }
        sequences.push(sequence);
    }
    Some(sequences)
}

fn flags(fields: &Map<String, Value>, complaints: &mut Vec<Value>) -> Flags {
    Flags {
        embeddings: boolean(fields, "include_embeddings", true, complaints),
        attention: boolean(fields, "include_attention", false, complaints),
        priority: number(fields, "priority", 0, 2, complaints)
            .and_then(|priority| u8::try_from(priority).ok()),
        timeout_ms: number(fields, "timeout_ms", 1, u64::from(u32::MAX), complaints),
    }
}

/// What stands for true or false.
fn boolean(
    fields: &Map<String, Value>,
    name: &str,
    default: bool,
    complaints: &mut Vec<Value>,
) -> bool {
    let Some(value) = fields.get(name) else {
        return default;
    };
    let found = match value {
        Value::Bool(value) => Ok(*value),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Ok(false),
            Some(1.0) => Ok(true),
            Some(other) if other.fract() != 0.0 => Err("bool_type"),
            _ => Err("bool_parsing"),
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "0" | "off" | "f" | "false" | "n" | "no" => Ok(false),
            "1" | "on" | "t" | "true" | "y" | "yes" => Ok(true),
            _ => Err("bool_parsing"),
        },
        _ => Err("bool_type"),
    };
    found.unwrap_or_else(|kind| {
        let message = match kind {
            "bool_type" => "Input should be a valid boolean",
            _ => "Input should be a valid boolean, unable to interpret input",
        };
        complaints.push(complaint(kind, json!(["body", name]), message, value));
        default
    })
}

/// A whole number of the additional fields.
fn number(
    fields: &Map<String, Value>,
    name: &str,
    least: u64,
    most: u64,
    complaints: &mut Vec<Value>,
) -> Option<u64> {
    let value = fields.get(name).filter(|value| !value.is_null())?;
    let number = match value {
        Value::Number(number) => whole(number),
        _ => None,
    };
    let number = number.filter(|number| (least..=most).contains(number));
    if number.is_none() {
        let message = format!("a whole number from {least} to {most} is needed");
        complaints.push(rule(json!(["body", name]), &message, value));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_read_generously() {
        let cases = [
            (json!(true), Ok(true)),
            (json!("No"), Ok(false)),
            (json!("ON"), Ok(true)),
            (json!(0), Ok(false)),
            (json!(1.0), Ok(true)),
            (json!(2), Err("bool_parsing")),
            (json!(0.5), Err("bool_type")),
            (json!("maybe"), Err("bool_parsing")),
            (json!(null), Err("bool_type")),
            (json!([]), Err("bool_type")),
        ];
        for (value, expected) in cases {
            let body = json!({"sequence": "MKT", "include_attention": value});
            let found = single(&body, 10)
                .map(|request| request.include_attention)
                .map_err(|failure| failure.detail.unwrap()[0]["type"].clone());
            assert_eq!(found, expected.map_err(|kind| json!(kind)), "{value}");
        }
    }

    #[test]
    fn priority_and_time_are_read() {
        let body = json!({"sequence": "MKT", "priority": 0.0, "timeout_ms": 250});
        let request = single(&body, 10).unwrap();
        let terms = terms(request.priority, request.timeout_ms);
        assert_eq!(terms.priority, 0);
        assert_eq!(terms.timeout, Some(Duration::from_millis(250)));
        for body in [
            json!({"sequence": "MKT", "priority": 3}),
            json!({"sequence": "MKT", "timeout_ms": 0}),
            json!({"sequence": "MKT", "timeout_ms": "soon"}),
        ] {
            assert!(single(&body, 10).is_err(), "{body}");
        }
    }

    #[test]
    fn white_space_does_not_count_as_length() {
        let body = json!({"sequence": "  mktay  "});
        assert_eq!(single(&body, 5).unwrap().sequence, "MKTAY");
        assert!(single(&body, 4).is_err());
        let body = json!({"sequences": [" mktay "]});
        assert_eq!(batch(&body, 1, 5).unwrap().sequences, ["MKTAY"]);
    }
}
