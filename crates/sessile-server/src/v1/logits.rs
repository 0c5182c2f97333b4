//! `POST /v1/logits`.

use serde::Serialize;
use sessile_device::{Output, OutputKind, OutputSet};
use utoipa::ToSchema;

use super::input::{Masked, Sequences};
use super::numbers::{EncodingFormat, Numbers};
use super::passes::{NumbersOf, Pass, tensor};
use super::request::{Request, request};
use crate::failure::Failure;
use crate::service::{Engine, ServedModel};

request! {
    /// A request for scores over the vocabulary.
    LogitsRequest {
        /// The sequences.
        pub(crate) input: Sequences,
        /// How the numbers are sent.
        #[schema(default = "float")]
        pub(crate) encoding_format: Option<EncodingFormat>,
    }
}

/// The scores of an item.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogitsItem {
    /// `logits`.
    object: &'static str,
    /// The item's place in the request.
    index: usize,
    /// Tokens, both ends included, and tokens of the vocabulary.
    shape: Vec<usize>,
    /// The scores, a row per token.
    pub(crate) logits: Numbers,
}

/// `POST /v1/logits`.
pub(crate) struct Logits {
    format: EncodingFormat,
    vocabulary: Vec<String>,
}

impl Pass for Logits {
    const PATH: &'static str = "/v1/logits";
    const SUMMARY: &'static str = "Scores over the vocabulary for every token";
    const OUTPUT: OutputKind = OutputKind::Logits;

    const NUMBERS: Option<NumbersOf<LogitsItem>> =
        Some(("logits", |item| item.logits.into_tensor()));

    type Kind = Masked;
    type Request = LogitsRequest;
    type Item = LogitsItem;

    fn input(request: &LogitsRequest) -> &Sequences {
        &request.input
    }

    fn new<'e>(
        engine: &'e Engine,
        request: &LogitsRequest,
    ) -> Result<(Self, &'e ServedModel), Failure> {
        let model = engine.model_for(Self::OUTPUT, request.model())?;
        let pass = Logits {
            format: request.encoding_format.unwrap_or_default(),
            vocabulary: model.residues()?.tokens().to_vec(),
        };
        Ok((pass, model))
    }

    fn outputs(&self) -> OutputSet {
        OutputSet::default().with(Self::OUTPUT)
    }

    fn numbers(&self, tokens: usize) -> usize {
        tokens * self.vocabulary.len()
    }

    fn item(&self, index: usize, output: Output) -> Result<LogitsItem, Failure> {
        let logits = Numbers::new(tensor(&output, Self::OUTPUT)?, self.format);
        Ok(LogitsItem {
            object: "logits",
            index,
            shape: logits.shape().to_vec(),
            logits,
        })
    }

    fn vocabulary(self) -> Option<Vec<String>> {
        Some(self.vocabulary)
    }
}
