//! `POST /v1/embeddings`.

use std::time::Instant;

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use sessile_device::{ModelIndex, OutputKind, OutputSet};
use utoipa::ToSchema;

use super::items::{Common, ItemError, Items};
use super::numbers::{Encoded, EncodingFormat, Numbers};
use super::{Input, parse};
use crate::exchange::Call;
use crate::failure::{Failure, Style};
use crate::predict::write;
use crate::service::{Engine, Service};
use crate::work::{Done, Job, Terms, Work};

/// A request for vectors.
#[derive(Deserialize, ToSchema)]
pub(crate) struct EmbeddingsRequest {
    /// The model; the first of `/v1/models` without it.
    model: Option<String>,
    /// The sequences.
    input: Input,
    /// How the numbers are sent.
    #[schema(default = "float")]
    encoding_format: Option<EncodingFormat>,
    /// Which vector is meant.
    #[schema(default = "mean")]
    pooling: Option<Pooling>,
    /// Must be the model's own number if it is given: vectors are not cut.
    dimensions: Option<usize>,
    /// 0 is served first, 2 last.
    #[schema(minimum = 0, maximum = 2, default = 1)]
    priority: Option<u8>,
    /// Milliseconds after which the answer is not wanted any more.
    #[schema(minimum = 1, maximum = 4294967295_u32)]
    timeout_ms: Option<u64>,
}

/// Which vector of a sequence is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pooling {
    /// The mean over the residues.
    #[default]
    Mean,
    /// The mean over all tokens, both ends included, as `/predict` gives it.
    MeanAll,
    /// The vector of the first token.
    Cls,
}

impl Pooling {
    fn output(self) -> OutputKind {
        match self {
            Pooling::Mean => OutputKind::Mean,
            Pooling::MeanAll => OutputKind::MeanAll,
            Pooling::Cls => OutputKind::Cls,
        }
    }
}

/// The vectors.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) struct EmbeddingsResponse {
    /// `list`.
    object: String,
    /// One for each item, in order.
    data: Vec<EmbeddingsItem>,
    /// The model.
    model: String,
    /// Tokens.
    usage: Usage,
}

/// A vector, or why there is none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) enum EmbeddingsItem {
    /// A vector.
    Embedding {
        /// `embedding`.
        object: String,
        /// The item's place in the request.
        index: usize,
        /// The numbers.
        embedding: Numbers,
    },
    /// Why there is none.
    Error(ItemError),
}

/// Tokens of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Tokens of all items.
    prompt_tokens: usize,
    /// The same.
    total_tokens: usize,
}

impl Usage {
    pub(super) fn new(tokens: usize) -> Self {
        Usage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        }
    }
}

/// `POST /v1/embeddings`.
pub(crate) struct PostEmbeddings {
    items: Items<Vec<f32>>,
    output: OutputKind,
    format: EncodingFormat,
    hidden: usize,
}

impl Work for PostEmbeddings {
    fn model(&self) -> ModelIndex {
        self.items.model
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        let outputs = OutputSet::default().with(self.output);
        self.items.next_job(outputs)
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        let vector = done.map(|(output, _)| {
            output
                .get(self.output)
                .map(|tensor| tensor.data.to_vec())
                .unwrap_or_default()
        });
        self.items.set(key, vector);
        Ok(())
    }
}

impl Call for PostEmbeddings {
    const STYLE: Style = Style::Error;

    fn read(
        service: &Service,
        engine: &Engine,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let request: EmbeddingsRequest = parse(headers, body)?;
        let hidden = engine.model(request.model.as_deref())?.info.hidden;
        if request.dimensions.is_some_and(|wanted| wanted != hidden) {
            let message = format!("the model's vectors have {hidden} numbers and are not cut");
            return Err(Failure::invalid("dimensions", message));
        }
        let common = Common {
            model: request.model,
            input: request.input,
            priority: request.priority,
            timeout_ms: request.timeout_ms,
        };
        Ok(PostEmbeddings {
            items: Items::new(service, engine, common)?,
            output: request.pooling.unwrap_or_default().output(),
            format: request.encoding_format.unwrap_or_default(),
            hidden,
        })
    }

    fn terms(&self) -> Terms {
        self.items.terms
    }

    fn numbers(&self) -> usize {
        self.items.items.len() * self.hidden
    }

    fn write(self, _begun: Instant) -> Result<Vec<u8>, Failure> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Item<'a> {
            Embedding {
                object: &'static str,
                index: usize,
                embedding: Encoded<'a>,
            },
            Error(ItemError),
        }
        #[derive(Serialize)]
        struct Response<'a> {
            object: &'static str,
            data: Vec<Item<'a>>,
            model: String,
            usage: Usage,
        }
        let format = self.format;
        let model = self.items.model_name.clone();
        let usage = Usage::new(self.items.tokens);
        let results = self.items.finish()?;
        let data = results
            .iter()
            .enumerate()
            .map(|(index, result)| match result {
                Ok(vector) => Item::Embedding {
                    object: "embedding",
                    index,
                    embedding: Encoded {
                        data: vector,
                        columns: None,
                        format,
                    },
                },
                Err(failure) => Item::Error(ItemError::new(index, failure.clone())),
            })
            .collect();
        write(&Response {
            object: "list",
            data,
            model,
            usage,
        })
    }
}
