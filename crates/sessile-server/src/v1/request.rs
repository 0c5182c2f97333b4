//! Bodies of `/v1` requests: the fields of a call, and around them those that all calls have.

use std::time::Duration;

use axum::http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::content_coding;
use crate::failure::{Failure, FailureKind};
use crate::json::BYTE_ORDER_MARK;
use crate::service::shortened;
use crate::spelling::nearest;
use crate::work::Terms;

/// What all requests have.
pub(crate) trait Request {
    /// The model that is asked; none: the first that gives what is asked for.
    fn model(&self) -> Option<&str>;

    /// Priority and time.
    ///
    /// # Errors
    ///
    /// When one of them is out of bounds.
    fn terms(&self) -> Result<Terms, Failure>;
}

/// Declares the body of a request by the fields of its own. Serde cannot both flatten a struct of the
/// shared fields and refuse fields that are in neither, so they are written into each body here.
macro_rules! request {
    ($(#[$about:meta])* $name:ident { $($fields:tt)* }) => {
        $(#[$about])*
        #[derive(Default, serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            /// The model; without it the first of `/v1/models` that gives what is asked for.
            pub(crate) model: Option<String>,
            $($fields)*
            /// 0 is served first, 2 last.
            #[serde(default, deserialize_with = "crate::json::whole::optional")]
            #[schema(minimum = 0, maximum = 2, default = 1)]
            pub(crate) priority: Option<u8>,
            /// Milliseconds after which the answer is not wanted any more.
            #[serde(default, deserialize_with = "crate::json::whole::optional")]
            #[schema(minimum = 1, maximum = 4294967295_u32)]
            pub(crate) timeout_ms: Option<u64>,
        }

        impl $crate::v1::request::Request for $name {
            fn model(&self) -> Option<&str> {
                self.model.as_deref()
            }

            fn terms(&self) -> Result<$crate::work::Terms, $crate::failure::Failure> {
                $crate::v1::request::terms(self.priority, self.timeout_ms)
            }
        }
    };
}

pub(super) use request;

/// Priority and time of a request.
pub(super) fn terms(priority: Option<u8>, timeout_ms: Option<u64>) -> Result<Terms, Failure> {
    let default = Terms::default();
    let priority = priority.unwrap_or(default.priority);
    if priority > 2 {
        let message = "`priority` is 0, 1 or 2";
        return Err(Failure::invalid("priority", message));
    }
    if timeout_ms.is_some_and(|timeout| timeout == 0 || timeout > u64::from(u32::MAX)) {
        let message = "`timeout_ms` is from 1 to 4294967295";
        return Err(Failure::invalid("timeout_ms", message));
    }
    Ok(Terms {
        priority,
        timeout: timeout_ms.map(Duration::from_millis),
    })
}

/// Reads a body as JSON. The type that the client gives it does not matter, nor does a byte order
/// mark before it; a field that the request does not have is refused.
pub(super) fn parse<T: DeserializeOwned>(_headers: &HeaderMap, body: &[u8]) -> Result<T, Failure> {
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
