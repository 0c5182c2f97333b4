//! What the pool is asked, protein by protein, with the record around them.

use std::rc::Rc;

use sessile_runtime::PoolRequest;

use super::cds::{Finding, Prepared};
use super::sources::{Batches, ReadRecord};
use crate::interrupt::Interrupt;
use crate::three_di::StateModel;

/// Why a protein can not be asked for.
pub(super) type Problem = String;

/// A step of a record.
pub(super) enum Step {
    /// A record begins.
    Begin(Rc<Prepared>),
    /// One of its proteins.
    Protein {
        index: usize,
        tokens: usize,
        problem: Option<Problem>,
    },
    /// All its proteins were asked for.
    End,
}

/// The steps of all records, each protein with its request.
pub(super) struct Steps<'a> {
    batches: Batches,
    batch: std::vec::IntoIter<ReadRecord>,
    finding: &'a Finding,
    model: &'a StateModel,
    /// Proteins that the journal has: they are not asked for.
    known: u64,
    current: Option<(Rc<Prepared>, usize)>,
    interrupt: &'a Interrupt,
}

impl<'a> Steps<'a> {
    pub(super) fn new(
        batches: Batches,
        finding: &'a Finding,
        model: &'a StateModel,
        known: u64,
        interrupt: &'a Interrupt,
    ) -> Self {
        Steps {
            batches,
            batch: Vec::new().into_iter(),
            finding,
            model,
            known,
            current: None,
            interrupt,
        }
    }

    fn next_record(&mut self) -> Option<ReadRecord> {
        loop {
            if let Some(read) = self.batch.next() {
                return Some(read);
            }
            self.batch = self.batches.next()?.into_iter();
        }
    }

    /// The next protein of the record at hand.
    fn next_protein(&mut self) -> Option<(Step, Option<PoolRequest>)> {
        let (prepared, next) = self.current.as_mut()?;
        let genome = prepared.genome.as_ref().ok()?;
        loop {
            let index = *next;
            let residues = genome.orf(index)?.residues().as_bytes();
            *next += 1;
            // A stop alone has nothing to ask for.
            if residues.is_empty() {
                continue;
            }
            let step = |tokens, problem| Step::Protein {
                index,
                tokens,
                problem,
            };
            if self.known > 0 {
                self.known -= 1;
                return Some((step(0, None), None));
            }
            return Some(match self.model.request(residues) {
                Ok(request) => (step(request.tokens.len(), None), Some(request)),
                Err(problem) => (step(0, Some(problem)), None),
            });
        }
    }
}

impl Iterator for Steps<'_> {
    type Item = (Step, Option<PoolRequest>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.interrupt.signal().is_some() {
            return None;
        }
        if let Some(step) = self.next_protein() {
            return Some(step);
        }
        if self.current.take().is_some() {
            return Some((Step::End, None));
        }
        let prepared = Rc::new(self.finding.prepare(self.next_record()?));
        self.current = Some((Rc::clone(&prepared), 0));
        Some((Step::Begin(prepared), None))
    }
}
