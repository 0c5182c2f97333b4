//! Proteins on their way to the pool: read on a thread of their own, a bounded number ahead of the
//! lanes.

use std::io::{BufReader, Read};

use sessile_models::tokenizer::without_stop;
use sessile_seq::fasta::{Reader, Record};
use sessile_seq::inputs::{Census, Input};

use super::json;
use crate::error::PipelineError;
use crate::genome_json;
use crate::interrupt::Interrupt;
use crate::read_ahead::{BytesRead, Listener, ReadAhead};

/// Proteins read ahead.
const AHEAD: usize = 256;

/// Longest protein that is read at all; a file beyond this is not of proteins.
const MAX_RESIDUES: u64 = 1 << 20;

/// A protein, or something in its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Protein {
    pub(super) id: String,
    /// The rest of its header.
    pub(super) description: String,
    /// File, number and identifier, for messages.
    pub(super) place: String,
    /// Without a stop at the end.
    pub(super) residues: Vec<u8>,
    /// Why it can not be encoded.
    pub(super) problem: Option<String>,
    /// Whether the problem is one of the whole file behind this place.
    pub(super) is_file_problem: bool,
}

impl Protein {
    pub(super) fn new(id: String, place: String, mut residues: Vec<u8>) -> Self {
        residues.truncate(without_stop(&residues).len());
        Protein {
            id,
            place,
            residues,
            ..Protein::default()
        }
    }

    fn unreadable(error: &sessile_seq::Error) -> Self {
        let mut problem = error.to_string();
        if let Some(hint) = error.hint() {
            problem = format!("{problem} ({hint})");
        }
        Protein {
            id: error.record_id().unwrap_or_default().to_owned(),
            problem: Some(problem),
            is_file_problem: !error.is_record_error(),
            ..Protein::default()
        }
    }

    /// The rest of a file is lost.
    fn lost(file: &str, problem: String) -> Self {
        Protein {
            place: file.to_owned(),
            problem: Some(problem),
            is_file_problem: true,
            ..Protein::default()
        }
    }
}

/// The proteins of all inputs, in their order.
pub(super) struct Proteins {
    proteins: ReadAhead<Protein>,
    bytes: BytesRead,
    census: Census,
}

impl Proteins {
    /// Begins to read.
    pub(super) fn start(inputs: Vec<Input>, interrupt: &Interrupt) -> Result<Self, PipelineError> {
        let bytes = BytesRead::of(&inputs);
        let reading = bytes.clone();
        let census = Census::default();
        let counting = census.clone();
        let proteins = ReadAhead::start(AHEAD, interrupt, move |listener| {
            for input in &inputs {
                if !read(input, &counting, &listener) {
                    return;
                }
                reading.add(input);
            }
        })?;
        Ok(Proteins {
            proteins,
            bytes,
            census,
        })
    }

    pub(super) fn bytes(&self) -> BytesRead {
        self.bytes.clone()
    }

    pub(super) fn census(&self) -> Census {
        self.census.clone()
    }
}

impl Iterator for Proteins {
    type Item = Protein;

    fn next(&mut self) -> Option<Protein> {
        self.proteins.next()
    }
}

/// Reads one input; false when nobody listens any more. A file that can not be read costs what is
/// left of it; the others go on.
fn read(input: &Input, census: &Census, listener: &Listener<Protein>) -> bool {
    let mut source = match input.open() {
        Ok(source) => BufReader::new(source),
        Err(error) => return listener.send(Protein::unreadable(&error)),
    };
    let name = input.name();
    match genome_json::first_symbol(&mut source) {
        Ok(Some(b'[' | b'{')) => match json::read(source, &name, listener) {
            json::End::Whole => true,
            json::End::Empty => {
                census.no_record(&name);
                true
            }
            json::End::Unheard => false,
            json::End::Broken(problem) => listener.send(Protein::lost(&name, problem)),
        },
        Ok(_) => {
            let reader = Reader::new(source).named(&name).counted_by(census);
            read_fasta(reader, &name, listener)
        }
        Err(error) => listener.send(Protein::lost(&name, format!("can not read: {error}"))),
    }
}

fn read_fasta<R: Read>(reader: Reader<R>, name: &str, listener: &Listener<Protein>) -> bool {
    let mut reader = reader.max_residues(MAX_RESIDUES);
    let mut record = Record::default();
    loop {
        let protein = match reader.read(&mut record) {
            Ok(true) => {
                let place = format!(
                    "{name}: record {} ({}), line {}",
                    record.ordinal, record.id, record.line
                );
                let id = std::mem::take(&mut record.id);
                let residues = std::mem::take(&mut record.sequence);
                Protein {
                    description: std::mem::take(&mut record.description),
                    ..Protein::new(id, place, residues)
                }
            }
            Ok(false) => return true,
            Err(error) => Protein::unreadable(&error),
        };
        if !listener.send(protein) {
            return false;
        }
    }
}
