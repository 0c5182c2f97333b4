//! What all answers share: request ids, logs, counts, keys, origins, and the answers to paths and
//! methods that are not there.

mod cors;
mod redirect;
mod router;
pub(crate) mod routes;
mod trace;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::failure::{Failure, FailureKind, Style};

pub(crate) use router::router;

/// A JSON answer.
pub(crate) fn json_response(value: &impl Serialize) -> Response<Body> {
    json_response_with(StatusCode::OK, value)
}

/// A JSON answer with its own status.
pub(crate) fn json_response_with(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes_response(status, "application/json", bytes),
        Err(error) => {
            let message = format!("the answer can not be written: {error}");
            Failure::new(FailureKind::Internal, message).response(Style::Detail)
        }
    }
}

/// An answer of this type.
pub(crate) fn bytes_response(
    status: StatusCode,
    kind: &'static str,
    bytes: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
