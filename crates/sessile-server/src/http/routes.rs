//! Every path of the service, and what stands before it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter};

use super::redirect::{method_not_allowed, not_found};
use super::{bytes_response, cors, trace};
use crate::exchange::answer;
use crate::failure::{Failure, FailureKind, Style};
use crate::predict::{Predict, PredictBatch};
use crate::serve::Exchange;
use crate::service::Service;
use crate::v1::{
    Contacts, Embeddings, Generate, Logits, Post, PostScore, Summarize, ThreeDi, Writing,
    get_model, list_models,
};
use crate::{health, openapi, root};

/// Paths that compute, and so need a key where there are keys.
const COMPUTING: [&str; 9] = [
    "/predict",
    "/predict/batch",
    "/v1/embeddings",
    "/v1/score",
    "/v1/logits",
    "/v1/contacts",
    "/v1/three-di",
    "/v1/summarize",
    "/v1/generate",
];

/// Every other path, but for those below `/v1/models/` and `/docs/`.
const PLAIN: [&str; 11] = [
    "/",
    "/health",
    "/health/live",
    "/health/ready",
    "/health/startup",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/v1/models",
];

/// Paths with GET of ESM2_MultiGPU_Inference, which names no other method there.
const ORIGINAL: [&str; 2] = ["/", "/health"];

/// Whether there is something at this path.
pub(super) fn is_route(path: &str) -> bool {
    COMPUTING.contains(&path) || PLAIN.contains(&path)
}

/// The service as a router.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let computing = Router::new()
        .route("/predict", post(answer::<Predict>))
        .route("/predict/batch", post(answer::<PredictBatch>))
        .route("/v1/embeddings", post(answer::<Post<Embeddings>>))
        .route("/v1/score", post(answer::<PostScore>))
        .route("/v1/logits", post(answer::<Post<Logits>>))
        .route("/v1/contacts", post(answer::<Post<Contacts>>))
        .route("/v1/three-di", post(answer::<Post<ThreeDi>>))
        .route("/v1/summarize", post(answer::<Writing<Summarize>>))
        .route("/v1/generate", post(answer::<Writing<Generate>>))
        .route("/v1/models", get(list_models))
        .route("/v1/models/{*name}", get(get_model))
        .route_layer(from_fn_with_state(Arc::clone(&service), keys));
    Router::new()
        .route("/", get(root::root).on(MethodFilter::HEAD, refuse_head))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/startup", get(health::startup))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
        .route("/docs/{*file}", get(openapi::file))
        .merge(computing)
        .fallback(not_found)
        // Around each route, so that the route's pattern is known; the fallback has none.
        .layer(from_fn_with_state(Arc::clone(&service), room))
        .layer(from_fn_with_state(Arc::clone(&service), cors::layer))
        .layer(from_fn_with_state(Arc::clone(&service), trace::layer))
        .with_state(service)
}

/// A path with GET, and so with HEAD: the same answer without its body. ESM2_MultiGPU_Inference has
/// no HEAD; of its paths `/` keeps to that.
fn get<H, T>(handler: H) -> MethodRouter<Arc<Service>>
where
    H: Handler<T, Arc<Service>>,
    T: 'static,
{
    MethodRouter::new()
        .on(MethodFilter::GET, handler)
        .fallback(|request: Request| async move {
            let path = request.uri().path();
            method_not_allowed(
                path,
                if ORIGINAL.contains(&path) {
                    "GET"
                } else {
                    "GET, HEAD"
                },
            )
        })
}

async fn refuse_head(request: Request) -> Response<Body> {
    method_not_allowed(request.uri().path(), "GET")
}

/// A path with POST and nothing else.
fn post<H, T>(handler: H) -> MethodRouter<Arc<Service>>
where
    H: Handler<T, Arc<Service>>,
    T: 'static,
{
    MethodRouter::new()
        .on(MethodFilter::POST, handler)
        .fallback(
            |request: Request| async move { method_not_allowed(request.uri().path(), "POST") },
        )
}

/// Lets pass who has a key.
async fn keys(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response<Body> {
    match service.keys.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.response(Style::of(request.uri().path())),
    }
}

/// Keeps the connections beyond the most for probes.
async fn room(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response<Body> {
    let path = request.uri().path();
    let exchange = request.extensions().get::<Exchange>();
    let is_refused = match exchange {
        Some(exchange) if !trace::is_probe(path) => exchange.is_for_probes().await,
        _ => false,
    };
    if !is_refused {
        return next.run(request).await;
    }
    let message = format!(
        "all {} connections are at work; try again later",
        service.options.max_connections
    );
    let failure = Failure::new(FailureKind::Overloaded, message);
    let mut response = failure
        .retry_after(service.backlog_seconds())
        .response(Style::of(path));
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// `GET /metrics`.
async fn metrics(State(service): State<Arc<Service>>) -> Response<Body> {
    let text = service.telemetry.render(&service);
    bytes_response(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        text,
    )
}
