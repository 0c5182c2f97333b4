//! Proteins on their way to the pool, from FASTA or from the JSON of a genome.

use std::io::{BufReader, Read};

use sessile_models::tokenizer::without_stop;
use sessile_seq::fasta::{Reader, Record};
use sessile_seq::inputs::Input;

use super::json;
use super::model::StateRequests;
use crate::error::PipelineError;
use crate::genome_json;
use crate::interrupt::Interrupt;
use crate::job::{AHEAD, Handover, Item, Items, Key, Problem};
use crate::journal::InputHash;
use crate::shard::Shard;

/// Longest protein that is read at all; a file beyond this is not of proteins.
const MAX_RESIDUES: u64 = 1 << 20;

/// Where a reader puts its proteins.
pub(super) struct Proteins<'a> {
    requests: &'a StateRequests,
    handover: &'a Handover<Protein>,
}

/// What is kept of a protein while it is encoded.
#[derive(Default)]
pub(super) struct Protein {
    pub(super) residues: usize,
    /// The rest of its header.
    pub(super) description: String,
}

impl Proteins<'_> {
    /// Hands over a protein; false when nobody listens any more.
    pub(super) fn send(
        &self,
        id: String,
        description: String,
        place: String,
        sequence: &[u8],
    ) -> bool {
        let Some(number) = self.handover.reading.next_record(false) else {
            return true;
        };
        let residues = without_stop(sequence);
        let (requests, problem) = match self.requests.of(residues) {
            Ok(request) => (vec![request], None),
            Err(reason) => (Vec::new(), Some(Problem::of_record(reason))),
        };
        self.handover.send(Item {
            number: Some(number),
            place,
            key: Some(Key {
                name: id.clone(),
                input: InputHash::of(residues),
            }),
            id,
            requests,
            problem,
            is_record: true,
            content: Protein {
                residues: residues.len(),
                description,
            },
        })
    }

    fn unreadable(&self, id: &str, place: &str, problem: Problem) -> bool {
        let Some(number) = self.handover.reading.next_record(problem.is_file) else {
            return true;
        };
        self.handover.send(Item {
            number: Some(number),
            id: id.to_owned(),
            place: place.to_owned(),
            key: Some(Key {
                name: place.to_owned(),
                input: InputHash::of(problem.reason.as_bytes()),
            }),
            requests: Vec::new(),
            problem: Some(problem),
            is_record: true,
            content: Protein::default(),
        })
    }

    fn unread(&self, error: &sessile_seq::Error) -> bool {
        let id = error.record_id().unwrap_or_default();
        self.unreadable(id, &error.place(), Problem::of_reader(error))
    }

    /// The rest of a file is lost.
    fn lost(&self, file: &str, reason: String) -> bool {
        let is_file = true;
        self.unreadable("", file, Problem { reason, is_file })
    }

    /// Reads one input; false when nobody listens any more.
    fn read(&self, input: &Input) -> bool {
        let mut source = match input.open_counted(&self.handover.reading.bytes.read) {
            Ok(source) => BufReader::new(source),
            Err(error) => return self.unread(&error),
        };
        let name = input.name();
        match genome_json::first_symbol(&mut source) {
            Ok(Some(b'[' | b'{')) => match json::read(source, &name, self) {
                json::End::Whole => true,
                json::End::Empty => {
                    self.handover.reading.census.no_record(&name);
                    true
                }
                json::End::Unheard => false,
                json::End::Broken(problem) => self.lost(&name, problem),
            },
            Ok(_) => {
                let census = &self.handover.reading.census;
                let reader = Reader::new(source).named(&name).counted_by(census);
                self.read_fasta(reader, &name)
            }
            Err(error) => self.lost(&name, format!("cannot read: {error}")),
        }
    }

    fn read_fasta<R: Read>(&self, reader: Reader<R>, name: &str) -> bool {
        let mut reader = reader.max_residues(MAX_RESIDUES);
        let mut record = Record::default();
        loop {
            let listening = match reader.read(&mut record) {
                Ok(true) => {
                    let Record { ordinal, line, .. } = record;
                    let place = format!("{name}: record {ordinal} ({}), line {line}", record.id);
                    let id = std::mem::take(&mut record.id);
                    let description = std::mem::take(&mut record.description);
                    self.send(id, description, place, &record.sequence)
                }
                Ok(false) => return true,
                Err(error) => self.unread(&error),
            };
            if !listening {
                return false;
            }
        }
    }
}

/// Begins to read all inputs.
pub(super) fn start(
    inputs: Vec<Input>,
    shard: Shard,
    requests: StateRequests,
    interrupt: &Interrupt,
) -> Result<Items<Protein>, PipelineError> {
    Items::start(inputs, shard, AHEAD, interrupt, move |input, handover| {
        let requests = &requests;
        Proteins { requests, handover }.read(input)
    })
}
