//! From scores of states to rows.

use serde::Serialize;
use sessile_device::{Output, OutputKind};
use sessile_models::three_di::StateSequence;

/// The states of one protein.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// 3Di.
    pub three_di: StateSequence,
    /// The second alphabet, of models that have it.
    pub twelve_state: Option<StateSequence>,
}

/// A row of the output; the order of its keys is theirs here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StateRow<'a> {
    /// The protein's identifier.
    pub id: &'a str,
    /// The rest of its header, where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// A state for each residue, X where it is masked.
    pub three_di: String,
    /// A state of the second alphabet for each residue, or null.
    pub twelve_state: Option<&'a str>,
    /// The mean probability of the 3Di states, masked ones included.
    pub mean_probability: Option<f64>,
    /// The probability of each 3Di state, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<&'a [f32]>,
}

impl Encoded {
    /// Reads a model's answer. Alphabets that it does not have are empty or missing.
    pub fn from_output(output: &Output) -> Self {
        let three_di = output.get(OutputKind::ThreeDi);
        let twelve_state = output.get(OutputKind::TwelveState);
        Encoded {
            three_di: three_di.map(StateSequence::three_di).unwrap_or_default(),
            twelve_state: twelve_state.map(StateSequence::twelve_state),
        }
    }

    /// The row of a protein, with the states below `mask_below` masked.
    pub fn row<'a>(
        &'a self,
        id: &'a str,
        mask_below: Option<f32>,
        probabilities: bool,
    ) -> StateRow<'a> {
        StateRow {
            id,
            description: None,
            three_di: match mask_below {
                Some(threshold) => self.three_di.masked(threshold),
                None => self.three_di.states.clone(),
            },
            twelve_state: self
                .twelve_state
                .as_ref()
                .map(|found| found.states.as_str()),
            mean_probability: self.three_di.mean_probability(),
            probabilities: probabilities.then_some(&self.three_di.probabilities[..]),
        }
    }
}
