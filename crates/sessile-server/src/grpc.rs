//! The service over gRPC, on the same port: KServe's Open Inference Protocol, a service of our own, and
//! those for health and reflection. A call comes to the same queue, within the same limits, as one of the
//! `/v1` paths: its message becomes that path's request, and the answer a message.
//!
//! The Rust of the messages is made by `cargo run --manifest-path xtask/protos/Cargo.toml` and kept.

pub(crate) mod call;
mod counted;
mod endless;
mod inference;
#[allow(
    missing_docs,
    clippy::all,
    reason = "made of the descriptions in proto"
)]
#[rustfmt::skip]
mod made {
    pub(super) mod inference {
        include!("grpc/made/inference.rs");
    }
    pub(super) mod sessile {
        include!("grpc/made/sessile.v1.rs");
    }
}
mod own;
mod streams;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::middleware::{Next, from_fn_with_state};
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use crate::body;
use crate::serve::{Exchange, Pace};
use crate::service::Service;
use counted::Counted;
use endless::Endless;
use made::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use made::sessile::sessile_server::SessileServer;

/// What reflection gives out.
const DESCRIPTORS: &[u8] = include_bytes!("grpc/made/descriptors.bin");

/// Methods that ask a model, by their paths.
pub(crate) const METHODS: [&str; 11] = [
    "/inference.GRPCInferenceService/ModelInfer",
    "/inference.GRPCInferenceService/ModelMetadata",
    "/inference.GRPCInferenceService/ModelReady",
    "/sessile.v1.Sessile/Embed",
    "/sessile.v1.Sessile/EmbedStream",
    "/sessile.v1.Sessile/Score",
    "/sessile.v1.Sessile/ScoreStream",
    "/sessile.v1.Sessile/States",
    "/sessile.v1.Sessile/StatesStream",
    "/sessile.v1.Sessile/Summarize",
    "/sessile.v1.Sessile/SummarizeStream",
];

/// Methods that tell how the service is.
pub(crate) const PROBES: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerMetadata",
    "/inference.GRPCInferenceService/ServerReady",
];

/// Whether a path of gRPC asks for no key: how the service is, and what it understands.
pub(crate) fn is_open(path: &str) -> bool {
    PROBES.contains(&path) || path.starts_with("/grpc.")
}

/// Whether a path is one of gRPC.
pub(crate) fn is_grpc(path: &str) -> bool {
    ["/inference.", "/sessile.v1.", "/grpc."]
        .iter()
        .any(|package| path.starts_with(package))
}

/// The paths of gRPC, without what stands before all paths.
pub(crate) fn router(service: &Arc<Service>) -> Router<Arc<Service>> {
    let most = service.options.max_body_bytes;
    let own = SessileServer::new(own::Own::new(Arc::clone(service)))
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd)
        .max_decoding_message_size(most);
    let inference = GrpcInferenceServiceServer::new(inference::Inference::new(Arc::clone(service)))
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd)
        .max_decoding_message_size(most);
    let health = HealthServer::new(HealthService::from_health_reporter(
        service.grpc_health.clone(),
    ));
    let mut router = Router::new()
        .route_service("/sessile.v1.Sessile/{*method}", own)
        .route_service("/inference.GRPCInferenceService/{*method}", inference)
        .route_service("/grpc.health.v1.Health/{*method}", health);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // The descriptors are ours, so both can be built; a service without them would serve all the same.
    if let (Ok(first), Ok(second)) = (reflection().build_v1alpha(), reflection().build_v1()) {
        router = router
            .route_service("/grpc.reflection.v1alpha.ServerReflection/{*method}", first)
            .route_service("/grpc.reflection.v1.ServerReflection/{*method}", second);
    }
    router.route_layer(from_fn_with_state(Arc::clone(service), count))
}

/// Counts a call as in flight and its messages as held, until its answer is sent.
async fn count(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    if is_open(request.uri().path()) {
        // A stream of these has no end of its own, and nobody waits for it.
        let response = next.run(request).await;
        let stopped = Box::pin(service.stopped());
        return response.map(|inner| Body::new(Endless { inner, stopped }));
    }
    let in_flight = service.begin();
    let held = service.budget.hold();
    let mut request =
        request.map(|body| Body::new(Counted::new(body, Arc::clone(&service), held.clone())));
    request.extensions_mut().insert(held.clone());
    let (exchange, pace) = (
        request.extensions().get::<Exchange>().cloned(),
        request.extensions().get::<Pace>().copied(),
    );
    let is_stream = request.uri().path().ends_with("Stream");
    let response = next.run(request).await;
    let limit = exchange
        .zip(pace)
        .filter(|_| !is_stream)
        .map(|(exchange, pace)| exchange.cut_after(pace.time_for(held.bytes() as u64)));
    body::keep(response, (in_flight, held, limit))
}
