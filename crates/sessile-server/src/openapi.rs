//! The description of the API (OpenAPI 3.1) at `/openapi.json`, and the page at `/docs` that shows
//! it. The page's files are part of the program; it asks no other host for anything.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};
use sessile_device::OutputKind;
use utoipa_swagger_ui::Config;

use crate::failure::{DetailError, ErrorResponse, Failure, FailureKind, Style};
use crate::http::routes::{Documented, ROUTES, Route};
use crate::http::{bytes_response, json_response};
use crate::service::{Engine, Service};
use crate::v1::{InputKind, Masked, Plain, Protein, Text, Usage, WritingUsage};

/// `GET /openapi.json`.
pub(crate) async fn document(State(service): State<Arc<Service>>) -> Response<Body> {
    json_response(&describe(&service))
}

/// The description: the routes, with the numbers and names of this service in it.
fn describe(service: &Service) -> Value {
    let mut schemas = Schemas::default();
    let errors = [
        (Style::Detail, schemas.name(Documented::of::<DetailError>())),
        (
            Style::Error,
            schemas.name(Documented::of::<ErrorResponse>()),
        ),
    ];
    // The macro that describes types leaves out what is a parameter of one.
    schemas.name(Documented::of::<Usage>());
    schemas.name(Documented::of::<WritingUsage>());
    let mut paths = Map::new();
    for route in &ROUTES {
        let engine = service.loaded();
        if let Some(tag) = route.tag.filter(|_| is_served(route, engine)) {
            let path = route.path.replace("{*", "{");
            let mut operation = schemas.operation(route, &errors);
            operation["tags"] = json!([tag.name()]);
            if let Some((_, name)) = path.rsplit_once('{') {
                operation["parameters"] = json!([{
                    "name": name.trim_end_matches('}'),
                    "in": "path",
                    "required": true,
                    "schema": { "type": "string" },
                }]);
            }
            paths.insert(path, json!({ route.method: operation }));
        }
        if let (Some(request), Some(models), Some(engine)) = (route.request, route.models, engine) {
            schemas.allow_models(&request().name, &models(engine));
        }
    }
    bound(service, &mut schemas.0);
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sessile",
            "description": "Sequence models that stay resident and are fed without padding. The paths \
                without /v1 are those of ESM2_MultiGPU_Inference.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "schemas": schemas.0,
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
        },
    });
    if service.keys.are_asked_for() {
        document["security"] = json!([{ "key": [] }]);
    }
    document
}

/// Whether a model is served that can be asked on this path; nobody knows before one is loaded.
fn is_served(route: &Route, engine: Option<&Engine>) -> bool {
    match (route.models, engine) {
        (Some(models), Some(engine)) => !models(engine).is_empty(),
        _ => true,
    }
}

/// The types by name.
#[derive(Default)]
struct Schemas(Map<String, Value>);

impl Schemas {
    /// Keeps a type and what it names, and refers to it.
    fn name(&mut self, documented: Documented) -> Value {
        let Documented {
            name,
            schema,
            parts,
        } = documented;
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        for (name, schema) in parts.into_iter().chain([(name, schema)]) {
            let schema = || serde_json::to_value(schema).unwrap_or_default();
            self.0.entry(name).or_insert_with(schema);
        }
        reference
    }

    fn operation(&mut self, route: &Route, errors: &[(Style, Value)]) -> Value {
        let name: Vec<&str> = route
            .path
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(|part| !part.is_empty())
            .collect();
        let name = if name.is_empty() {
            "root".to_owned()
        } else {
            name.join("_")
        };
        let mut responses = Map::new();
        for answer in route.answers {
            let answer = answer();
            let schema = match answer.body {
                Some(body) => self.name(body),
                None if answer.kind.starts_with("text/") => json!({ "type": "string" }),
                None if answer.kind == "application/json" => json!({ "type": "object" }),
                None => json!({ "type": "string", "format": "binary" }),
            };
            let response = responses
                .entry(answer.status.as_str())
                .or_insert_with(|| match answer.status {
                    StatusCode::OK => json!({ "description": route.summary, "content": {} }),
                    _ => json!({ "description": "Not now", "content": {} }),
                });
            response["content"][answer.kind] = json!({ "schema": schema });
        }
        let error = errors.iter().find(|(style, _)| *style == route.style);
        for &status in route.failures {
            let schema = error.map(|(_, schema)| schema);
            responses.entry(status.to_string()).or_insert_with(|| {
                json!({
                    "description": meaning(status),
                    "content": { "application/json": { "schema": schema } },
                })
            });
        }
        let mut operation = json!({
            "summary": route.summary,
            "operationId": name,
            "responses": responses,
        });
        if let Some(request) = route.request {
            operation["requestBody"] = json!({
                "required": true,
                "content": { "application/json": { "schema": self.name(request()) } },
            });
        }
        operation
    }

    /// Lets a request name these models, or none.
    fn allow_models(&mut self, request: &str, models: &[&str]) {
        let field = self
            .0
            .get_mut(request)
            .and_then(|schema| schema["properties"].get_mut("model"));
        if let Some(field) = field {
            let names = models.iter().copied().map(Some).chain([None]);
            field["enum"] = names.collect();
        }
    }
}

/// What a status says of a call.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request makes no sense",
        401 => "A key is needed",
        404 => "There is no such model",
        406 => "The answer cannot have the form that is asked for",
        408 => "The body took too long",
        413 => "Too large",
        415 => "The body is packed in a way that is not known",
        422 => "A field is not valid",
        429 => "Too much work waits; Retry-After tells when to come back",
        500 => "A fault of the service",
        504 => "No answer in time",
        _ => "Not now",
    }
}

/// Puts the bounds of this service into the types.
fn bound(service: &Service, schemas: &mut Map<String, Value>) {
    let options = &service.options;
    let most = options.max_sequence_length;
    let mut set = |name: &str, place: &str, value: Value| {
        let schema = schemas.get_mut(name);
        if let Some(parent) = schema.and_then(|schema| schema.pointer_mut(place)) {
            merge(parent, value);
        }
    };
    let residues = format!("^[ACDEFGHIKLMNPQRSTVWXYacdefghiklmnpqrstvwxy]{{1,{most}}}$");
    let sequence = json!({ "maxLength": most, "pattern": residues });
    set("PredictionRequest", "/properties/sequence", sequence);
    set("BatchSequence", "", json!({ "pattern": residues }));
    let items = json!({ "maxItems": options.max_batch_size });
    set("BatchPredictionRequest", "/properties/sequences", items);
    for (name, input, pattern) in [
        kind::<Masked>(most),
        kind::<Plain>(most),
        kind::<Protein>(most),
        kind::<Text>(most),
    ] {
        set(name, "", json!({ "pattern": pattern }));
        let items = json!({ "maxItems": options.max_items });
        set(input, "/oneOf/1", items);
    }
    let Some(engine) = service.loaded() else {
        return;
    };
    if let Some(writer) = &engine.writer {
        let longest = json!({ "maximum": writer.longest_answer });
        for length in ["min_length", "max_length"] {
            let place = format!("/properties/{length}");
            set("WritingRequest", &place, longest.clone());
        }
    }
    let vectors = engine.model_for(OutputKind::Mean, None).ok();
    let width = vectors.map(|model| model.info.hidden);
    let widths: Vec<_> = width.map(Some).into_iter().chain([None]).collect();
    let widths = json!({ "enum": widths });
    set("EmbeddingsRequest", "/properties/dimensions", widths);
}

fn kind<K: InputKind>(max_residues: usize) -> (&'static str, &'static str, String) {
    (K::ITEM, K::INPUT, K::pattern(max_residues))
}

fn merge(object: &mut Value, more: Value) {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
}

fn page_config() -> Arc<Config<'static>> {
    static CONFIG: OnceLock<Arc<Config<'static>>> = OnceLock::new();
    Arc::clone(CONFIG.get_or_init(|| Arc::new(Config::from("/openapi.json"))))
}

/// `GET /docs`.
pub(crate) async fn page() -> Response<Body> {
    let response = static_file("index.html");
    let (parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        return missing();
    };
    // The page names its files beside itself; here they lie below it.
    let text = String::from_utf8_lossy(&bytes).replace("\"./", "\"./docs/");
    Response::from_parts(parts, Body::from(text))
}

/// A file of that page.
pub(crate) async fn file(Path(name): Path<String>) -> Response<Body> {
    static_file(&name)
}

/// One of the files that were built in; the file system is not asked. All answers share one copy.
fn static_file(name: &str) -> Response<Body> {
    static FILES: Mutex<BTreeMap<String, Bytes>> = Mutex::new(BTreeMap::new());
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = match files.get(name) {
        Some(bytes) => bytes.clone(),
        None => {
            let Ok(Some(file)) = utoipa_swagger_ui::serve(name, page_config()) else {
                return missing();
            };
            // Built in compressed, which leaves 3 MB out of the program; unpacked when first asked for.
            let mut bytes = file.bytes.into_owned();
            if file.gzpipped {
                let mut plain = Vec::new();
                if GzDecoder::new(&bytes[..]).read_to_end(&mut plain).is_err() {
                    return missing();
                }
                bytes = plain;
            }
            let bytes = Bytes::from(bytes);
            files.insert(name.to_owned(), bytes.clone());
            bytes
        }
    };
    drop(files);
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    bytes_response(StatusCode::OK, kind, bytes)
}

fn missing() -> Response<Body> {
    Failure::new(FailureKind::NotFound, "Not Found").response(Style::Detail)
}
