//! The paths, as the description of the API lists them.

#![allow(
    dead_code,
    reason = "the functions and types here are read by the macro that describes the API"
)]

use serde_json::Value;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

use crate::health::{HealthResponse, LaneHealth, ProbeResponse};
use crate::predict::{
    BatchPredictionRequest, BatchPredictionResponse, GpuDistributionInfo, PredictionRequest,
    PredictionResponse, SequenceResult,
};
use crate::root::RootResponse;
use crate::v1::{
    ContactsItem, ContactsRequest, ContactsResponse, EarlyStoppingChoice, EmbeddingsItem,
    EmbeddingsRequest, EmbeddingsResponse, EncodingFormat, GenerateResponse, Input, ItemError,
    LogitsItem, LogitsRequest, LogitsResponse, Method, Model, ModelList, Mutants, Never, Numbers,
    PlainInput, PlainSequence, Pooling, Protein, ProteinInput, ScoreItem, ScoreRequest,
    ScoreResponse, Sequence, SummarizeResponse, SummaryItem, TextItem, Texts, ThreeDiItem,
    ThreeDiRequest, ThreeDiResponse, Usage, WritingRequest, WritingUsage,
};

/// An error of the paths of ESM2_MultiGPU_Inference: a sentence, or a list of complaints.
#[derive(ToSchema)]
struct DetailError {
    /// What is wrong.
    detail: Value,
}

/// An error of the `/v1` paths.
#[derive(ToSchema)]
struct ErrorResponse {
    /// What is wrong.
    error: ErrorBody,
}

/// What is wrong.
#[derive(ToSchema)]
struct ErrorBody {
    /// Its kind.
    r#type: String,
    /// For people.
    message: String,
    /// The field at fault.
    param: Option<String>,
    /// The item at fault.
    index: Option<usize>,
}

/// The errors of a path that computes.
#[derive(IntoResponses)]
enum DetailErrors {
    /// The request makes no sense
    #[response(status = 400)]
    Invalid(DetailError),
    /// A key is needed
    #[response(status = 401)]
    Key(DetailError),
    /// There is no such model
    #[response(status = 404)]
    Model(DetailError),
    /// The body took too long
    #[response(status = 408)]
    Slow(DetailError),
    /// Too large
    #[response(status = 413)]
    TooLarge(DetailError),
    /// The body is packed in a way that is not known
    #[response(status = 415)]
    Encoding(DetailError),
    /// A field is not valid
    #[response(status = 422)]
    Field(DetailError),
    /// Too much work waits; Retry-After tells when to come back
    #[response(status = 429)]
    Overloaded(DetailError),
    /// A fault of the service
    #[response(status = 500)]
    Fault(DetailError),
    /// Not now
    #[response(status = 503)]
    NotNow(DetailError),
    /// No answer in time
    #[response(status = 504)]
    Late(DetailError),
}

/// The errors of a path that computes.
#[derive(IntoResponses)]
enum Errors {
    /// The request makes no sense
    #[response(status = 400)]
    Invalid(ErrorResponse),
    /// A key is needed
    #[response(status = 401)]
    Key(ErrorResponse),
    /// There is no such model
    #[response(status = 404)]
    Model(ErrorResponse),
    /// The body took too long
    #[response(status = 408)]
    Slow(ErrorResponse),
    /// Too large
    #[response(status = 413)]
    TooLarge(ErrorResponse),
    /// The body is packed in a way that is not known
    #[response(status = 415)]
    Encoding(ErrorResponse),
    /// A field is not valid
    #[response(status = 422)]
    Field(ErrorResponse),
    /// Too much work waits; Retry-After tells when to come back
    #[response(status = 429)]
    Overloaded(ErrorResponse),
    /// A fault of the service
    #[response(status = 500)]
    Fault(ErrorResponse),
    /// Not now
    #[response(status = 503)]
    NotNow(ErrorResponse),
    /// No answer in time
    #[response(status = 504)]
    Late(ErrorResponse),
}

/// Any object.
#[derive(ToSchema)]
struct Object {}

/// Adds the way in.
struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "key",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
    }
}

/// The description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sessile",
        description = "Sequence models that stay resident and are fed without padding. The paths \
                       without /v1 are those of ESM2_MultiGPU_Inference."
    ),
    paths(
        root, health, live, ready, startup, livez, readyz, metrics, openapi, predict, predict_batch, embeddings,
        score, logits, contacts, three_di, summarize, generate, models, model
    ),
    components(schemas(
        RootResponse, HealthResponse, ProbeResponse, LaneHealth, PredictionRequest,
        PredictionResponse, BatchPredictionRequest, BatchPredictionResponse, SequenceResult,
        GpuDistributionInfo, EmbeddingsRequest, EmbeddingsResponse, EmbeddingsItem, ScoreRequest,
        ScoreResponse, ScoreItem, Mutants, LogitsRequest, LogitsResponse, LogitsItem,
        ContactsRequest, ContactsResponse, ContactsItem, ThreeDiRequest, ThreeDiResponse, ThreeDiItem, Input, Sequence, PlainInput, PlainSequence, ProteinInput, Protein, Numbers, EncodingFormat,
        Pooling, Method, Usage, ItemError, Model, ModelList, DetailError, ErrorResponse, ErrorBody, WritingRequest, Texts, EarlyStoppingChoice, Never,
        SummarizeResponse, SummaryItem, GenerateResponse, TextItem, WritingUsage
    )),
    modifiers(&Key)
)]
pub(super) struct Api;

/// What the service is
#[utoipa::path(get, path = "/", tag = "Service", responses(
    (status = 200, description = "What the service is", body = RootResponse),
))]
fn root() {}

/// How the service is
#[utoipa::path(get, path = "/health", tag = "Health", responses(
    (status = 200, description = "How the service is", body = HealthResponse),
    (status = 503, description = "Not healthy", body = HealthResponse),
))]
fn health() {}

/// Whether the process runs
#[utoipa::path(get, path = "/health/live", tag = "Health", responses(
    (status = 200, description = "Whether the process runs", body = ProbeResponse),
))]
fn live() {}

/// Whether the process runs
#[utoipa::path(get, path = "/livez", tag = "Health", responses(
    (status = 200, description = "Whether the process runs", body = ProbeResponse),
))]
fn livez() {}

/// Whether every needed lane answered lately
#[utoipa::path(get, path = "/health/ready", tag = "Health", responses(
    (status = 200, description = "Whether every needed lane answered lately", body = ProbeResponse),
    (status = 503, description = "No", body = ProbeResponse),
))]
fn ready() {}

/// Whether every needed lane answered lately
#[utoipa::path(get, path = "/readyz", tag = "Health", responses(
    (status = 200, description = "Whether every needed lane answered lately", body = ProbeResponse),
    (status = 503, description = "No", body = ProbeResponse),
))]
fn readyz() {}

/// Whether the models are loaded and tried
#[utoipa::path(get, path = "/health/startup", tag = "Health", responses(
    (status = 200, description = "Whether the models are loaded and tried", body = ProbeResponse),
    (status = 503, description = "No", body = ProbeResponse),
))]
fn startup() {}

/// Measurements, as Prometheus reads them
#[utoipa::path(get, path = "/metrics", tag = "Service", responses(
    (status = 200, description = "Measurements, as Prometheus reads them", body = String, content_type = "text/plain"),
))]
fn metrics() {}

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "Service", responses(
    (status = 200, description = "This description", body = Object),
))]
fn openapi() {}

/// The resident models
#[utoipa::path(get, path = "/v1/models", tag = "Models", responses(
    (status = 200, description = "The resident models", body = ModelList),
    (status = 401, description = "A key is needed", body = ErrorResponse),
    (status = 503, description = "Not now", body = ErrorResponse),
))]
fn models() {}

/// One of the resident models.
#[utoipa::path(get, path = "/v1/models/{name}", tag = "Models",
    params(("name" = String, Path, description = "The model's name")), responses(
    (status = 200, description = "The model", body = Model),
    (status = 401, description = "A key is needed", body = ErrorResponse),
    (status = 404, description = "There is no such model", body = ErrorResponse),
    (status = 503, description = "Not now", body = ErrorResponse),
))]
fn model() {}

/// The vector of one sequence
#[utoipa::path(post, path = "/predict", tag = "ESM2_MultiGPU_Inference", request_body = PredictionRequest, responses(
    (status = 200, description = "The answer", body = PredictionResponse),
    DetailErrors,
))]
fn predict() {}

/// The vectors of several sequences
#[utoipa::path(post, path = "/predict/batch", tag = "ESM2_MultiGPU_Inference", request_body = BatchPredictionRequest, responses(
    (status = 200, description = "The answer", body = BatchPredictionResponse),
    DetailErrors,
))]
fn predict_batch() {}

/// Vectors of sequences
#[utoipa::path(post, path = "/v1/embeddings", tag = "Sequences", request_body = EmbeddingsRequest, responses(
    (status = 200, description = "The answer", body = EmbeddingsResponse),
    Errors,
))]
fn embeddings() {}

/// How likely sequences and their single mutants are
#[utoipa::path(post, path = "/v1/score", tag = "Sequences", request_body = ScoreRequest, responses(
    (status = 200, description = "The answer", body = ScoreResponse),
    Errors,
))]
fn score() {}

/// Scores over the vocabulary for every token
#[utoipa::path(post, path = "/v1/logits", tag = "Sequences", request_body = LogitsRequest, responses(
    (status = 200, description = "The answer", body = LogitsResponse),
    Errors,
))]
fn logits() {}

/// Probability of a contact for every pair of residues
#[utoipa::path(post, path = "/v1/contacts", tag = "Sequences", request_body = ContactsRequest, responses(
    (status = 200, description = "The answer", body = ContactsResponse),
    Errors,
))]
fn contacts() {}

/// Structure states of proteins (3Di)
#[utoipa::path(post, path = "/v1/three-di", tag = "Sequences", request_body = ThreeDiRequest, responses(
    (status = 200, description = "The answer", body = ThreeDiResponse),
    Errors,
))]
fn three_di() {}

/// One event of a text that is sent as it is written.
#[derive(ToSchema)]
struct WrittenEvent {
    /// A piece of the text or an error, in JSON; at the end `[DONE]`.
    data: String,
}

/// Summaries of texts
#[utoipa::path(post, path = "/v1/summarize", tag = "Texts", request_body = WritingRequest, responses(
    (status = 200, description = "The summaries; with `stream` as they are written", content(
        (SummarizeResponse = "application/json"),
        (WrittenEvent = "text/event-stream"),
    )),
    Errors,
))]
fn summarize() {}

/// What a model writes to texts
#[utoipa::path(post, path = "/v1/generate", tag = "Texts", request_body = WritingRequest, responses(
    (status = 200, description = "The texts; with `stream` as they are written", content(
        (GenerateResponse = "application/json"),
        (WrittenEvent = "text/event-stream"),
    )),
    Errors,
))]
fn generate() {}
