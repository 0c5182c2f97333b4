//! Paths and methods that are not there.

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};

use super::routes::is_route;
use crate::failure::{Failure, FailureKind, Style};
use crate::service::Service;

/// A path that is not there: `/predict/` leads to `/predict`, others to nothing.
pub(super) async fn not_found(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Response<Body> {
    let path = request.uri().path();
    let other = match path.strip_suffix('/') {
        Some(without) => without.to_owned(),
        None => format!("{path}/"),
    };
    if is_route(&other)
        && let Some(location) = location(&service, &request, &other)
    {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response.headers_mut().insert(header::LOCATION, location);
        return response;
    }
    Failure::new(FailureKind::NotFound, "Not Found").response(Style::of(path))
}

/// The address of `path` on the host that the client asked.
fn location(service: &Service, request: &Request, path: &str) -> Option<HeaderValue> {
    let query = request
        .uri()
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let host = match request.headers().get(header::HOST) {
        Some(host) => host.to_str().ok()?,
        // Of HTTP/2.
        None => request.uri().authority()?.as_str(),
    };
    let scheme = match service.options.tls {
        Some(_) => "https",
        None => "http",
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if !host.bytes().all(is_plain) {
        return HeaderValue::from_str(&format!("{path}{query}")).ok();
    }
    HeaderValue::from_str(&format!("{scheme}://{host}{path}{query}")).ok()
}

/// Refuses a method that the path does not have, and tells those that it has.
pub(super) fn not_allowed(
    allowed: &'static str,
) -> impl Fn(Request) -> Ready<Response<Body>> + Clone + Send + Sync + 'static {
    move |request| {
        let failure = Failure::new(FailureKind::MethodNotAllowed, "Method Not Allowed");
        let mut response = failure.response(Style::of(request.uri().path()));
        let allowed = HeaderValue::from_static(allowed);
        response.headers_mut().insert(header::ALLOW, allowed);
        ready(response)
    }
}
