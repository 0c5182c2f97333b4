//! Which pages of other origins may call: none unless some are named. Those that are named may send
//! credentials, all methods and all headers, as in ESM2_MultiGPU_Inference; where `*` lets every page
//! call, none may send credentials.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;

use super::bytes_response;
use crate::service::Service;

const METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

/// How long a browser may remember the answer to a preflight, in seconds.
const MAX_AGE: &str = "600";

/// Answers preflights and adds the headers to the answers of others.
pub(super) async fn layer(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let origins = &service.options.cors_origins;
    let all = origins.iter().any(|known| known == "*");
    let is_allowed = all
        || origins
            .iter()
            .any(|known| known.as_bytes() == origin.as_bytes());
    let is_preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if is_preflight {
        let mut response = preflight(request.headers(), &origin, is_allowed);
        if is_allowed && !all {
            allow_credentials(response.headers_mut());
        }
        return response;
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if all {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
    } else if is_allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        allow_credentials(headers);
    }
    response
}

fn preflight(asked: &HeaderMap, origin: &HeaderValue, is_allowed: bool) -> Response<Body> {
    let (status, text) = if is_allowed {
        (StatusCode::OK, "OK")
    } else {
        (StatusCode::BAD_REQUEST, "Disallowed CORS origin")
    };
    let mut response = bytes_response(status, "text/plain; charset=utf-8", text);
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(METHODS),
    );
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static(MAX_AGE),
    );
    if is_allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

fn allow_credentials(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
}
