//! A protein's states become its row.

use std::rc::Rc;

use sessile_device::Output;

use super::proteins::Protein;
use super::{Encoded, StateModel, ThreeDiOptions};
use crate::census;
use crate::error::PipelineError;
use crate::job::{Item, Ledger, Task};

pub(super) struct StateTask<'a> {
    pub(super) options: &'a ThreeDiOptions,
    pub(super) model: &'a StateModel,
}

impl Task for StateTask<'_> {
    type Item = Protein;
    type Outcome = Encoded;
    type Report = ();

    const UNIT: &'static str = "proteins";

    fn keep_descriptions(&self) -> Option<&'static str> {
        (!self.options.with_description).then_some(census::KEEP)
    }

    fn outcome(
        &mut self,
        item: &mut Item<Protein>,
        answers: &[Rc<Output>],
    ) -> Result<Result<Encoded, String>, PipelineError> {
        let answer = answers
            .first()
            .map(|answer| self.model.encoded(answer, item.content.residues));
        Ok(answer.ok_or_else(|| "the model gave no states".to_owned()))
    }

    fn encode(&self, states: &Encoded) -> Vec<u8> {
        states.to_bytes()
    }

    fn decode(&self, _: &Item<Protein>, bytes: &[u8]) -> Option<Encoded> {
        Encoded::from_bytes(bytes)
    }

    fn sink(
        &mut self,
        item: Item<Protein>,
        states: Result<Encoded, String>,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), PipelineError> {
        let Ok(states) = states else {
            return Ok(());
        };
        let options = self.options;
        ledger.residues += item.content.residues as u64;
        let description = options.with_description.then_some(item.content.description);
        let (mask, probabilities) = (options.mask_below, options.probabilities);
        let row = states.row(&item.id, description, mask, probabilities);
        ledger.write(&row)
    }

    fn finish(self, _: &mut Ledger<'_>) -> Result<(), PipelineError> {
        Ok(())
    }
}
