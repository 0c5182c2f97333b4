//! The description of the API (OpenAPI 3.1) at `/openapi.json`, and the page at `/docs` that shows
//! it. The page's files are part of the program; it asks no other host for anything.

mod paths;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};
use sessile_device::OutputKind;
use utoipa::OpenApi;
use utoipa_swagger_ui::Config;

use crate::failure::{Failure, FailureKind, Style};
use crate::http::{bytes_response, json_response};
use crate::service::{Engine, Service};
use crate::v1::patterns;

/// `GET /openapi.json`.
pub(crate) async fn document(State(service): State<Arc<Service>>) -> Response<Body> {
    json_response(&describe(&service))
}

/// The description, with the numbers and names of this service in it.
fn describe(service: &Service) -> Value {
    let mut document = serde_json::to_value(paths::Api::openapi()).unwrap_or_default();
    let options = &service.options;
    let schemas = &mut document["components"]["schemas"];
    let most = options.max_sequence_length;
    let residues = format!("^[ACDEFGHIKLMNPQRSTVWXYacdefghiklmnpqrstvwxy]{{1,{most}}}$");
    schemas["PredictionRequest"]["properties"]["sequence"]["maxLength"] = json!(most);
    schemas["PredictionRequest"]["properties"]["sequence"]["pattern"] = json!(residues);
    schemas["BatchSequence"]["pattern"] = json!(residues);
    schemas["BatchPredictionRequest"]["properties"]["sequences"]["maxItems"] =
        json!(options.max_batch_size);
    // A text is more than white space.
    schemas["Texts"]["oneOf"][0]["pattern"] = json!("\\S");
    let texts = &mut schemas["Texts"]["oneOf"][1];
    texts["items"]["pattern"] = json!("\\S");
    texts["minItems"] = json!(1);
    texts["maxItems"] = json!(options.max_items);
    for (name, pattern) in patterns(most) {
        schemas[name]["pattern"] = json!(pattern);
    }
    for input in ["Input", "PlainInput", "ProteinInput"] {
        schemas[input]["oneOf"][1]["minItems"] = json!(1);
        schemas[input]["oneOf"][1]["maxItems"] = json!(options.max_items);
    }
    if let Some(engine) = service.loaded() {
        leave_out(engine, &mut document["paths"]);
        let schemas = &mut document["components"]["schemas"];
        let request = &mut schemas["WritingRequest"]["properties"];
        let writer = engine.writer.as_ref().map(|writer| &*writer.name);
        request["model"]["enum"] = json!([writer, null]);
        if let Some(writer) = &engine.writer {
            for length in ["min_length", "max_length"] {
                request[length]["maximum"] = json!(writer.longest_answer());
            }
        }
        for (request, output) in [
            ("EmbeddingsRequest", OutputKind::Mean),
            ("ScoreRequest", OutputKind::Logits),
            ("LogitsRequest", OutputKind::Logits),
            ("ContactsRequest", OutputKind::Contacts),
            ("ThreeDiRequest", OutputKind::ThreeDi),
        ] {
            let able = engine.models.iter().filter(|model| model.has(output));
            let names: Vec<_> = able.map(|model| Some(&*model.name)).chain([None]).collect();
            schemas[request]["properties"]["model"]["enum"] = json!(names);
        }
        let vectors = engine.model_for(OutputKind::Mean, None).ok();
        let width = vectors.map(|model| model.info.hidden);
        let widths: Vec<_> = width.map(Some).into_iter().chain([None]).collect();
        schemas["EmbeddingsRequest"]["properties"]["dimensions"]["enum"] = json!(widths);
    }
    if !service.options.api_keys.is_empty() {
        document["security"] = json!([{ "key": [] }]);
    }
    document
}

/// Takes the paths out for which no model is served.
fn leave_out(engine: &Engine, paths: &mut Value) {
    let Some(paths) = paths.as_object_mut() else {
        return;
    };
    let writer = engine.writer.as_ref();
    paths.retain(|path, _| match path.as_str() {
        "/v1/generate" => writer.is_some(),
        "/v1/summarize" => writer.is_some_and(|writer| writer.writes_summaries),
        "/predict" | "/predict/batch" | "/v1/embeddings" | "/v1/score" | "/v1/logits"
        | "/v1/contacts" | "/v1/three-di" => !engine.models.is_empty(),
        _ => true,
    });
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
            let bytes = Bytes::from(file.bytes.into_owned());
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
