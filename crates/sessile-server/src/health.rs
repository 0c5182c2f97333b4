//! Health that is true: what the service says of itself follows from forward passes that lanes
//! really made.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{json_response, json_response_with};
use crate::service::Service;

/// `GET /health`, as ESM2_MultiGPU_Inference answers it.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthResponse {
    /// `healthy`, `degraded` (a lane was taken out, the others work), `initializing`, `stopping`
    /// or `unhealthy`.
    status: &'static str,
    /// GPUs in use.
    gpu_count: usize,
    /// Their numbers.
    gpu_ids: Vec<u32>,
    /// Whether the model is loaded.
    model_loaded: bool,
    /// The model.
    model_name: String,
    /// The same for people.
    message: String,
}

/// `GET /health/ready`, `/health/live` and `/health/startup`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProbeResponse {
    /// `ok`, or `unavailable` with status 503.
    status: &'static str,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The lanes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lanes: Vec<LaneHealth>,
}

/// How a lane is.
#[derive(Serialize, ToSchema)]
pub(crate) struct LaneHealth {
    /// Its device.
    device: String,
    /// Its number there.
    lane: usize,
    /// `ok`, `silent` (no answer lately) or `out`.
    state: &'static str,
    /// The same as of a circuit breaker: `closed`, `half_open` (no more work before a trial pass goes
    /// well) or `open`.
    circuit: &'static str,
    /// Seconds since a forward pass of it went well.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_since_answer: Option<f64>,
}

/// How the lanes are, all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// Not loaded, or one has not answered its first pass.
    Starting,
    /// Every one answered lately.
    Healthy,
    /// Some were taken out; every other answered lately.
    Degraded,
    /// One that is not out has not answered lately.
    Silent,
    /// All were taken out.
    Gone,
}

pub(crate) fn lanes(service: &Service) -> Lanes {
    let Some(engine) = service.loaded() else {
        return Lanes::Starting;
    };
    let mut out = 0;
    let mut silent = 0;
    let mut new = 0;
    let mut all = 0;
    for (_, _, lane) in engine.lanes() {
        all += 1;
        match lane.since_success() {
            _ if lane.is_out() => out += 1,
            None => new += 1,
            Some(since) if since > service.options.probe_timeout => silent += 1,
            Some(_) => {}
        }
    }
    if out == all {
        Lanes::Gone
    } else if silent > 0 || (new > 0 && service.is_started.load(Ordering::Acquire)) {
        Lanes::Silent
    } else if new > 0 {
        Lanes::Starting
    } else if out > 0 {
        Lanes::Degraded
    } else {
        Lanes::Healthy
    }
}

/// How many lanes are in each state of a circuit breaker: `closed` where they compute, `half_open` while
/// they are asked for a trial pass, `open` where they were taken out.
pub(crate) fn circuit(service: &Service) -> [(&'static str, usize); 3] {
    let mut counts = [("closed", 0), ("half_open", 0), ("open", 0)];
    for lane in lane_list(service) {
        if let Some((_, count)) = counts.iter_mut().find(|(state, _)| *state == lane.circuit) {
            *count += 1;
        }
    }
    counts
}

/// `GET /health`.
pub(crate) async fn health(State(service): State<Arc<Service>>) -> Response<Body> {
    let engine = service.loaded();
    let gpus = engine.map(|engine| engine.gpus()).unwrap_or_default();
    let lanes = lanes(&service);
    let status = match lanes {
        _ if service.is_stopping() => "stopping",
        Lanes::Starting => "initializing",
        Lanes::Healthy => "healthy",
        Lanes::Degraded => "degraded",
        Lanes::Silent | Lanes::Gone => "unhealthy",
    };
    let code = match status {
        "healthy" | "degraded" => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let options = &service.options;
    let batching = if options.batching {
        format!(
            " | Batch queue: {}ms wait, max {}",
            options.max_wait.as_millis(),
            options.queue_max_size
        )
    } else {
        String::new()
    };
    let message = match status {
        "healthy" => format!("Service operational with {} GPU(s){batching}", gpus.len()),
        "degraded" => format!(
            "Service operational with {} GPU(s){batching} | {} of {} lanes were taken out",
            gpus.len(),
            engine.map_or(0, |engine| {
                engine.lanes().filter(|(_, _, lane)| lane.is_out()).count()
            }),
            engine.map_or(0, |engine| engine.lanes().count()),
        ),
        "initializing" => "The model is being loaded".to_owned(),
        "stopping" => "The service is stopping".to_owned(),
        _ => match lanes {
            Lanes::Gone => "No lane is left".to_owned(),
            _ => "A lane has not answered lately".to_owned(),
        },
    };
    let response = HealthResponse {
        status,
        gpu_count: gpus.len(),
        gpu_ids: gpus,
        model_loaded: engine.is_some(),
        model_name: service.model_name.clone(),
        message,
    };
    json_response_with(code, &response)
}

/// `GET /health/live`: the process runs and its event loop turns.
pub(crate) async fn live() -> Response<Body> {
    json_response(&ProbeResponse {
        status: "ok",
        reason: None,
        lanes: Vec::new(),
    })
}

/// `GET /health/startup`: the models are loaded and every lane has answered once.
pub(crate) async fn startup(State(service): State<Arc<Service>>) -> Response<Body> {
    let reason = (!service.is_started.load(Ordering::Acquire))
        .then(|| "the models are being loaded and tried".to_owned());
    probe(&service, reason)
}

/// `GET /health/ready`: every lane that was not taken out answered lately, there is one, and the
/// service is not stopping.
pub(crate) async fn ready(State(service): State<Arc<Service>>) -> Response<Body> {
    probe(&service, unready(&service))
}

/// Why the service is not ready, if so.
pub(crate) fn unready(service: &Service) -> Option<String> {
    if service.is_stopping() {
        return Some("the service is stopping".to_owned());
    }
    if !service.is_started.load(Ordering::Acquire) {
        return Some("the models are being loaded and tried".to_owned());
    }
    match lanes(service) {
        Lanes::Healthy | Lanes::Degraded => None,
        Lanes::Starting => Some("the models are being loaded and tried".to_owned()),
        Lanes::Silent => Some(format!(
            "a lane has not answered for {} s",
            service.options.probe_timeout.as_secs()
        )),
        Lanes::Gone => Some("no lane is left".to_owned()),
    }
}

fn probe(service: &Service, reason: Option<String>) -> Response<Body> {
    let code = match reason {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let response = ProbeResponse {
        status: if reason.is_none() {
            "ok"
        } else {
            "unavailable"
        },
        reason,
        lanes: lane_list(service),
    };
    json_response_with(code, &response)
}

fn lane_list(service: &Service) -> Vec<LaneHealth> {
    let Some(engine) = service.loaded() else {
        return Vec::new();
    };
    engine
        .lanes()
        .map(|(device, index, metrics)| {
            let since = metrics.since_success();
            let (state, circuit) = match since {
                _ if metrics.is_out() => ("out", "open"),
                Some(since) if since <= service.options.probe_timeout => ("ok", "closed"),
                _ => ("silent", "half_open"),
            };
            LaneHealth {
                device: device.to_string(),
                lane: index,
                state,
                circuit,
                seconds_since_answer: since.map(|since| since.as_secs_f64()),
            }
        })
        .collect()
}
