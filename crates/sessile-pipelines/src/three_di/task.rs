//! A protein's states become its row, and its record in FASTA.

use std::io::Write;
use std::rc::Rc;

use sessile_device::Output;

use super::proteins::Protein;
use super::{Encoded, StateModel, ThreeDiOptions};
use crate::census;
use crate::error::PipelineError;
use crate::job::{Item, Ledger, Task};
use crate::output::{Destination, Outputs};

pub(super) struct StateTask<'a> {
    pub(super) options: &'a ThreeDiOptions,
    pub(super) model: &'a StateModel,
    pub(super) outputs: Outputs,
    pub(super) fasta: Option<Destination>,
}

impl StateTask<'_> {
    fn fasta_failed(&self, error: std::io::Error) -> PipelineError {
        let path = self.options.fasta.as_deref().unwrap_or("FASTA".as_ref());
        PipelineError::output(&path.display().to_string(), error)
    }
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
        if let Some(fasta) = &mut self.fasta {
            let states = states.masked(options.mask_below);
            let written = writeln!(fasta, ">{}\n{states}", item.id);
            written.map_err(|error| self.fasta_failed(error))?;
        }
        let description = options.with_description.then_some(item.content.description);
        let (mask, probabilities) = (options.mask_below, options.probabilities);
        let row = states.row(&item.id, description, mask, probabilities);
        self.outputs.write(&row)
    }

    fn finish(mut self, ledger: &mut Ledger<'_>) -> Result<(), PipelineError> {
        if let Some(fasta) = self.fasta.take() {
            fasta.finish().map_err(|error| self.fasta_failed(error))?;
        }
        for note in self.outputs.finish()? {
            ledger.note(&note);
        }
        Ok(())
    }
}
