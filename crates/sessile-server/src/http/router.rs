//! The service as a router, and what stands before every path.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};

use super::redirect::not_found;
use super::routes::ROUTES;
use super::{bytes_response, cors, trace};
use crate::body;
use crate::failure::{Failure, FailureKind, Style};
use crate::grpc;
use crate::serve::Exchange;
use crate::service::Service;

/// The service as a router.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let of = |needs_key: bool| {
        let routes = ROUTES.iter().filter(|route| route.needs_key == needs_key);
        routes.fold(Router::new(), |router, route| {
            router.route(route.path, (route.handler)())
        })
    };
    of(true)
        .merge(grpc::router(&service))
        .route_layer(from_fn_with_state(Arc::clone(&service), keys))
        .merge(of(false))
        .fallback(not_found)
        // Around each route, so that the route's pattern is known; the fallback has none.
        .layer(from_fn_with_state(Arc::clone(&service), room))
        .layer(from_fn_with_state(Arc::clone(&service), cors::layer))
        .layer(from_fn_with_state(Arc::clone(&service), trace::layer))
        .with_state(service)
}

/// Lets pass who has a key. Of a client with limits, no more requests at a time than it may have.
async fn keys(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    if grpc::is_open(request.uri().path()) {
        return next.run(request).await;
    }
    let passed = service.keys.check(request.headers()).and_then(|client| {
        let Some(client) = client else {
            return Ok(None);
        };
        let running = client.begin();
        service
            .telemetry
            .asked(&client.limits.name, running.is_err());
        let running = running?;
        request.extensions_mut().insert(client);
        Ok(Some(running))
    });
    match passed {
        Ok(None) => next.run(request).await,
        Ok(Some(running)) => body::keep(next.run(request).await, running),
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
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Response<Body> {
    let text = service.telemetry.render(&service);
    bytes_response(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        text,
    )
}
