//! `GET /`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::json_response;
use crate::service::Service;

/// What the service is.
#[derive(Serialize, ToSchema)]
pub(crate) struct RootResponse {
    /// `ESM-2 Multi-GPU Inference`, whose calls it answers.
    service: &'static str,
    /// Version of those calls.
    version: &'static str,
    /// The page that describes them.
    docs: &'static str,
    /// Where it tells how it is.
    health: &'static str,
    /// Whether requests of several clients are computed together.
    batch_queue_enabled: bool,
}

/// `GET /`.
pub(crate) async fn root(State(service): State<Arc<Service>>) -> Response<Body> {
    json_response(&RootResponse {
        service: "ESM-2 Multi-GPU Inference",
        version: "1.0.0",
        docs: "/docs",
        health: "/health",
        batch_queue_enabled: service.options.batching,
    })
}
