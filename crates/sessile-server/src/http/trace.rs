//! A number, a line in the log and a count for every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Response};
use axum::middleware::Next;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::failure::FailureKind;
use crate::grpc;
use crate::otlp::{TRACEPARENT, Trace};
use crate::service::Service;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a client.
const LONGEST_ID: usize = 64;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Counts and logs what passes.
pub(super) async fn layer(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let begun = Instant::now();
    let id = request_id(&service, &request);
    let route = route(&request);
    let method = method_name(request.method());
    // Of the highest level, so that whatever is logged has the id in it.
    let span = tracing::error_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        trace = Empty
    );
    let exporter = service.exporter.as_ref().filter(|_| !is_probe(&route));
    let trace = exporter.and_then(|exporter| Trace::begin(exporter, request.headers()));
    let answer = next.run(request).instrument(span.clone());
    let mut response = match &trace {
        Some(trace) => {
            span.record("trace", trace.id());
            Arc::clone(trace).scope(answer).await
        }
        None => answer.await,
    };
    let took = begun.elapsed();
    let failure = failure(&response);
    let status = response.status().as_u16();
    service
        .telemetry
        .answered(&route, method, status, took, failure);
    response.headers_mut().insert(REQUEST_ID, id);
    let milliseconds = took.as_micros() as f64 / 1e3;
    let error = failure.map(FailureKind::name);
    if let Some(trace) = trace {
        response.headers_mut().insert(TRACEPARENT, trace.header());
        trace.end(method, &route, status, error);
    }
    span.in_scope(|| {
        if status >= 500 {
            tracing::warn!(method, route, status, milliseconds, error, "answered");
        } else if is_probe(&route) {
            tracing::debug!(method, route, status, milliseconds, error, "answered");
        } else {
            tracing::info!(method, route, status, milliseconds, error, "answered");
        }
    });
    response
}

/// The pattern of the path, or the method of gRPC; never what a client made up.
fn route(request: &Request) -> String {
    let path = request.uri().path();
    if let Some(method) = grpc::METHODS
        .into_iter()
        .chain(grpc::PROBES)
        .find(|known| *known == path)
    {
        return method.to_owned();
    }
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned())
}

/// What went wrong. Of gRPC a header tells.
fn failure(response: &Response<Body>) -> Option<FailureKind> {
    let kind = response.extensions().get::<FailureKind>().copied();
    let header = || response.headers().get(grpc::call::ERROR_TYPE);
    kind.or_else(|| FailureKind::named(header()?.as_bytes()))
}

/// Paths that are asked all the time.
pub(super) fn is_probe(route: &str) -> bool {
    grpc::PROBES.contains(&route)
        || route.starts_with("/health")
        || matches!(route, "/livez" | "/readyz" | "/metrics")
}

/// The client's own id if it is a plain one, or a new one.
fn request_id(service: &Service, request: &Request) -> HeaderValue {
    let is_plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=LONGEST_ID).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    if let Some(id) = request.headers().get(REQUEST_ID).filter(is_plain) {
        return id.clone();
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let micros = service.born.elapsed().as_micros();
    HeaderValue::from_str(&format!("{micros:x}-{number:x}"))
        .unwrap_or_else(|_| HeaderValue::from(number))
}

/// The method, without what a client may have made up.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
