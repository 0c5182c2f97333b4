//! `POST /v1/logits`.

use std::time::Instant;

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use sessile_device::{HostTensor, ModelIndex, OutputKind, OutputSet};
use utoipa::ToSchema;

use super::embeddings::Usage;
use super::items::{Common, ItemError, Items};
use super::numbers::{Encoded, EncodingFormat, Numbers};
use super::{Input, parse};
use crate::exchange::Call;
use crate::failure::{Failure, Style};
use crate::predict::write;
use crate::service::{Engine, Service};
use crate::work::{Done, Job, Terms, Work};

/// A request for scores over the vocabulary.
#[derive(Deserialize, ToSchema)]
pub(crate) struct LogitsRequest {
    /// The model; the first of `/v1/models` without it.
    model: Option<String>,
    /// The sequences.
    input: Input,
    /// How the numbers are sent.
    #[schema(default = "float")]
    encoding_format: Option<EncodingFormat>,
    /// 0 is served first, 2 last.
    #[schema(minimum = 0, maximum = 2, default = 1)]
    priority: Option<u8>,
    /// Milliseconds after which the answer is not wanted any more.
    #[schema(minimum = 1, maximum = 4294967295_u32)]
    timeout_ms: Option<u64>,
}

/// The scores over the vocabulary of each item.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) struct LogitsResponse {
    /// `list`.
    object: String,
    /// One for each item, in order.
    data: Vec<LogitsItem>,
    /// The token of each column.
    vocabulary: Vec<String>,
    /// The model.
    model: String,
    /// Tokens.
    usage: Usage,
}

/// A matrix, or why there is none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) enum LogitsItem {
    /// A matrix.
    Logits {
        /// `logits`.
        object: String,
        /// The item's place in the request.
        index: usize,
        /// Tokens, both ends included, and tokens of the vocabulary.
        shape: [usize; 2],
        /// The scores, a row per token.
        logits: Numbers,
    },
    /// Why there is none.
    Error(ItemError),
}

/// `POST /v1/logits`.
pub(crate) struct PostLogits {
    items: Items<HostTensor>,
    format: EncodingFormat,
    vocabulary: Vec<String>,
}

impl Work for PostLogits {
    fn model(&self) -> ModelIndex {
        self.items.model
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        let outputs = OutputSet::default().with(OutputKind::Logits);
        self.items.next_job(outputs)
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        let matrix =
            done.map(|(output, _)| output.get(OutputKind::Logits).cloned().unwrap_or_default());
        self.items.set(key, matrix);
        Ok(())
    }
}

impl Call for PostLogits {
    const STYLE: Style = Style::Error;

    fn read(
        service: &Service,
        engine: &Engine,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let request: LogitsRequest = parse(headers, body)?;
        let model = engine.model(request.model.as_deref())?;
        let vocabulary = model.tokenizer.tokens().to_vec();
        let common = Common {
            model: request.model,
            input: request.input,
            priority: request.priority,
            timeout_ms: request.timeout_ms,
        };
        Ok(PostLogits {
            items: Items::new(service, engine, common)?,
            format: request.encoding_format.unwrap_or_default(),
            vocabulary,
        })
    }

    fn terms(&self) -> Terms {
        self.items.terms
    }

    fn numbers(&self) -> usize {
        self.items.tokens * self.vocabulary.len()
    }

    fn write(self, _begun: Instant) -> Result<Vec<u8>, Failure> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Item<'a> {
            Logits {
                object: &'static str,
                index: usize,
                shape: &'a [usize],
                logits: Encoded<'a>,
            },
            Error(ItemError),
        }
        #[derive(Serialize)]
        struct Response<'a> {
            object: &'static str,
            data: Vec<Item<'a>>,
            vocabulary: Vec<String>,
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
                Ok(matrix) => Item::Logits {
                    object: "logits",
                    index,
                    shape: &matrix.shape,
                    logits: Encoded {
                        data: &matrix.data,
                        columns: matrix.shape.last().copied(),
                        format,
                    },
                },
                Err(failure) => Item::Error(ItemError::new(index, failure.clone())),
            })
            .collect();
        write(&Response {
            object: "list",
            data,
            vocabulary: self.vocabulary,
            model,
            usage,
        })
    }
}
