//! The `/v1` paths, in the manner of OpenAI's: several items a request, split and kept in order by
//! the service; an item that can not be answered says so in its place and the others are answered.

mod contacts;
mod embeddings;
mod input;
mod items;
mod logits;
mod models;
mod numbers;
mod passes;
mod score;
mod three_di;
mod writing;

pub(crate) use contacts::{Contacts, ContactsItem, ContactsRequest, ContactsResponse};
pub(crate) use embeddings::{
    Embeddings, EmbeddingsItem, EmbeddingsRequest, EmbeddingsResponse, Pooling,
};
pub(crate) use input::{
    Input, PlainInput, PlainSequence, Protein, ProteinInput, Sequence, patterns,
};
pub(crate) use items::{ItemError, Usage};
pub(crate) use logits::{Logits, LogitsItem, LogitsRequest, LogitsResponse};
pub(crate) use models::{Model, ModelList, get_model, list_models};
pub(crate) use numbers::{EncodingFormat, Numbers};
pub(crate) use passes::Post;
pub(crate) use score::{Method, Mutants, PostScore, ScoreItem, ScoreRequest, ScoreResponse};
pub(crate) use three_di::{ThreeDi, ThreeDiItem, ThreeDiRequest, ThreeDiResponse};

pub(crate) use writing::{
    EarlyStoppingChoice, Generate, GenerateResponse, Never, Summarize, SummarizeResponse,
    SummaryItem, TextItem, Texts, Writing, WritingRequest, WritingUsage,
};

use axum::http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::content_coding;
use crate::failure::{Failure, FailureKind};
use crate::json::BYTE_ORDER_MARK;
use crate::service::shortened;
use crate::spelling::nearest;

/// Reads a body as JSON. The type that the client gives it does not matter, nor does a byte order
/// mark before it; a field that the request does not have is refused.
fn parse<T: DeserializeOwned>(_headers: &HeaderMap, body: &[u8]) -> Result<T, Failure> {
    let invalid = |message| Failure::new(FailureKind::InvalidRequest, message);
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if let Some(name) = content_coding::recognised(body) {
        let message = format!("the body is compressed; say so: `Content-Encoding: {name}`");
        return Err(invalid(message));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        invalid(format!(
            "the body is not UTF-8: byte {} is wrong",
            error.valid_up_to()
        ))
    })?;
    // Without this, a list would be taken for the fields in their order.
    let begin = text.trim_start().bytes().next();
    if begin.is_some_and(|begin| begin != b'{') {
        return Err(invalid("the body should be an object".to_owned()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    T::deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| match unknown_field(&error) {
            Some(message) => invalid(message),
            None => invalid(format!(
                "the body is not valid: {}",
                shortened_message(&error)
            )),
        })
}

/// What to say of a field that the request does not have, if that is what serde complains of.
fn unknown_field(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let (name, expected) = text
        .strip_prefix("unknown field `")?
        .rsplit_once("`, expected ")?;
    // Names stand between backticks: every other piece.
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let name = shortened(name);
    Some(match nearest(&name, known.iter().copied()) {
        Some(meant) => format!("there is no field `{name}` here; did you mean `{meant}`?"),
        None => format!(
            "there is no field `{name}` here; there are {}",
            known.join(", ")
        ),
    })
}

/// What serde says, without long quotes from the body.
fn shortened_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.len() <= 256 {
        return text;
    }
    format!(
        "{} at line {} column {}",
        shortened(&text),
        error.line(),
        error.column()
    )
}
