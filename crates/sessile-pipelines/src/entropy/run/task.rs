//! Records and their states become texts in the files.

use std::rc::Rc;
use std::sync::Arc;

use sessile_device::{Output, RequestError};

use super::super::cds::{Finding, Prepared};
use super::super::document::Layout;
use super::super::format::Forms;
use super::super::genome::States;
use super::super::writer::DocumentWriter;
use super::items::Piece;
use super::text::Text;
use crate::error::PipelineError;
use crate::job::{Item, Ledger, Task};
use crate::three_di::{Encoded, StateModel};

pub(super) struct RecordTask<'a> {
    pub(super) layout: &'a Layout,
    pub(super) forms: Forms,
    pub(super) writers: Vec<DocumentWriter>,
    pub(super) model: Option<&'a StateModel>,
    pub(super) finding: Arc<Finding>,
    /// Whether records are told of whose annotation no sequence was met: a part meets its own only.
    pub(super) is_whole: bool,
    /// The record whose proteins come.
    pub(super) current: Option<Current>,
    pub(super) counts: Counts,
}

/// A record and the states of its proteins so far, each with its place.
type Current = (Arc<Prepared>, Vec<(usize, States)>);

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) written: u64,
    pub(super) orfs: u64,
    pub(super) in_genbank: u64,
}

impl RecordTask<'_> {
    fn write(&mut self, text: Text, ledger: &mut Ledger<'_>) -> Result<(), PipelineError> {
        for issue in &text.issues {
            ledger.fail(&text.id, &text.place, issue, false)?;
        }
        let written = text.written;
        self.counts.written += 1;
        self.counts.orfs += written.orfs;
        self.counts.in_genbank += written.in_genbank;
        ledger.residues += written.residues;
        for (writer, document) in self.writers.iter_mut().zip(&written.documents) {
            writer.write(document)?;
        }
        if let Some(document) = written
            .documents
            .first()
            .filter(|_| self.writers.is_empty())
        {
            ledger.keep(document)?;
        }
        written.rows().try_for_each(|row| ledger.write(&row))
    }

    /// The record with all states that were found.
    fn end(&mut self, ledger: &mut Ledger<'_>) -> Result<(), PipelineError> {
        let Some((prepared, states)) = self.current.take() else {
            return Ok(());
        };
        // Nobody else has it any more once its last piece has come.
        let Some(mut prepared) = Arc::into_inner(prepared) else {
            return Ok(());
        };
        if let Ok(genome) = &mut prepared.genome {
            for (index, states) in states {
                genome.set_states(index, states);
            }
        }
        match Text::of(prepared, &self.forms, self.layout) {
            Ok(text) => self.write(text, ledger),
            Err((id, place, lost, _)) => ledger.fail(&id, &place, &lost.reason, lost.is_file),
        }
    }

    /// GenBank records that stand beside FASTA give coding sequences, no sequences: what has no
    /// sequence must not go unseen.
    fn unmatched(&self, ledger: &mut Ledger<'_>) -> Result<(), PipelineError> {
        let (unmatched, some_matched) = self.finding.unmatched();
        if !some_matched {
            for (file, id) in unmatched {
                let reason = "no FASTA record has its name, and beside FASTA a GenBank file gives \
                              coding sequences only; give it without FASTA to have it computed";
                ledger.fail(&id, &format!("{file}: {id}"), reason, false)?;
            }
        } else if let Some((file, first)) = unmatched.first() {
            let others = match unmatched.len() - 1 {
                0 => String::new(),
                others => format!(" and {others} others"),
            };
            ledger.note(&format!(
                "{file}: {first}{others} have no FASTA record of their name and are not in the \
                 results"
            ));
        }
        Ok(())
    }
}

impl Task for RecordTask<'_> {
    type Item = Piece;
    type Outcome = Option<Encoded>;
    type Report = Counts;

    const UNIT: &'static str = "proteins";

    fn fault(&self, item: &Item<Piece>, _: usize, error: &RequestError) -> String {
        match &item.content {
            Piece::Protein { orf, .. } => format!("{orf}: {error}"),
            _ => error.to_string(),
        }
    }

    fn outcome(
        &mut self,
        item: &mut Item<Piece>,
        answers: &[Rc<Output>],
    ) -> Result<Result<Option<Encoded>, String>, PipelineError> {
        let (Piece::Protein { residues, .. }, Some(model)) = (&item.content, self.model) else {
            return Ok(Ok(None));
        };
        let answer = answers.first().map(|answer| {
            let mut states = model.encoded(answer, *residues);
            // No record has them.
            states.three_di.probabilities.clear();
            Some(states)
        });
        Ok(answer.ok_or_else(|| "the model gave no states".to_owned()))
    }

    fn encode(&self, states: &Option<Encoded>) -> Vec<u8> {
        states.as_ref().map(Encoded::to_bytes).unwrap_or_default()
    }

    fn decode(&self, _: &Item<Piece>, bytes: &[u8]) -> Option<Option<Encoded>> {
        Encoded::from_bytes(bytes).map(Some)
    }

    fn sink(
        &mut self,
        item: Item<Piece>,
        states: Result<Option<Encoded>, String>,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), PipelineError> {
        match item.content {
            Piece::Whole(text) => self.write(*text, ledger),
            Piece::Begin(prepared) => {
                self.current = Some((prepared, Vec::new()));
                Ok(())
            }
            Piece::Protein { index, .. } => {
                if let (Some((_, found)), Ok(Some(states))) = (&mut self.current, states) {
                    let states = States {
                        three_di: states.three_di.states,
                        twelve_state: states.twelve_state.map(|found| found.states),
                    };
                    found.push((index, states));
                }
                Ok(())
            }
            Piece::End => self.end(ledger),
            Piece::Lost(issues) => {
                let mut issues = issues.iter();
                issues.try_for_each(|issue| ledger.fail(&item.id, &item.place, issue, false))
            }
            Piece::Aside => Ok(()),
        }
    }

    fn finish(self, ledger: &mut Ledger<'_>) -> Result<Counts, PipelineError> {
        if self.is_whole {
            self.unmatched(ledger)?;
        }
        for writer in self.writers {
            writer.finish()?;
        }
        Ok(self.counts)
    }
}
