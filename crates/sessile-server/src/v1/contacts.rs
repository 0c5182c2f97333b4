//! `POST /v1/contacts`.

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

/// A request for contact probabilities.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ContactsRequest {
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

/// The contact probabilities of each item.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) struct ContactsResponse {
    /// `list`.
    object: String,
    /// One for each item, in order.
    data: Vec<ContactsItem>,
    /// The model.
    model: String,
    /// Tokens.
    usage: Usage,
}

/// A matrix, or why there is none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) enum ContactsItem {
    /// A matrix.
    Contacts {
        /// `contacts`.
        object: String,
        /// The item's place in the request.
        index: usize,
        /// Residues and residues.
        shape: [usize; 2],
        /// The probabilities, a row per residue.
        contacts: Numbers,
    },
    /// Why there is none.
    Error(ItemError),
}

/// `POST /v1/contacts`.
pub(crate) struct PostContacts {
    items: Items<HostTensor>,
    format: EncodingFormat,
}

impl Work for PostContacts {
    fn model(&self) -> ModelIndex {
        self.items.model
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        let outputs = OutputSet::default().with(OutputKind::Contacts);
        self.items.next_job(outputs)
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        let matrix = done.map(|(output, _)| {
            output
                .get(OutputKind::Contacts)
                .cloned()
                .unwrap_or_default()
        });
        self.items.set(key, matrix);
        Ok(())
    }
}

impl Call for PostContacts {
    const STYLE: Style = Style::Error;

    fn read(
        service: &Service,
        engine: &Engine,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let request: ContactsRequest = parse(headers, body)?;
        let common = Common {
            model: request.model,
            input: request.input,
            priority: request.priority,
            timeout_ms: request.timeout_ms,
        };
        Ok(PostContacts {
            items: Items::new(service, engine, common)?,
            format: request.encoding_format.unwrap_or_default(),
        })
    }

    fn terms(&self) -> Terms {
        self.items.terms
    }

    fn numbers(&self) -> usize {
        self.items
            .items
            .iter()
            .map(|item| item.tokens.len() * item.tokens.len())
            .sum()
    }

    fn write(self, _begun: Instant) -> Result<Vec<u8>, Failure> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Item<'a> {
            Contacts {
                object: &'static str,
                index: usize,
                shape: &'a [usize],
                contacts: Encoded<'a>,
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
                Ok(matrix) => Item::Contacts {
                    object: "contacts",
                    index,
                    shape: &matrix.shape,
                    contacts: Encoded {
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
            model,
            usage,
        })
    }
}
