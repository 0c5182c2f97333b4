//! `POST /v1/three-di`: structure states of proteins, by models that have a head for them.

use serde::{Deserialize, Serialize};
use sessile_device::{Output, OutputKind, OutputSet};
use sessile_models::three_di::StateSequence;
use utoipa::ToSchema;

use super::Input;
use super::input::ProteinInput;
use super::items::{Common, ItemError, Usage};
use super::passes::{Pass, tensor};
use crate::failure::Failure;
use crate::json::whole;
use crate::service::{Engine, ServedModel};

/// A request for structure states.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThreeDiRequest {
    /// The model; the first of `/v1/models` that has a head of 3Di without it.
    model: Option<String>,
    /// The proteins.
    #[schema(value_type = ProteinInput)]
    input: Input,
    /// States that are less probable are X.
    #[schema(minimum = 0, maximum = 1)]
    mask_below: Option<f64>,
    /// Whether to send the probability of every state.
    #[schema(default = false)]
    probabilities: Option<bool>,
    /// 0 is served first, 2 last.
    #[serde(default, deserialize_with = "whole::optional")]
    #[schema(minimum = 0, maximum = 2, default = 1)]
    priority: Option<u8>,
    /// Milliseconds after which the answer is not wanted any more.
    #[serde(default, deserialize_with = "whole::optional")]
    #[schema(minimum = 1, maximum = 4294967295_u32)]
    timeout_ms: Option<u64>,
}

/// The structure states of each item.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) struct ThreeDiResponse {
    /// `list`.
    object: String,
    /// One for each item, in order.
    data: Vec<ThreeDiItem>,
    /// The model.
    model: String,
    /// Tokens.
    usage: Usage,
}

/// The states of a protein, or why there are none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) enum ThreeDiItem {
    /// The states.
    States {
        /// `three_di`.
        object: String,
        /// The item's place in the request.
        index: usize,
        /// A letter for each residue, as Foldseek reads them; X where it is masked.
        three_di: String,
        /// A letter of the second alphabet for each residue, of models that have it.
        twelve_state: Option<String>,
        /// The mean probability of the 3Di states, masked ones included.
        mean_probability: Option<f64>,
        /// The probability of each 3Di state, if they were asked for.
        probabilities: Option<Vec<f32>>,
    },
    /// Why there are none.
    Error(ItemError),
}

/// What a model says of a protein.
pub(crate) struct States {
    three_di: StateSequence,
    twelve_state: Option<StateSequence>,
}

/// `POST /v1/three-di`.
pub(crate) struct ThreeDi {
    outputs: OutputSet,
    mask_below: Option<f32>,
    probabilities: bool,
}

impl Pass for ThreeDi {
    type Request = ThreeDiRequest;
    type Kept = States;

    fn new(
        engine: &Engine,
        request: ThreeDiRequest,
    ) -> Result<(Self, &ServedModel, Common), Failure> {
        let model = engine.model_for(OutputKind::ThreeDi, request.model.as_deref())?;
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
        let common = Common {
            input: request.input,
            takes_unknown: true,
            priority: request.priority,
            timeout_ms: request.timeout_ms,
        };
        Ok((pass, model, common))
    }

    fn outputs(&self) -> OutputSet {
        self.outputs
    }

    fn keep(&self, output: Output) -> Result<States, Failure> {
        let three_di = tensor(&output, OutputKind::ThreeDi)?;
        let twelve_state = output.get(OutputKind::TwelveState);
        Ok(States {
            three_di: StateSequence::three_di(&three_di),
            twelve_state: twelve_state.map(StateSequence::twelve_state),
        })
    }

    fn numbers(&self, tokens: usize) -> usize {
        // The probabilities are kept whether they are sent or not; the letters are small beside them.
        2 * tokens
    }

    fn item<'a>(&'a self, index: usize, kept: &'a States) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Item<'a> {
            object: &'static str,
            index: usize,
            three_di: String,
            twelve_state: Option<&'a str>,
            mean_probability: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            probabilities: Option<&'a [f32]>,
        }
        let three_di = &kept.three_di;
        Item {
            object: "three_di",
            index,
            three_di: match self.mask_below {
                Some(threshold) => three_di.masked(threshold),
                None => three_di.states.clone(),
            },
            twelve_state: kept.twelve_state.as_ref().map(|found| &*found.states),
            mean_probability: three_di.mean_probability(),
            probabilities: self.probabilities.then_some(&three_di.probabilities[..]),
        }
    }
}
