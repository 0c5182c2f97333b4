//! Records on their way to the pool: read and tokenised on a thread of their own, a bounded number
//! ahead of the lanes.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sessile_models::tokenizer::{Tokenizer, without_stop};
use sessile_seq::fasta::{Reader, Record};
use sessile_seq::inputs::{Census, Input};

use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::journal::InputHash;
use crate::read_ahead::{BytesRead, Listener, ReadAhead};

/// Records read ahead.
const AHEAD: usize = 256;

/// Longest protein that is read at all. The longest one known has about 45,000 residues
/// (UniProt A0A5A9P0L4); a file beyond this is not of proteins.
const MAX_RESIDUES: u64 = 1 << 20;

/// Letters of nothing but A, C, G, T, U and N from which on a sequence is hardly a protein.
const NUCLEIC_LENGTH: usize = 60;

/// What is kept of a record while it is computed.
pub(super) struct RecordInfo {
    pub(super) id: String,
    /// The rest of its header.
    pub(super) description: String,
    /// File, number and identifier, for messages.
    pub(super) place: String,
    pub(super) length: u64,
    /// Hash of the residues, or of what stands in their place.
    pub(super) hash: InputHash,
    /// Whether the model gets the beginning only.
    pub(super) is_truncated: bool,
    /// Windows in which the model gets it.
    pub(super) windows: usize,
    /// Why it can not be computed.
    pub(super) problem: Option<String>,
    /// Whether the problem is one of the whole file behind this place.
    pub(super) is_file_problem: bool,
    /// Whether these are bases, given to a model of proteins.
    pub(super) looks_nucleic: bool,
}

impl RecordInfo {
    /// Something that is not a record: what the reader says went wrong, place included.
    fn unreadable(error: &sessile_seq::Error) -> Self {
        let mut problem = error.to_string();
        if let Some(hint) = error.hint() {
            problem = format!("{problem} ({hint})");
        }
        RecordInfo {
            id: error.record_id().unwrap_or_default().to_owned(),
            description: String::new(),
            place: String::new(),
            length: 0,
            hash: InputHash::of(problem.as_bytes()),
            is_truncated: false,
            windows: 1,
            problem: Some(problem),
            is_file_problem: !error.is_record_error(),
            looks_nucleic: false,
        }
    }
}

/// A record and its tokens, unless something is wrong with it.
pub(super) struct Prepared {
    pub(super) record: RecordInfo,
    pub(super) tokens: Option<Vec<u32>>,
}

/// How much of the inputs was read, and how long that took.
#[derive(Clone, Default)]
pub(super) struct Reading {
    bytes: BytesRead,
    nanos: Arc<AtomicU64>,
    census: Census,
}

impl Reading {
    /// Bytes read and bytes in all, as stored.
    pub(super) fn bytes(&self) -> (u64, u64) {
        self.bytes.get()
    }

    /// What was met in the inputs.
    pub(super) fn census(&self) -> &Census {
        &self.census
    }

    /// Time the reader was not waiting to hand over what it had read.
    pub(super) fn time(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

/// The records of all inputs, in their order.
pub(super) struct Records {
    prepared: ReadAhead<Prepared>,
    reading: Reading,
}

impl Records {
    /// Begins to read.
    pub(super) fn start(
        inputs: Vec<Input>,
        tokenizer: Tokenizer,
        interrupt: &Interrupt,
    ) -> Result<Self, PipelineError> {
        let reading = Reading {
            bytes: BytesRead::of(&inputs),
            ..Reading::default()
        };
        let counters = reading.clone();
        let prepared = ReadAhead::start(AHEAD, interrupt, move |listener| {
            read_all(&inputs, &tokenizer, &listener, &counters);
        })?;
        Ok(Records { prepared, reading })
    }

    pub(super) fn reading(&self) -> Reading {
        self.reading.clone()
    }
}

impl Iterator for Records {
    type Item = Prepared;

    fn next(&mut self) -> Option<Prepared> {
        self.prepared.next()
    }
}

/// Reads all inputs, until the end or until nobody listens. A file that can not be read costs what
/// is left of it; the others go on.
fn read_all(
    inputs: &[Input],
    tokenizer: &Tokenizer,
    listener: &Listener<Prepared>,
    reading: &Reading,
) {
    for input in inputs {
        let listening = match Reader::from_input(input) {
            Ok(reader) => {
                let name = input.name();
                let reader = reader.counted_by(&reading.census);
                read_input(reader, &name, tokenizer, listener, reading)
            }
            Err(error) => listener.send(unreadable(&error)),
        };
        if !listening {
            return;
        }
        reading.bytes.add(input);
    }
}

/// Reads one input; false when nobody listens any more.
fn read_input<R: Read>(
    reader: Reader<R>,
    name: &str,
    tokenizer: &Tokenizer,
    listener: &Listener<Prepared>,
    reading: &Reading,
) -> bool {
    let mut reader = reader.max_residues(MAX_RESIDUES);
    let mut record = Record::default();
    loop {
        let begun = Instant::now();
        let prepared = match reader.read(&mut record) {
            Ok(true) => prepare(name, &mut record, tokenizer),
            Ok(false) => return true,
            Err(error) => unreadable(&error),
        };
        let nanos = begun.elapsed().as_nanos() as u64;
        reading.nanos.fetch_add(nanos, Ordering::Relaxed);
        if !listener.send(prepared) {
            return false;
        }
    }
}

fn unreadable(error: &sessile_seq::Error) -> Prepared {
    Prepared {
        record: RecordInfo::unreadable(error),
        tokens: None,
    }
}

/// Upper case, no stop at the end, tokens.
fn prepare(file: &str, record: &mut Record, tokenizer: &Tokenizer) -> Prepared {
    record.sequence.make_ascii_uppercase();
    record
        .sequence
        .truncate(without_stop(&record.sequence).len());
    let place = format!(
        "{file}: record {} ({}), line {}",
        record.ordinal, record.id, record.line
    );
    let encoding = tokenizer.encode(&record.sequence);
    let problem = match encoding.unknown {
        _ if record.sequence.is_empty() => Some("the record has no residues".to_owned()),
        Some((position, symbol)) => Some(format!(
            "`{}` at position {} is not a residue that the model knows",
            char::from(symbol).escape_default(),
            position + 1
        )),
        None => None,
    };
    let info = RecordInfo {
        id: std::mem::take(&mut record.id),
        description: std::mem::take(&mut record.description),
        place,
        length: record.sequence.len() as u64,
        hash: InputHash::of(&record.sequence),
        is_truncated: false,
        windows: 1,
        problem,
        is_file_problem: false,
        looks_nucleic: !matches!(tokenizer, Tokenizer::Bpe(_))
            && record.sequence.len() >= NUCLEIC_LENGTH
            && record.sequence.contains(&b'C')
            && record.sequence.contains(&b'G')
            && record
                .sequence
                .iter()
                .all(|letter| b"ACGTUN".contains(letter)),
    };
    let tokens = info.problem.is_none().then_some(encoding.tokens);
    Prepared {
        record: info,
        tokens,
    }
}
