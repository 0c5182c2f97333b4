//! `POST /v1/embeddings`.

use serde::{Deserialize, Serialize};
use sessile_device::{Output, OutputKind, OutputSet};
use utoipa::ToSchema;

use super::input::{Masked, Sequences};
use super::numbers::{EncodingFormat, Numbers};
use super::passes::{NumbersOf, Pass, tensor};
use super::request::{Request, request};
use crate::failure::Failure;
use crate::json::whole;
use crate::service::{Engine, ServedModel};

request! {
    /// A request for vectors.
    EmbeddingsRequest {
        /// The sequences.
        pub(crate) input: Sequences,
        /// How the numbers are sent.
        #[schema(default = "float")]
        pub(crate) encoding_format: Option<EncodingFormat>,
        /// Which vector is meant.
        #[schema(default = "mean")]
        pub(crate) pooling: Option<Pooling>,
        /// Must be the model's own number if it is given: vectors are not cut.
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) dimensions: Option<usize>,
    }
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
    /// The vector of the last token.
    Eos,
    /// The greatest value of each column over the residues.
    Max,
    /// The standard deviation of each column over the residues.
    Std,
}

impl Pooling {
    fn output(self) -> OutputKind {
        match self {
            Pooling::Mean => OutputKind::Mean,
            Pooling::MeanAll => OutputKind::MeanAll,
            Pooling::Cls => OutputKind::Cls,
            Pooling::Eos => OutputKind::Eos,
            Pooling::Max => OutputKind::Max,
            Pooling::Std => OutputKind::Std,
        }
    }
}

/// The vector of an item.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingsItem {
    /// `embedding`.
    object: &'static str,
    /// The item's place in the request.
    index: usize,
    /// The numbers.
    pub(crate) embedding: Numbers,
}

/// `POST /v1/embeddings`.
pub(crate) struct Embeddings {
    output: OutputKind,
    format: EncodingFormat,
    hidden: usize,
}

impl Pass for Embeddings {
    const PATH: &'static str = "/v1/embeddings";
    const SUMMARY: &'static str = "Vectors of sequences";
    const OUTPUT: OutputKind = OutputKind::Mean;

    const NUMBERS: Option<NumbersOf<EmbeddingsItem>> =
        Some(("embedding", |item| item.embedding.into_tensor()));

    type Kind = Masked;
    type Request = EmbeddingsRequest;
    type Item = EmbeddingsItem;

    fn input(request: &EmbeddingsRequest) -> &Sequences {
        &request.input
    }

    fn new<'e>(
        engine: &'e Engine,
        request: &EmbeddingsRequest,
    ) -> Result<(Self, &'e ServedModel), Failure> {
        let output = request.pooling.unwrap_or_default().output();
        let model = engine.model_for(output, request.model())?;
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
        Ok((pass, model))
    }

    fn outputs(&self) -> OutputSet {
        OutputSet::default().with(self.output)
    }

    fn numbers(&self, _tokens: usize) -> usize {
        self.hidden
    }

    fn item(&self, index: usize, output: Output) -> Result<EmbeddingsItem, Failure> {
        Ok(EmbeddingsItem {
            object: "embedding",
            index,
            embedding: Numbers::new(tensor(&output, self.output)?, self.format),
        })
    }
}
