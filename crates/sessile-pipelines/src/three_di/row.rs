//! From scores of states to rows.

use sessile_device::{HostTensor, Output, OutputKind};
use sessile_models::three_di::StateSequence;

use crate::output::{Cell, Column, ColumnKind, Presence, Row, Schema};

/// The states of one protein.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// 3Di.
    pub three_di: StateSequence,
    /// The second alphabet, of models that have it.
    pub twelve_state: Option<StateSequence>,
}

/// The columns of rows of states, `description` and `probabilities` where they are asked for.
pub fn schema(with_description: bool, probabilities: bool) -> Schema {
    let mut columns = Vec::new();
    if with_description {
        columns.push(Column::new("description", ColumnKind::Text));
    }
    columns.extend([
        Column::new("three_di", ColumnKind::Text),
        Column::new("twelve_state", ColumnKind::Text).with_presence(Presence::Nullable),
        Column::new("mean_probability", ColumnKind::Number).with_presence(Presence::Nullable),
    ]);
    if probabilities {
        let kind = ColumnKind::Tensor(vec![None]);
        columns.push(Column::new("probabilities", kind));
    }
    Schema::new(columns)
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

    /// The 3Di states, those less probable than `mask_below` as X.
    pub fn masked(&self, mask_below: Option<f32>) -> String {
        match mask_below {
            Some(threshold) => self.three_di.masked(threshold),
            None => self.three_di.states.clone(),
        }
    }

    /// The row of a protein: its states, the mean probability of the 3Di states, masked ones
    /// included, its `description` and the probability of each state if they are asked for.
    pub fn row(
        &self,
        id: &str,
        description: Option<String>,
        mask_below: Option<f32>,
        probabilities: bool,
    ) -> Row {
        let twelve_state = self.twelve_state.as_ref();
        let mean = self.three_di.mean_probability();
        let mut cells: Vec<Cell> = description.map(Cell::Text).into_iter().collect();
        cells.extend([
            Cell::Text(self.masked(mask_below)),
            twelve_state.map_or(Cell::Missing, |found| Cell::Text(found.states.clone())),
            mean.map_or(Cell::Missing, Cell::Number),
        ]);
        if probabilities {
            let values = self.three_di.probabilities.clone();
            cells.push(Cell::Tensor(HostTensor::new(vec![values.len()], values)));
        }
        Row {
            id: id.to_owned(),
            cells,
        }
    }
}
