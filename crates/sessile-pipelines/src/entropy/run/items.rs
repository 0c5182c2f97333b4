//! From records to items: ORFs are found by several threads, and what a model is to say of their
//! proteins follows each record, protein by protein.

use std::num::NonZeroUsize;
use std::sync::Arc;

use sessile_seq::parallel::map_in_order;

use super::super::cds::{Finding, Lost, Prepared};
use super::super::document::Layout;
use super::super::format::Forms;
use super::super::sources::{Batches, ReadRecord, Source};
use super::text::Text;
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::job::{AHEAD, Handover, Item, Items, Key, Problem, Reading};
use crate::journal::InputHash;
use crate::shard::Shard;
use crate::three_di::StateRequests;

/// Texts of records ahead, where nothing is asked of a model: few, for each may be large.
const TEXTS_AHEAD: usize = 4;

/// A step of a record.
pub(super) enum Piece {
    /// A record that has all that it will have.
    Whole(Box<Text>),
    /// A record begins, whose proteins follow.
    Begin(Arc<Prepared>),
    /// One of its proteins.
    Protein {
        /// Its place among the ORFs.
        index: usize,
        orf: String,
        residues: usize,
    },
    /// All its proteins were handed over.
    End,
    /// There is no record; what else was wrong with it.
    Lost(Vec<String>),
    /// Something that no record has to do with.
    Aside,
}

/// How records become items.
pub(super) struct Making {
    pub(super) finding: Arc<Finding>,
    pub(super) shard: Shard,
    pub(super) threads: NonZeroUsize,
    pub(super) forms: Forms,
    pub(super) layout: Layout,
    /// How proteins are asked for; none without a model.
    pub(super) requests: Option<StateRequests>,
    /// What was wrong with the annotation: place and reason.
    pub(super) aside: Vec<(String, String)>,
}

impl Making {
    /// Begins to read.
    pub(super) fn start(
        self,
        sources: Vec<Source>,
        interrupt: &Interrupt,
    ) -> Result<Items<Piece>, PipelineError> {
        let reading = Reading::of(sources.iter().map(Source::input), self.shard);
        let batches = Batches::start(sources, reading.clone(), interrupt)?;
        let ahead = match self.requests {
            None => TEXTS_AHEAD,
            Some(_) => AHEAD,
        };
        Items::start_thread(reading, ahead, interrupt, move |handover| {
            let aside = self.aside.iter().all(|(place, reason)| {
                let problem = Problem::of_record(reason);
                handover.send(item(None, "", place, Some(problem), Piece::Aside))
            });
            if !aside {
                return;
            }
            // Whoever does not listen any more ends the walk.
            let unheard = |is_heard: bool| is_heard.then_some(()).ok_or(());
            let find = || |batch| self.find(batch);
            let _ = map_in_order(batches, self.threads, find, |found: Vec<Found>| {
                let mut found = found.into_iter();
                unheard(found.all(|found| self.hand_over(found, handover)))
            });
        })
    }

    /// Looks through a batch, on one of several threads.
    fn find(&self, batch: Vec<ReadRecord>) -> Vec<Found> {
        let prepared = batch.into_iter().map(|read| self.finding.prepare(read));
        prepared
            .map(|prepared| match self.requests {
                Some(_) => Found::Prepared(prepared),
                None => Found::Text(
                    prepared.number,
                    Text::of(prepared, &self.forms, &self.layout),
                ),
            })
            .collect()
    }

    /// Hands a record over; false when nobody listens any more.
    fn hand_over(&self, found: Found, handover: &Handover<Piece>) -> bool {
        let prepared = match found {
            Found::Text(number, Ok(text)) => {
                let (id, place) = (text.id.clone(), text.place.clone());
                return handover.send(record(
                    number,
                    &id,
                    &place,
                    None,
                    Piece::Whole(Box::new(text)),
                ));
            }
            Found::Text(number, Err((id, place, lost, issues))) => {
                let piece = Piece::Lost(issues);
                return handover.send(record(number, &id, &place, Some(lost), piece));
            }
            Found::Prepared(prepared) => prepared,
        };
        let (number, id, place) = (prepared.number, prepared.id.clone(), prepared.place.clone());
        if let Err(lost) = prepared.genome {
            let piece = Piece::Lost(prepared.issues);
            return handover.send(record(number, &id, &place, Some(lost), piece));
        }
        let prepared = Arc::new(prepared);
        let begin = Piece::Begin(Arc::clone(&prepared));
        let is_heard = handover.send(item(Some(number), &id, &place, None, begin))
            && self.proteins(&prepared, handover);
        // The record is then its taker's alone.
        drop(prepared);
        is_heard && handover.send(record(number, &id, &place, None, Piece::End))
    }

    fn proteins(&self, prepared: &Prepared, handover: &Handover<Piece>) -> bool {
        let (Ok(genome), Some(requests)) = (&prepared.genome, &self.requests) else {
            return true;
        };
        genome.orfs().enumerate().all(|(index, orf)| {
            let residues = orf.residues().as_bytes();
            // A stop alone has nothing to ask for.
            if residues.is_empty() {
                return true;
            }
            let piece = Piece::Protein {
                index,
                orf: orf.id().to_string(),
                residues: residues.len(),
            };
            let number = Some(prepared.number);
            let mut item = item(number, &prepared.id, &prepared.place, None, piece);
            item.key = Some(Key {
                name: format!("{} {}", genome.id(), orf.id()),
                input: InputHash::of(residues),
            });
            match requests.of(residues) {
                Ok(request) => item.requests.push(request),
                Err(reason) => {
                    item.problem = Some(Problem::of_record(format!("{}: {reason}", orf.id())));
                }
            }
            handover.send(item)
        })
    }
}

/// A record that was looked through.
enum Found {
    /// Its number, and the record in all forms that are written, or why there is none.
    Text(u64, Result<Text, (String, String, Lost, Vec<String>)>),
    /// With proteins that a model is to be asked for.
    Prepared(Prepared),
}

fn item(
    number: Option<u64>,
    id: &str,
    place: &str,
    problem: Option<Problem>,
    content: Piece,
) -> Item<Piece> {
    Item {
        number,
        id: id.to_owned(),
        place: place.to_owned(),
        key: None,
        requests: Vec::new(),
        problem,
        is_record: false,
        content,
    }
}

/// The item that counts as the record.
fn record(number: u64, id: &str, place: &str, lost: Option<Lost>, content: Piece) -> Item<Piece> {
    let problem = lost.map(|Lost { reason, is_file }| Problem { reason, is_file });
    Item {
        is_record: true,
        ..item(Some(number), id, place, problem, content)
    }
}
