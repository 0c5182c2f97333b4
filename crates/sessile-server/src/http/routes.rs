//! Every path of the service: one line each. The router, the description of the API and the answers to
//! paths and methods that are not there are made of this list.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::StatusCode;
use axum::routing::{MethodFilter, MethodRouter};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::redirect::not_allowed;
use super::router::metrics;
use crate::exchange::{Call, Tag, answer};
use crate::failure::Style;
use crate::health::{self, HealthResponse, ProbeResponse};
use crate::openapi;
use crate::predict::{PredictBatch, PredictOne};
use crate::raw;
use crate::root::{self, RootResponse};
use crate::service::{Engine, Service};
use crate::v1::{
    Contacts, Embeddings, Generate, Logits, Model, ModelList, Post, PostScore, Summarize, ThreeDi,
    Writing, WrittenEvent, get_model, list_models,
};

/// The paths.
pub(crate) static ROUTES: [Route; 22] = [
    // ESM2_MultiGPU_Inference has no HEAD; of its paths `/` keeps to that.
    Route::get(
        "/",
        Tag::Service,
        "What the service is",
        &[json::<RootResponse>],
        || on_get("GET", root::root).on(MethodFilter::HEAD, not_allowed("GET")),
    ),
    Route::get(
        "/health",
        Tag::Health,
        "How the service is",
        &HEALTH,
        || on_get("GET", health::health),
    ),
    Route::get(
        "/health/live",
        Tag::Health,
        LIVE,
        &[json::<ProbeResponse>],
        || get(health::live),
    ),
    Route::get(
        "/livez",
        Tag::Health,
        LIVE,
        &[json::<ProbeResponse>],
        || get(health::live),
    ),
    Route::get("/health/ready", Tag::Health, READY, &PROBE, || {
        get(health::ready)
    }),
    Route::get("/readyz", Tag::Health, READY, &PROBE, || get(health::ready)),
    Route::get(
        "/health/startup",
        Tag::Health,
        "Whether the models are loaded and tried",
        &PROBE,
        || get(health::startup),
    ),
    Route::get(
        "/metrics",
        Tag::Service,
        "Measurements, as Prometheus reads them",
        &[text],
        || get(metrics),
    ),
    Route::get(
        "/openapi.json",
        Tag::Service,
        "This description",
        &[object],
        || get(openapi::document),
    ),
    Route::page("/docs", || get(openapi::page)),
    Route::page("/docs/{*file}", || get(openapi::file)),
    Route::get(
        "/v1/models",
        Tag::Models,
        "The resident models",
        &[json::<ModelList>],
        || get(list_models),
    )
    .with_key(&[401, 503]),
    Route::get(
        "/v1/models/{*name}",
        Tag::Models,
        "One of the resident models",
        &[json::<Model>],
        || get(get_model),
    )
    .with_key(&[401, 404, 503]),
    Route::computing::<PredictOne>(),
    Route::computing::<PredictBatch>(),
    Route::computing::<Post<Embeddings>>(),
    Route::computing::<PostScore>(),
    Route::computing::<Post<Logits>>(),
    Route::computing::<Post<Contacts>>(),
    Route::computing::<Post<ThreeDi>>(),
    Route::computing::<Writing<Summarize>>(),
    Route::computing::<Writing<Generate>>(),
];

const LIVE: &str = "Whether the process runs";
const READY: &str = "Whether every needed lane answered lately";
const HEALTH: [fn() -> Answer; 2] = [json::<HealthResponse>, unavailable::<HealthResponse>];
const PROBE: [fn() -> Answer; 2] = [json::<ProbeResponse>, unavailable::<ProbeResponse>];

/// Statuses of what goes wrong with a call that computes.
const FAILURES: [u16; 12] = [400, 401, 404, 406, 408, 413, 415, 422, 429, 500, 503, 504];

/// A path of the service.
pub(crate) struct Route {
    /// As the router takes it.
    pub(crate) path: &'static str,
    /// `get` or `post`.
    pub(crate) method: &'static str,
    /// Its part of the API; none: it is not described.
    pub(crate) tag: Option<Tag>,
    /// What it is for, in a line.
    pub(crate) summary: &'static str,
    /// Whether a key is asked for, where there are keys.
    pub(crate) needs_key: bool,
    /// What it takes.
    pub(crate) request: Option<fn() -> Documented>,
    /// What it gives.
    pub(crate) answers: &'static [fn() -> Answer],
    /// Statuses of its errors.
    pub(crate) failures: &'static [u16],
    /// How its errors look.
    pub(crate) style: Style,
    /// The models that can be asked, of a call that asks one.
    pub(crate) models: Option<fn(&Engine) -> Vec<&str>>,
    pub(super) handler: fn() -> MethodRouter<Arc<Service>>,
}

impl Route {
    const fn get(
        path: &'static str,
        tag: Tag,
        summary: &'static str,
        answers: &'static [fn() -> Answer],
        handler: fn() -> MethodRouter<Arc<Service>>,
    ) -> Self {
        Route {
            path,
            method: "get",
            tag: Some(tag),
            summary,
            needs_key: false,
            request: None,
            answers,
            failures: &[],
            style: Style::Detail,
            models: None,
            handler,
        }
    }

    /// A page for people, or a file of it.
    const fn page(path: &'static str, handler: fn() -> MethodRouter<Arc<Service>>) -> Self {
        let mut route = Route::get(path, Tag::Service, "", &[], handler);
        route.tag = None;
        route
    }

    /// The same for those with a key.
    const fn with_key(mut self, failures: &'static [u16]) -> Self {
        self.needs_key = true;
        self.failures = failures;
        self.style = Style::Error;
        self
    }

    const fn computing<C: Call>() -> Self {
        Route {
            path: C::PATH,
            method: "post",
            tag: Some(C::TAG),
            summary: C::SUMMARY,
            needs_key: true,
            request: Some(Documented::of::<C::Request>),
            answers: if C::STREAMS {
                &[json::<C::Response>, events]
            } else if C::NUMBERS.is_some() {
                &[json::<C::Response>, octets, arrow]
            } else {
                &[json::<C::Response>]
            },
            failures: &FAILURES,
            style: C::STYLE,
            models: Some(C::models),
            handler: || {
                MethodRouter::new()
                    .on(MethodFilter::POST, answer::<C>)
                    .fallback(not_allowed("POST"))
            },
        }
    }
}

/// Whether there is something at this path.
pub(super) fn is_route(path: &str) -> bool {
    ROUTES.iter().any(|route| route.path == path)
}

/// A path with GET, and so with HEAD: the same answer without its body.
fn get<H, T>(handler: H) -> MethodRouter<Arc<Service>>
where
    H: Handler<T, Arc<Service>>,
    T: 'static,
{
    on_get("GET, HEAD", handler)
}

/// The same, with the methods that are told for another.
fn on_get<H, T>(allowed: &'static str, handler: H) -> MethodRouter<Arc<Service>>
where
    H: Handler<T, Arc<Service>>,
    T: 'static,
{
    MethodRouter::new()
        .on(MethodFilter::GET, handler)
        .fallback(not_allowed(allowed))
}

/// A type as the description of the API has it: itself, by name or whole, and all that it names.
pub(crate) struct Documented {
    pub(crate) name: String,
    pub(crate) schema: RefOr<Schema>,
    pub(crate) parts: Vec<(String, RefOr<Schema>)>,
}

impl Documented {
    pub(crate) fn of<T: ToSchema>() -> Self {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        Documented {
            name: full_name::<T>(),
            schema: T::schema(),
            parts,
        }
    }
}

/// The name of a type with those of its parameters: `List_ScoreItem_Usage`.
fn full_name<T: ToSchema>() -> String {
    let whole = std::any::type_name::<T>();
    if !whole.contains('<') {
        return T::name().into_owned();
    }
    let parts = whole.split(['<', '>', ',']).map(|part| {
        let part = part.trim();
        part.rsplit_once("::").map_or(part, |(_, name)| name)
    });
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("_")
}

/// An answer as the description has it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    /// None: an object of any kind, or a text.
    pub(crate) body: Option<Documented>,
}

fn json<T: ToSchema>() -> Answer {
    Answer {
        status: StatusCode::OK,
        kind: "application/json",
        body: Some(Documented::of::<T>()),
    }
}

fn unavailable<T: ToSchema>() -> Answer {
    Answer {
        status: StatusCode::SERVICE_UNAVAILABLE,
        ..json::<T>()
    }
}

fn events() -> Answer {
    Answer {
        kind: "text/event-stream",
        ..json::<WrittenEvent>()
    }
}

fn object() -> Answer {
    Answer {
        status: StatusCode::OK,
        kind: "application/json",
        body: None,
    }
}

fn octets() -> Answer {
    Answer {
        kind: raw::OCTETS,
        ..object()
    }
}

fn arrow() -> Answer {
    Answer {
        kind: raw::ARROW,
        ..object()
    }
}

fn text() -> Answer {
    Answer {
        kind: "text/plain",
        ..object()
    }
}
