//! `POST /v1/embeddings`.

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

/// A request for vectors.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
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
    #[serde(default, deserialize_with = "whole::optional")]
    dimensions: Option<usize>,
    /// 0 is served first, 2 last.
    #[serde(default, deserialize_with = "whole::optional")]
    #[schema(minimum = 0, maximum = 2, default = 1)]
    priority: Option<u8>,
    /// Milliseconds after which the answer is not wanted any more.
    #[serde(default, deserialize_with = "whole::optional")]
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

/// `POST /v1/embeddings`.
pub(crate) struct Embeddings {
    output: OutputKind,
    format: EncodingFormat,
    hidden: usize,
}

impl Pass for Embeddings {
    type Request = EmbeddingsRequest;
    type Kept = HostTensor;

    fn new(
        engine: &Engine,
        request: EmbeddingsRequest,
    ) -> Result<(Self, &ServedModel, Common), Failure> {
        let output = request.pooling.unwrap_or_default().output();
        let model = engine.model_for(output, request.model.as_deref())?;
        let hidden = model.info.hidden;
        if request.dimensions.is_some_and(|wanted| wanted != hidden) {
            let message = format!("the model's vectors have {hidden} numbers and are not cut");
            return Err(Failure::invalid("dimensions", message));
        }
        let pass = Embeddings {
            output,
            format: request.encoding_format.unwrap_or_default(),
            hidden,
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
        OutputSet::default().with(self.output)
    }

    fn keep(&self, output: Output) -> Result<HostTensor, Failure> {
        tensor(&output, self.output)
    }

    fn numbers(&self, _tokens: usize) -> usize {
        self.hidden
    }

    fn item<'a>(&'a self, index: usize, kept: &'a HostTensor) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Item<'a> {
            object: &'static str,
            index: usize,
            embedding: Encoded<'a>,
        }
        Item {
            object: "embedding",
            index,
            embedding: Encoded::vector(kept, self.format),
        }
    }
}
