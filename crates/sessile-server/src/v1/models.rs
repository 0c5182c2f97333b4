//! `GET /v1/models`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::{Failure, Style};
use crate::http::json_response;
use crate::service::{ServedModel, Service};
use crate::writer::Writer;

/// A resident model.
#[derive(Serialize, ToSchema)]
pub(crate) struct Model {
    /// Its name in requests.
    id: String,
    /// `model`.
    object: &'static str,
    /// Always 0: when a model was made is not known.
    created: u64,
    /// `sessile`.
    owned_by: &'static str,
    /// Its architecture.
    architecture: &'static str,
    /// Number of parameters.
    parameters: u64,
    /// Number of layers.
    layers: usize,
    /// Numbers in a vector.
    dimensions: usize,
    /// Most residues of a sequence; of a model that writes the tokens it reads.
    max_sequence_length: usize,
}

/// The resident models.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`.
    object: &'static str,
    /// The models; the first is the default.
    data: Vec<Model>,
}

impl Model {
    fn new(service: &Service, model: &ServedModel) -> Self {
        let info = &model.info;
        let most = info.max_tokens - info.special_tokens;
        Model {
            id: model.name.clone(),
            object: "model",
            created: 0,
            owned_by: "sessile",
            architecture: info.architecture,
            parameters: info.parameters,
            layers: info.layers,
            dimensions: info.hidden,
            max_sequence_length: most.min(service.options.max_sequence_length),
        }
    }

    fn of_writer(writer: &Writer) -> Self {
        let info = &writer.info;
        Model {
            id: writer.name.clone(),
            object: "model",
            created: 0,
            owned_by: "sessile",
            architecture: info.architecture,
            parameters: info.parameters,
            layers: info.layers + info.decoder.map_or(0, |decoder| decoder.layers),
            dimensions: info.hidden,
            max_sequence_length: info.max_tokens,
        }
    }
}

/// Lists the resident models.
pub(crate) async fn list_models(State(service): State<Arc<Service>>) -> Response<Body> {
    match service.admit() {
        Ok(engine) => {
            let models = engine.models.iter();
            let data = models
                .map(|model| Model::new(&service, model))
                .chain(engine.writer.iter().map(Model::of_writer))
                .collect();
            json_response(&ModelList {
                object: "list",
                data,
            })
        }
        Err(failure) => failure.response(Style::Error),
    }
}

/// Describes one of them.
pub(crate) async fn get_model(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Response<Body> {
    let model = service.admit().and_then(|engine| {
        let writer = engine.writer.iter().find(|writer| writer.name == name);
        match writer {
            Some(writer) => Ok(Model::of_writer(writer)),
            None => engine.named(&name).map(|model| Model::new(&service, model)),
        }
    });
    match model {
        Ok(model) => json_response(&model),
        Err(failure) => Failure::response(&failure, Style::Error),
    }
}
