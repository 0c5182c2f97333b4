//! A record's answers become its row.

use std::rc::Rc;

use sessile_device::Output;
use sessile_models::ReadLayers;

use super::long::Long;
use super::records::Sequence;
use super::rows;
use crate::census;
use crate::error::PipelineError;
use crate::job::{Item, Ledger, Task};
use crate::output::{Cell, OutputName, Row, Schema, output_set};

pub(super) struct EmbedTask<'a> {
    pub(super) names: &'a [OutputName],
    pub(super) long: Long,
    pub(super) with_description: bool,
    /// The layers that vectors are made of, where it is not the last.
    pub(super) layers: Option<ReadLayers>,
    pub(super) schema: Schema,
    /// Whether it was said that bases were given to a model of proteins.
    pub(super) told_of_bases: bool,
}

impl Task for EmbedTask<'_> {
    type Item = Sequence;
    type Outcome = Row;
    type Report = ();

    const UNIT: &'static str = "records";

    fn keep_descriptions(&self) -> Option<&'static str> {
        (!self.with_description).then_some(census::KEEP)
    }

    fn outcome(
        &mut self,
        item: &mut Item<Sequence>,
        answers: &[Rc<Output>],
    ) -> Result<Result<Row, String>, PipelineError> {
        let mut made = Vec::new();
        let answers = match &self.layers {
            None => answers,
            Some(layers) => {
                let wanted = output_set(self.names);
                for answer in answers {
                    let Some(answer) = layers.read(wanted, answer) else {
                        return Ok(Err("the model gave no states".to_owned()));
                    };
                    made.push(Rc::new(answer));
                }
                &made
            }
        };
        Ok(rows::row(
            &item.id,
            &item.content,
            self.names,
            self.long,
            self.with_description,
            answers,
        ))
    }

    fn encode(&self, row: &Row) -> Vec<u8> {
        row.to_bytes(&self.schema)
    }

    fn decode(&self, item: &Item<Sequence>, bytes: &[u8]) -> Option<Row> {
        let mut row = Row::from_bytes(item.id.clone(), bytes, &self.schema)?;
        // The journal knows a record by its identifier and sequence.
        if let Some(cell) = row.cells.first_mut().filter(|_| self.with_description) {
            *cell = Cell::Text(item.content.description.clone());
        }
        Some(row)
    }

    fn sink(
        &mut self,
        item: Item<Sequence>,
        row: Result<Row, String>,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), PipelineError> {
        if item.content.looks_nucleic && !self.told_of_bases {
            self.told_of_bases = true;
            ledger.note(&format!(
                "{}: these letters are bases (A, C, G, T, N), and the model reads proteins",
                item.place
            ));
        }
        let Ok(row) = row else {
            return Ok(());
        };
        ledger.residues += item.content.length;
        ledger.write(&row)
    }

    fn finish(self, _: &mut Ledger<'_>) -> Result<(), PipelineError> {
        Ok(())
    }
}
