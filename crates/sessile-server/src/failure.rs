//! What can go wrong with a request, and how each part of the API tells it.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use sessile_device::{RequestError, RequestErrorKind};
use utoipa::ToSchema;

use crate::content_coding;
use crate::grpc;

/// What went wrong; decides the status, the type in the body and the label in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FailureKind {
    /// The request makes no sense as it is.
    InvalidRequest,
    /// Fields of the request are wrong, as ESM2_MultiGPU_Inference lists them.
    Validation,
    /// A key is needed.
    Unauthorized,
    /// There is nothing at this path.
    NotFound,
    /// There is no such model.
    ModelNotFound,
    /// The path has other methods.
    MethodNotAllowed,
    /// The answer cannot have the form that is asked for.
    NotAcceptable,
    /// The client took too long to send its request.
    SlowClient,
    /// The body, its number of items or the answer would be too large.
    TooLarge,
    /// The body is packed in a way that is not known.
    UnsupportedEncoding,
    /// More work waits than is allowed.
    Overloaded,
    /// A client has used up what it may ask for.
    QuotaExceeded,
    /// A fault on our side.
    Internal,
    /// No device is left.
    NoDevice,
    /// The models are not loaded yet.
    Starting,
    /// The service is stopping.
    Stopping,
    /// The time that the request was given is over.
    Timeout,
}

impl FailureKind {
    /// Every kind.
    pub(crate) const ALL: [FailureKind; 17] = [
        FailureKind::InvalidRequest,
        FailureKind::Validation,
        FailureKind::Unauthorized,
        FailureKind::NotFound,
        FailureKind::ModelNotFound,
        FailureKind::MethodNotAllowed,
        FailureKind::NotAcceptable,
        FailureKind::SlowClient,
        FailureKind::TooLarge,
        FailureKind::UnsupportedEncoding,
        FailureKind::Overloaded,
        FailureKind::QuotaExceeded,
        FailureKind::Internal,
        FailureKind::NoDevice,
        FailureKind::Starting,
        FailureKind::Stopping,
        FailureKind::Timeout,
    ];

    /// The kind of this name.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let found = FailureKind::ALL.into_iter();
        found
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }

    /// The status.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            FailureKind::InvalidRequest => StatusCode::BAD_REQUEST,
            FailureKind::Validation => StatusCode::UNPROCESSABLE_ENTITY,
            FailureKind::Unauthorized => StatusCode::UNAUTHORIZED,
            FailureKind::NotFound | FailureKind::ModelNotFound => StatusCode::NOT_FOUND,
            FailureKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            FailureKind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            FailureKind::SlowClient => StatusCode::REQUEST_TIMEOUT,
            FailureKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            FailureKind::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            FailureKind::Overloaded | FailureKind::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
            FailureKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            FailureKind::NoDevice | FailureKind::Starting | FailureKind::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            FailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The `error.type`, and the label in the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FailureKind::InvalidRequest => "invalid_request_error",
            FailureKind::Validation => "validation_error",
            FailureKind::Unauthorized => "authentication_error",
            FailureKind::NotFound => "not_found_error",
            FailureKind::ModelNotFound => "model_not_found",
            FailureKind::MethodNotAllowed => "method_not_allowed",
            FailureKind::NotAcceptable => "not_acceptable_error",
            FailureKind::SlowClient => "request_timeout",
            FailureKind::TooLarge => "too_large_error",
            FailureKind::UnsupportedEncoding => "unsupported_encoding_error",
            FailureKind::Overloaded => "overloaded_error",
            FailureKind::QuotaExceeded => "rate_limit_error",
            FailureKind::Internal => "internal_error",
            FailureKind::NoDevice => "no_device_error",
            FailureKind::Starting => "starting_error",
            FailureKind::Stopping => "stopping_error",
            FailureKind::Timeout => "timeout_error",
        }
    }
}

/// Which kind of errors a path speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `{"detail": …}`, as ESM2_MultiGPU_Inference.
    Detail,
    /// `{"error": {"type": …, "message": …}}`, as OpenAI.
    Error,
    /// A status in the headers, as gRPC.
    Grpc,
}

impl Style {
    /// The style of a path.
    pub(crate) fn of(path: &str) -> Self {
        if grpc::is_grpc(path) {
            Style::Grpc
        } else if path == "/v1" || path.starts_with("/v1/") {
            Style::Error
        } else {
            Style::Detail
        }
    }
}

/// An error of the paths of ESM2_MultiGPU_Inference.
#[derive(Serialize, ToSchema)]
pub(crate) struct DetailError {
    /// What is wrong: a sentence, or a list of complaints.
    detail: Value,
}

/// An error of the `/v1` paths.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorResponse {
    /// What is wrong.
    error: ErrorBody,
}

/// What is wrong.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// Its kind.
    r#type: &'static str,
    /// For people.
    message: String,
    /// The field at fault.
    param: Option<&'static str>,
    /// The item at fault.
    index: Option<usize>,
}

/// Why a request, or one of its items, has no answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
    /// The field of the request that is at fault.
    pub(crate) param: Option<&'static str>,
    /// The item that is at fault.
    pub(crate) index: Option<usize>,
    /// Seconds after which to try again.
    pub(crate) retry_after: Option<u64>,
    /// The list of complaints for `detail`.
    pub(crate) detail: Option<Value>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Failure {
            kind,
            message: message.into(),
            param: None,
            index: None,
            retry_after: None,
            detail: None,
        }
    }

    pub(crate) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Failure::new(FailureKind::InvalidRequest, message).about(param)
    }

    /// A list of complaints, as ESM2_MultiGPU_Inference gives it.
    pub(crate) fn validation(complaints: Vec<Value>) -> Self {
        let mut failure = Failure::new(FailureKind::Validation, "the request is not valid");
        failure.detail = Some(Value::Array(complaints));
        failure
    }

    pub(crate) fn about(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    pub(crate) fn at(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// What is wrong, as the `/v1` calls tell it.
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody {
            r#type: self.kind.name(),
            message: self.message.clone(),
            param: self.param,
            index: self.index,
        }
    }

    /// The whole response.
    pub(crate) fn response(&self, style: Style) -> Response<Body> {
        let body = match style {
            Style::Grpc => {
                let mut response = self.status().into_http();
                response.extensions_mut().insert(self.kind);
                return response;
            }
            Style::Error => serde_json::to_string(&ErrorResponse { error: self.body() }),
            Style::Detail => serde_json::to_string(&DetailError {
                detail: match &self.detail {
                    Some(complaints) => complaints.clone(),
                    None => Value::String(self.message.clone()),
                },
            }),
        }
        .unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == FailureKind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.kind == FailureKind::UnsupportedEncoding {
            let supported = HeaderValue::from_static(content_coding::SUPPORTED);
            headers.insert(header::ACCEPT_ENCODING, supported);
        }
        if matches!(self.kind, FailureKind::Stopping | FailureKind::SlowClient) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self.kind);
        response
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let kind = match error.kind() {
            RequestErrorKind::TooLong
            | RequestErrorKind::InvalidInput
            | RequestErrorKind::UnsupportedOutput => FailureKind::InvalidRequest,
            RequestErrorKind::Overloaded => FailureKind::Overloaded,
            RequestErrorKind::Deadline | RequestErrorKind::Cancelled => FailureKind::Timeout,
            RequestErrorKind::NoDevice => FailureKind::NoDevice,
            _ => FailureKind::Internal,
        };
        Failure::new(kind, error.to_string())
    }
}
