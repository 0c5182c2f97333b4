//! Complaints about fields, in the words of the validation library that ESM2_MultiGPU_Inference
//! uses (pydantic 2.5).

use serde_json::{Value, json};

/// Where the words are explained.
const MANUAL: &str = "https://errors.pydantic.dev/2.5/v/";

/// A complaint about the value `input` at `place`.
pub(super) fn complaint(kind: &str, place: Value, message: &str, input: &Value) -> Value {
    json!({
        "type": kind,
        "loc": place,
        "msg": message,
        "input": input,
        "url": format!("{MANUAL}{kind}"),
    })
}

/// The same with what the message was made of.
pub(super) fn with_context(mut complaint: Value, context: Value) -> Value {
    complaint["ctx"] = context;
    complaint
}

/// A complaint of the field's own rule.
pub(super) fn rule(place: Value, message: &str, input: &Value) -> Value {
    let message = format!("Value error, {message}");
    with_context(
        complaint("value_error", place, &message, input),
        json!({"error": {}}),
    )
}

pub(super) fn missing(place: Value, input: &Value) -> Value {
    complaint("missing", place, "Field required", input)
}

pub(super) fn not_a_string(place: Value, input: &Value) -> Value {
    complaint(
        "string_type",
        place,
        "Input should be a valid string",
        input,
    )
}

pub(super) fn too_short(place: Value, input: &Value) -> Value {
    let message = "String should have at least 1 character";
    with_context(
        complaint("string_too_short", place, message, input),
        json!({"min_length": 1}),
    )
}

pub(super) fn too_long(place: Value, input: &Value, most: usize) -> Value {
    let message = format!("String should have at most {most} characters");
    with_context(
        complaint("string_too_long", place, &message, input),
        json!({"max_length": most}),
    )
}
