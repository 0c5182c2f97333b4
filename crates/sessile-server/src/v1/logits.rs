//! `POST /v1/logits`.

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

/// A request for scores over the vocabulary.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogitsRequest {
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
pub(crate) struct Logits {
    format: EncodingFormat,
    vocabulary: Vec<String>,
}

impl Pass for Logits {
    type Request = LogitsRequest;
    type Kept = HostTensor;

    fn new(
        engine: &Engine,
        request: LogitsRequest,
    ) -> Result<(Self, &ServedModel, Common), Failure> {
        let model = engine.model_for(OutputKind::Logits, request.model.as_deref())?;
        let vocabulary = model.residues()?.tokens().to_vec();
        let pass = Logits {
            format: request.encoding_format.unwrap_or_default(),
            vocabulary,
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
        OutputSet::default().with(OutputKind::Logits)
    }

    fn keep(&self, output: Output) -> Result<HostTensor, Failure> {
        tensor(&output, OutputKind::Logits)
    }

    fn numbers(&self, tokens: usize) -> usize {
        tokens * self.vocabulary.len()
    }

    fn item<'a>(&'a self, index: usize, kept: &'a HostTensor) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Item<'a> {
            object: &'static str,
            index: usize,
            shape: &'a [usize],
            logits: Encoded<'a>,
        }
        Item {
            object: "logits",
            index,
            shape: &kept.shape,
            logits: Encoded::matrix(kept, self.format),
        }
    }

    fn vocabulary(&self) -> Option<&[String]> {
        Some(&self.vocabulary)
    }
}
