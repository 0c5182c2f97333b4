//! `POST /v1/contacts`.

use serde::{Deserialize, Serialize};
use sessile_device::{HostTensor, Output, OutputKind, OutputSet};
use utoipa::ToSchema;

use super::Input;
use super::items::{Common, ItemError, Usage};
use super::numbers::{Encoded, EncodingFormat, Numbers};
use super::passes::{Pass, tensor};
use crate::failure::Failure;
use crate::json::whole;
use crate::service::{Engine, ServedModel};

/// A request for contact probabilities.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContactsRequest {
    /// The model; the first of `/v1/models` without it.
    model: Option<String>,
    /// The sequences.
    input: Input,
    /// How the numbers are sent.
    #[schema(default = "float")]
    encoding_format: Option<EncodingFormat>,
    /// 0 is served first, 2 last.
    #[serde(default, deserialize_with = "whole::optional")]
    #[schema(minimum = 0, maximum = 2, default = 1)]
    priority: Option<u8>,
    /// Milliseconds after which the answer is not wanted any more.
    #[serde(default, deserialize_with = "whole::optional")]
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
pub(crate) struct Contacts {
    format: EncodingFormat,
}

impl Pass for Contacts {
    type Request = ContactsRequest;
    type Kept = HostTensor;

    fn new(
        engine: &Engine,
        request: ContactsRequest,
    ) -> Result<(Self, &ServedModel, Common), Failure> {
        let model = engine.model_for(OutputKind::Contacts, request.model.as_deref())?;
        let pass = Contacts {
            format: request.encoding_format.unwrap_or_default(),
        };
        let common = Common {
            input: request.input,
            takes_unknown: false,
            priority: request.priority,
            timeout_ms: request.timeout_ms,
        };
        Ok((pass, model, common))
    }

    fn outputs(&self) -> OutputSet {
        OutputSet::default().with(OutputKind::Contacts)
    }

    fn keep(&self, output: Output) -> Result<HostTensor, Failure> {
        tensor(&output, OutputKind::Contacts)
    }

    fn numbers(&self, tokens: usize) -> usize {
        tokens * tokens
    }

    fn item<'a>(&'a self, index: usize, kept: &'a HostTensor) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Item<'a> {
            object: &'static str,
            index: usize,
            shape: &'a [usize],
            contacts: Encoded<'a>,
        }
        Item {
            object: "contacts",
            index,
            shape: &kept.shape,
            contacts: Encoded::matrix(kept, self.format),
        }
    }
}
