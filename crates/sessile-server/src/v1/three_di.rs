//! `POST /v1/three-di`: structure states of proteins, by models that have a head for them.

use serde::Serialize;
use sessile_device::{Output, OutputKind, OutputSet};
use sessile_models::three_di::StateSequence;
use utoipa::ToSchema;

use super::input::{Protein, Proteins};
use super::passes::{Pass, tensor};
use super::request::{Request, request};
use crate::failure::Failure;
use crate::service::{Engine, ServedModel};

request! {
    /// A request for structure states.
    ThreeDiRequest {
        /// The proteins.
        pub(crate) input: Proteins,
        /// States that are less probable are X.
        #[schema(minimum = 0, maximum = 1)]
        pub(crate) mask_below: Option<f64>,
        /// Whether to send the probability of every state.
        #[schema(default = false)]
        pub(crate) probabilities: Option<bool>,
    }
}

/// The states of a protein.
#[derive(Serialize, ToSchema)]
pub(crate) struct ThreeDiItem {
    /// `three_di`.
    object: &'static str,
    /// The item's place in the request.
    index: usize,
    /// A letter for each residue, as Foldseek reads them; X where it is masked.
    pub(crate) three_di: String,
    /// A letter of the second alphabet for each residue, of models that have it.
    pub(crate) twelve_state: Option<String>,
    /// The mean probability of the 3Di states, masked ones included.
    pub(crate) mean_probability: Option<f64>,
    /// The probability of each 3Di state, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probabilities: Option<Vec<f32>>,
}

/// `POST /v1/three-di`.
pub(crate) struct ThreeDi {
    outputs: OutputSet,
    mask_below: Option<f32>,
    probabilities: bool,
}

impl Pass for ThreeDi {
    const PATH: &'static str = "/v1/three-di";
    const SUMMARY: &'static str = "Structure states of proteins (3Di)";
    const OUTPUT: OutputKind = OutputKind::ThreeDi;

    type Kind = Protein;
    type Request = ThreeDiRequest;
    type Item = ThreeDiItem;

    fn input(request: &ThreeDiRequest) -> &Proteins {
        &request.input
    }

    fn new<'e>(
        engine: &'e Engine,
        request: &ThreeDiRequest,
    ) -> Result<(Self, &'e ServedModel), Failure> {
        let model = engine.model_for(Self::OUTPUT, request.model())?;
        if request
            .mask_below
            .is_some_and(|p| !(0.0..=1.0).contains(&p))
        {
            let message = "`mask_below` is a probability, from 0 to 1";
            return Err(Failure::invalid("mask_below", message));
        }
        // All alphabets that the model has.
        let outputs = [OutputKind::ThreeDi, OutputKind::TwelveState]
            .into_iter()
            .filter(|&output| model.has(output))
            .collect();
        let pass = ThreeDi {
            outputs,
            mask_below: request.mask_below.map(|p| p as f32),
            probabilities: request.probabilities.unwrap_or_default(),
        };
        Ok((pass, model))
    }

    fn outputs(&self) -> OutputSet {
        self.outputs
    }

    fn numbers(&self, tokens: usize) -> usize {
        // The letters are small beside the probabilities.
        2 * tokens
    }

    fn item(&self, index: usize, output: Output) -> Result<ThreeDiItem, Failure> {
        let found = StateSequence::three_di(&tensor(&output, Self::OUTPUT)?);
        let twelve_state = output.get(OutputKind::TwelveState);
        Ok(ThreeDiItem {
            object: "three_di",
            index,
            mean_probability: found.mean_probability(),
            twelve_state: twelve_state.map(|scores| StateSequence::twelve_state(scores).states),
            three_di: match self.mask_below {
                Some(threshold) => found.masked(threshold),
                None => found.states,
            },
            probabilities: self.probabilities.then_some(found.probabilities),
        })
    }
}
